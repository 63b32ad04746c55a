"""Damaged files, each refused with a message that says what and where; never anything but EvaluationError."""

import json
import struct

import coremltools as ct
import numpy as np
import pytest
from coremltools.libmilstoragepython import _BlobStorageWriter as BlobStorageWriter

from converter.errors import EvaluationError
from converter.evaluate import describe, load_model
from converter.evaluate.bundle import Weights, read
from converter.evaluate.proto import Model_pb2


def model_file(package):
    return package / "Data/com.apple.CoreML/model.mlmodel"


def weight_file(package):
    return package / "Data/com.apple.CoreML/weights/weight.bin"


def refused(path, inputs=None):
    with pytest.raises(EvaluationError) as caught:
        load_model(path).predict(inputs or {"x": np.zeros((1, 64), np.float32)})
    assert str(path) in str(caught.value)
    return str(caught.value)


def edit(package, change):
    spec = Model_pb2.Model.FromString(model_file(package).read_bytes())
    change(spec)
    model_file(package).write_bytes(spec.SerializeToString())


def operations(spec):
    function = spec.mlProgram.functions["main"]
    return function.block_specializations[function.opset].operations


def test_a_path_that_is_not_there_is_refused(tmp_path):
    assert "there is no such file" in refused(tmp_path / "none.mlmodel")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it holds no model of any type"),
        (b"not a model at all", "it does not parse"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"PK\x03\x04rest of an archive", "is a zip archive"),
    ],
)
def test_a_file_that_is_no_model_is_refused(content, words, tmp_path):
    path = tmp_path / "x.mlmodel"
    path.write_bytes(content)
    assert words in refused(path)
    with pytest.raises(EvaluationError):
        describe(path)


def test_something_that_is_neither_path_nor_model_is_refused():
    with pytest.raises(EvaluationError, match="a path or an MLModel is needed, not int"):
        load_model(3)


def test_a_truncated_model_is_refused(package):
    content = model_file(package).read_bytes()
    for size in (len(content) // 2, len(content) - 1):
        model_file(package).write_bytes(content[:size])
        refused(package)


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        "{}",
        json.dumps({"rootModelIdentifier": "a", "itemInfoEntries": {}}),
        json.dumps({"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": "../../../etc/passwd"}}}),
        json.dumps({"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": "elsewhere/model.mlmodel"}}}),
    ],
)
def test_a_bad_manifest_is_refused(manifest, package):
    (package / "Manifest.json").write_text(manifest)
    assert "Manifest.json" in refused(package)


def test_a_folder_without_manifest_is_refused(package):
    (package / "Manifest.json").unlink()
    assert "is not a .mlpackage" in refused(package)


def test_a_missing_weight_file_is_refused(package):
    weight_file(package).unlink()
    assert "the weight file cannot be read" in refused(package)


@pytest.mark.parametrize("size", [0, 10, 64, 200])
def test_a_truncated_weight_file_is_refused(size, package):
    weight_file(package).write_bytes(weight_file(package).read_bytes()[:size])
    assert "weight.bin" in refused(package)


def test_a_foreign_weight_file_is_refused(package):
    weight_file(package).write_bytes(b"\0" * len(weight_file(package).read_bytes()))
    assert "not a blob storage of version 2" in refused(package)


def blob(spec):
    return next(
        o.attributes["val"].blobFileValue
        for o in operations(spec)
        if o.type == "const" and o.attributes["val"].WhichOneof("value") == "blobFileValue"
    )


@pytest.mark.parametrize(
    ("offset", "words"), [(2**40, "no blob can stand"), (65, "no blob can stand"), (128, "no blob stands")]
)
def test_a_wrong_offset_is_refused(offset, words, package):
    edit(package, lambda spec: setattr(blob(spec), "offset", offset))
    assert words in refused(package)


def test_a_weight_file_outside_the_package_is_refused(package):
    edit(package, lambda spec: setattr(blob(spec), "fileName", "@model_path/../../../../secret"))
    assert "outside the package" in refused(package)


@pytest.mark.parametrize("name", ["a" * 5000, "a" * 300, "weights/a\0b", "weights"])
def test_a_weight_file_that_no_system_opens_is_refused(name, package):
    edit(package, lambda spec: setattr(blob(spec), "fileName", f"@model_path/{name}"))
    assert "the weight file cannot be read" in refused(package)


def test_a_weight_of_another_size_or_type_is_refused(package):
    content = bytearray(weight_file(package).read_bytes())
    metadata = struct.unpack_from("<IIQQ", content, 64)
    for changed, words in (
        ((*metadata[:1], 1, *metadata[2:]), "is stored as FLOAT16"),
        ((*metadata[:2], metadata[2] - 4, metadata[3]), "is stored in"),
        ((*metadata[:1], 99, *metadata[2:]), "unknown data type 99"),
        ((*metadata[:2], 2**40, metadata[3]), "the file at"),
    ):
        struct.pack_into("<IIQQ", content, 64, *changed)
        weight_file(package).write_bytes(content)
        assert words in refused(package)


def test_a_model_of_another_type_is_refused(tmp_path):
    spec = Model_pb2.Model(specificationVersion=4)
    spec.identity.SetInParent()
    path = tmp_path / "identity.mlmodel"
    path.write_bytes(spec.SerializeToString())
    assert "a model of type identity cannot be evaluated" in refused(path)
    assert describe(path).kind == "identity"


def test_blobs_of_every_type_are_read_as_coremltools_writes_them(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    writer = BlobStorageWriter(str(folder / "weight.bin"))
    arrays = {
        "FLOAT32": (writer.write_float_data, np.linspace(-1, 1, 7, dtype=np.float32)),
        "INT8": (writer.write_int8_data, np.array([-128, 0, 127], np.int8)),
        "UINT8": (writer.write_uint8_data, np.array([0, 255], np.uint8)),
        "INT16": (writer.write_int16_data, np.array([-(2**15), 5], np.int16)),
        "UINT16": (writer.write_uint16_data, np.array([2**16 - 1, 5], np.uint16)),
        "INT32": (writer.write_int32_data, np.array([-(2**31), 5], np.int32)),
        "UINT32": (writer.write_uint32_data, np.array([2**32 - 1, 5], np.uint32)),
    }
    offsets = {name: write(array) for name, (write, array) in arrays.items()}
    del writer  # it finishes the file when it dies
    weights = Weights(tmp_path)
    for name, (_, array) in arrays.items():
        kind, content = weights.read("@model_path/weights/weight.bin", offsets[name])
        assert kind == name
        np.testing.assert_array_equal(content.view(array.dtype), array)


def test_reading_leaves_the_file_as_it_is(package, x):
    before = weight_file(package).read_bytes(), model_file(package).read_bytes()
    load_model(package).predict({"x": x})
    assert before == (weight_file(package).read_bytes(), model_file(package).read_bytes())
    assert read(package).weights.size_bytes == len(before[0])
    assert read(ct.models.MLModel(str(package), skip_model_load=True)).name == "MLModel"

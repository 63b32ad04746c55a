from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converter.errors import SourceError
from converter.model import ImageInput, Interface, Normalization, Output, Range, TensorInput
from converter.validate.samples import samples

PLAIN = Normalization(scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)


def image(size=(8, 10), **more):
    return ImageInput(**{"name": "image", "color": "RGB", "size": size, "normalization": PLAIN, **more})


def tensor(*shape, dtype="float32", name="x", **more):
    return TensorInput(name=name, shape=shape, dtype=dtype, **more)


def interface(*inputs):
    return Interface(inputs=inputs, outputs=(Output(name="y"),))


def shapes(found, name):
    return [sample.inputs[name].shape for sample in found]


def test_seeded_samples_fit_the_inputs_and_repeat():
    model = interface(image(), tensor(2, 3), tensor(1, 4, dtype="int32", name="tokens"))
    found, again = samples(model, seeds=4), samples(model, seeds=4)
    assert [sample.name for sample in found] == ["seed 0", "seed 1", "seed 2", "seed 3"]
    for sample, twin in zip(found, again, strict=True):
        assert {n: (a.shape, a.dtype.name) for n, a in sample.inputs.items()} == {
            "image": ((8, 10, 3), "uint8"),
            "x": ((2, 3), "float32"),
            "tokens": ((1, 4), "int32"),
        }
        for name, array in sample.inputs.items():
            np.testing.assert_array_equal(array, twin.inputs[name])
    assert not np.array_equal(found[0].inputs["x"], found[1].inputs["x"])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (image(), [(8, 10, 3)] * 2),
        (image(enumerated=((8, 10), (16, 12))), [(8, 10, 3)] * 2 + [(16, 12, 3)]),
        (
            image(ranges=(Range(lower=4, upper=16, default=8), Range(lower=5, upper=20, default=10))),
            [(8, 10, 3)] * 2 + [(4, 5, 3), (16, 20, 3)],
        ),
        (tensor(1, Range(lower=1, upper=128, default=64)), [(1, 64)] * 2 + [(1, 1), (1, 128)]),
        (tensor(1, Range(lower=64, upper=128, default=64)), [(1, 64)] * 2 + [(1, 128)]),
        (tensor(1, 64, enumerated=((1, 64), (1, 128), (1, 256))), [(1, 64)] * 2 + [(1, 128), (1, 256)]),
    ],
)
def test_flexible_shapes_are_asked_at_their_ends(spec, expected):
    found = samples(interface(spec), seeds=2)
    assert shapes(found, spec.name) == expected
    assert len({sample.name for sample in found}) == len(found)


def test_inputs_of_one_model_are_flexible_together():
    dimension = Range(lower=1, upper=16, default=4)
    ids, mask = (tensor(1, dimension, dtype="int32", name=name) for name in ("ids", "attention_mask"))
    found = samples(interface(ids, mask), seeds=1)
    assert shapes(found, "ids") == shapes(found, "attention_mask") == [(1, 4), (1, 1), (1, 16)]
    assert all(set(np.unique(s.inputs["attention_mask"])) <= {0, 1} for s in found)
    assert all(s.inputs["attention_mask"][0, 0] == 1 for s in found)


def test_pictures_are_samples_and_the_first_is_asked_at_every_size(tmp_path: Path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (30, 20), "teal").save(tmp_path / name)
    found = samples(interface(image(enumerated=((16, 12),))), [tmp_path / "a.png", tmp_path / "b.png"], seeds=9)
    assert [sample.name for sample in found] == ["a.png", "b.png", "a.png 16×12"]
    assert shapes(found, "image") == [(8, 10, 3), (8, 10, 3), (16, 12, 3)]


def test_arrays_are_one_sample_or_several(tmp_path: Path):
    one, several = tmp_path / "one.npy", tmp_path / "several.npz"
    np.save(one, np.ones((2, 3), np.float64))
    np.savez(several, x=np.arange(12, dtype=np.float32).reshape(2, 2, 3))
    found = samples(interface(tensor(2, 3)), [one, several], seeds=1)
    assert [sample.name for sample in found] == ["one.npy", "several.npz[0]", "several.npz[1]"]
    assert {sample.inputs["x"].dtype.name for sample in found} == {"float32"}
    np.testing.assert_array_equal(found[2].inputs["x"], [[6, 7, 8], [9, 10, 11]])


def test_a_picture_in_an_array_is_resized_like_a_file(tmp_path: Path):
    np.savez(tmp_path / "p.npz", image=np.full((5, 40, 50, 3), 7, np.uint8))
    found = samples(interface(image()), [tmp_path / "p.npz"], seeds=1)
    assert shapes(found, "image") == [(8, 10, 3)] * 5


def test_grey_arrays_have_no_channel_axis(tmp_path: Path):
    np.savez(tmp_path / "g.npz", image=np.zeros((3, 8, 10), np.uint8))
    found = samples(interface(image(color="GRAYSCALE")), [tmp_path / "g.npz"], seeds=1)
    assert shapes(found, "image") == [(8, 10)] * 3


@pytest.mark.parametrize(
    ("inputs", "arrays", "words"),
    [
        ([tensor(2, 3)], {"y": np.zeros((2, 3))}, "holds the arrays y; the model takes x"),
        ([tensor(2, 3)], {"x": np.zeros((2, 3)), "z": np.zeros(1)}, "holds the arrays x, z"),
        ([tensor(2, 3)], {"x": np.zeros((2, 4))}, r"'x' is float64 \[2, 4\]; the model takes float32 \[2, 3\]"),
        ([tensor(2, 3)], {"x": np.zeros(3)}, "one sample of it has"),
        ([tensor(2, dtype="int32")], {"x": np.zeros(2)}, "the model takes int32"),
        ([tensor(2, dtype="int32")], {"x": np.full(2, 1 << 40)}, "the model takes int32"),
        ([tensor(1, Range(lower=1, upper=4, default=2))], {"x": np.zeros((1, 5))}, r"float32 \[1, 1\.\.4\]"),
        ([tensor(1, 2, enumerated=((1, 2), (1, 4)))], {"x": np.zeros((1, 3))}, r"one of \[\[1, 2\], \[1, 4\]\]"),
        ([image()], {"image": np.zeros((8, 10, 3), np.float32)}, r"uint8 \[height, width, 3\]"),
        ([image()], {"image": np.zeros((8, 10, 4), np.uint8)}, r"uint8 \[height, width, 3\]"),
        ([tensor(2), tensor(2, name="z")], {"x": np.zeros((3, 2)), "z": np.zeros(2)}, "different numbers of samples"),
        ([tensor(2)], {"x": np.array([{}, {}])}, "cannot be read as arrays"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, inputs, arrays, words):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(SourceError, match=words) as raised:
        samples(interface(*inputs), [tmp_path / "bad.npz"], seeds=1)
    assert "bad.npz" in str(raised.value)
    assert raised.value.fix


def test_broken_files_are_refused(tmp_path: Path):
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    with pytest.raises(SourceError, match="cannot be read as arrays"):
        samples(interface(tensor(2)), [tmp_path / "broken.npz"], seeds=1)


def test_a_picture_cannot_fill_several_inputs(tmp_path: Path):
    with pytest.raises(SourceError, match="inputs image, x"):
        samples(interface(image(), tensor(2)), [tmp_path / "a.png"], seeds=1)

"""Large weights of a network stay in its file; what is read there is what protobuf would have read."""

import numpy as np
import pytest
import torch

from converter.errors import EvaluationError
from converter.evaluate import load_model
from converter.evaluate.bundle import read
from converter.evaluate.proto import Model_pb2
from converter.evaluate.skeleton import LARGE_BYTES, places, skeleton

COUNT = LARGE_BYTES  # numbers: large in each of the forms
X = np.random.default_rng(1).standard_normal((1, 256)).astype(np.float32)
VALUES = np.random.default_rng(0).standard_normal(COUNT).astype(np.float32)


def network(**fields):
    """y = x W, 256 to COUNT / 256, with the given fields of W."""
    spec = Model_pb2.Model(specificationVersion=5)
    spec.description.input.add(name="x").type.multiArrayType.shape.extend([1, 256])
    spec.description.output.add(name="y").type.multiArrayType.SetInParent()
    for feature in (*spec.description.input, *spec.description.output):
        feature.type.multiArrayType.dataType = 65568  # FLOAT32
    spec.neuralNetwork.arrayInputShapeMapping = 1
    layer = spec.neuralNetwork.layers.add(name="product", input=["x"], output=["y"])
    layer.innerProduct.inputChannels = 256
    layer.innerProduct.outputChannels = COUNT // 256
    for name, value in fields.items():
        if name == "floatValue":
            layer.innerProduct.weights.floatValue.extend(value)
        else:
            setattr(layer.innerProduct.weights, name, value)
    if "rawValue" in fields:
        quantization = layer.innerProduct.weights.quantization
        quantization.numberOfBits = 8
        quantization.linearQuantization.scale.append(0.5)
        quantization.linearQuantization.bias.append(-3)
    return spec


FORMS = {
    "floatValue": VALUES.tolist(),
    "float16Value": VALUES.astype("<f2").tobytes(),
    "rawValue": np.arange(COUNT).astype(np.uint8).tobytes(),
}


def weights(spec):
    return spec.neuralNetwork.layers[0].innerProduct.weights


def in_pipeline(spec):
    whole = Model_pb2.Model(specificationVersion=5)
    whole.description.CopyFrom(spec.description)
    whole.pipeline.models.add().CopyFrom(spec)
    whole.pipeline.names.append("only")
    return whole


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wrap", [lambda spec: spec, in_pipeline], ids=["network", "pipeline"])
def test_weights_in_the_file_are_those_that_protobuf_reads(form, wrap, tmp_path):
    spec = wrap(network(**{form: FORMS[form]}))
    path = tmp_path / "m.mlmodel"
    path.write_bytes(spec.SerializeToString())
    loaded = load_model(path)
    assert loaded.spec.ByteSize() < 1000 < LARGE_BYTES < spec.ByteSize()

    class Held:
        def get_spec(self):
            return spec

    expected = load_model(Held()).predict({"x": X})["y"]
    np.testing.assert_array_equal(loaded.predict({"x": X})["y"], expected)
    np.testing.assert_array_equal(loaded.predict({"x": X})["y"], expected)
    matrix = {"floatValue": VALUES, "float16Value": VALUES.astype("<f2").astype("<f4")}.get(form)
    matrix = np.arange(COUNT) % 256 * 0.5 - 3 if matrix is None else matrix
    wanted = torch.from_numpy(X).double() @ torch.from_numpy(matrix.reshape(-1, 256)).double().T
    np.testing.assert_allclose(expected, wanted.numpy(), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_a_place_holds_the_bytes(form):
    spec = network(**{form: FORMS[form]})
    content = spec.SerializeToString()
    left = Model_pb2.Model.FromString(skeleton(memoryview(content)))
    (place,) = places(weights(left))
    given = FORMS[form] if isinstance(FORMS[form], bytes) else VALUES.tobytes()
    assert (place.form, content[place.start : place.start + place.size_bytes]) == (form, given)
    weights(left).DiscardUnknownFields()
    weights(spec).ClearField(form)
    assert left == spec


def test_weights_in_nested_networks_and_other_fields_are_left_too():
    spec = network(floatValue=VALUES.tolist())
    loop = spec.neuralNetwork.layers.add(name="loop").loop
    loop.bodyNetwork.layers.add(name="inner").batchnorm.mean.floatValue.extend(VALUES.tolist())
    content = spec.SerializeToString()
    left = Model_pb2.Model.FromString(skeleton(memoryview(content)))
    (place,) = places(left.neuralNetwork.layers[1].loop.bodyNetwork.layers[0].batchnorm.mean)
    assert content[place.start : place.start + place.size_bytes] == VALUES.tobytes()


def test_small_weights_stay_where_they_are():
    spec = network(floatValue=VALUES[:100].tolist())
    assert skeleton(memoryview(spec.SerializeToString())) is None


@pytest.mark.parametrize("size", [1, 3, 40, 200, COUNT, -1, -5])
def test_a_cut_network_is_refused_as_ever(size, tmp_path):
    path = tmp_path / "m.mlmodel"
    path.write_bytes(network(floatValue=VALUES.tolist()).SerializeToString()[:size])
    with pytest.raises(EvaluationError) as in_place:
        load_model(path)
    with pytest.raises(EvaluationError) as whole:
        read(path)
    assert str(in_place.value) == str(whole.value)


def test_flipped_bytes_are_judged_as_protobuf_judges_them(tmp_path):
    content = network(floatValue=VALUES.tolist()).SerializeToString()
    path = tmp_path / "m.mlmodel"
    for at in range(len(content) - COUNT * 4):  # all that is not a weight, and some that is
        for bit in (0, 3, 7):
            damaged = bytearray(content)
            damaged[at] ^= 1 << bit
            path.write_bytes(damaged)
            answers = []
            for in_place in (False, True):
                try:
                    bundle = read(path, in_place=in_place)
                except EvaluationError as error:
                    answers.append(str(error))
                    continue
                _restore(bundle.spec, damaged)
                bundle.spec.DiscardUnknownFields()
                answers.append(bundle.spec.SerializeToString(deterministic=True))
            assert answers[0] == answers[1], (at, bit)


def test_a_field_that_pretends_to_be_a_place_is_not_believed(tmp_path):
    spec = network(floatValue=VALUES.tolist())
    bare = Model_pb2.Model.FromString(skeleton(memoryview(spec.SerializeToString())))
    path = tmp_path / "m.mlmodel"
    path.write_bytes(bare.SerializeToString())
    with pytest.raises(EvaluationError, match="the weights hold 0 values"):
        load_model(path).predict({"x": X})


def test_a_network_that_is_saved_anew_after_it_was_loaded_is_refused(tmp_path):
    path = tmp_path / "m.mlmodel"
    path.write_bytes(network(floatValue=VALUES.tolist()).SerializeToString())
    loaded = load_model(path)
    path.write_bytes(network(floatValue=[]).SerializeToString())
    with pytest.raises(EvaluationError, match="the file was changed after it was opened\n  fix: load it again"):
        loaded.predict({"x": X})


def test_weights_that_stand_twice_are_refused(tmp_path):
    spec = network(floatValue=VALUES.tolist())
    path = tmp_path / "m.mlmodel"
    # messages that stand twice are merged: the layers' list is twice as long, the layer's weights have two places
    layer = spec.neuralNetwork.layers[0]
    again = layer.innerProduct.SerializeToString()
    inner = _tagged(140, again) + _tagged(140, again)
    bare = type(layer)(name="product", input=["x"], output=["y"]).SerializeToString()
    del spec.neuralNetwork.layers[:]
    head = spec.SerializeToString()
    path.write_bytes(head + _tagged(500, _tagged(1, bare + inner)))
    with pytest.raises(EvaluationError, match="weights are stored twice"):
        load_model(path).predict({"x": X})


def _restore(message, content):
    """Put what was left in the file back into the message."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                _restore(part, content)
    if message.DESCRIPTOR.name == "WeightParams":
        for place in places(message):
            part = bytes(content[place.start : place.start + place.size_bytes])
            if place.form == "floatValue":
                message.floatValue.extend(np.frombuffer(part, np.float32).tolist())
            else:
                setattr(message, place.form, part)


def _tagged(number, content):
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value):
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])

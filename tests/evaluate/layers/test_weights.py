"""Against numpy's float16, and coremltools' own quantisation and dequantisation of the same numbers."""

import numpy as np
import pytest
from coremltools import models
from coremltools.models.neural_network import quantization_utils

from converter.errors import EvaluationError
from converter.evaluate.layers.weights import Weights
from converter.evaluate.proto import NeuralNetwork_pb2

W = np.random.default_rng(0).standard_normal((6, 5, 3, 2)).astype(np.float32)


def message(**fields):
    return NeuralNetwork_pb2.WeightParams(**fields)


@pytest.mark.parametrize("count", [1, 31, 32, 5000, 600_000])
def test_floats_are_read_bit_for_bit(count):
    values = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    values[0] = -0.0
    stored = message(floatValue=values.tolist(), isUpdatable=True)
    np.testing.assert_array_equal(Weights(stored).shaped(count).numpy().view(np.int32), values.view(np.int32))


def test_float16():
    half = W.astype(np.float16)
    np.testing.assert_array_equal(Weights(message(float16Value=half.tobytes())).shaped(*W.shape).numpy(), half)


def test_numbers_are_converted_once():
    weights = Weights(message(floatValue=W.ravel().tolist()))
    assert weights.shaped(*W.shape).data_ptr() == weights.shaped(W.size).data_ptr()


def quantised(bits, mode, axis=0):
    """coremltools' quantisation of W, and its dequantisation of that."""
    stored = message(floatValue=W.ravel().tolist())
    quantization_utils._quantize_wp_field(stored, bits, mode, W.shape, axis)
    restored = message()
    restored.CopyFrom(stored)
    quantization_utils._dequantize_wp(restored, W.shape, axis)
    return stored, np.array(restored.floatValue, np.float32).reshape(W.shape)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("axis", [0, 1])
def test_linear_quantisation(bits, axis):
    stored, expected = quantised(bits, models._QUANTIZATION_MODE_LINEAR_QUANTIZATION, axis)
    got = Weights(stored).shaped(*W.shape, channel_axis=axis).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
    assert not stored.floatValue


@pytest.mark.parametrize("bits", range(1, 9))
def test_look_up_tables(bits):
    stored, expected = quantised(bits, models._QUANTIZATION_MODE_LOOKUP_TABLE_LINEAR)
    np.testing.assert_array_equal(Weights(stored).shaped(*W.shape).numpy(), expected)


def linear(raw, bits=8, scale=(1.0,), bias=(0.0,)):
    stored = message(rawValue=bytes(raw))
    stored.quantization.numberOfBits = bits
    stored.quantization.linearQuantization.scale.extend(scale)
    stored.quantization.linearQuantization.bias.extend(bias)
    return stored


def test_one_scale_serves_all_channels():
    assert Weights(linear([0, 1, 2, 255], scale=[0.5], bias=[])).shaped(2, 2).tolist() == [[0, 0.5], [1, 127.5]]
    assert Weights(linear([0b01100011], bits=2, bias=[-1])).shaped(4).tolist() == [0, 1, -1, 2]


def test_an_emptied_quantization_is_none():
    stored = message(floatValue=[1, 2])
    stored.quantization.Clear()
    stored.quantization.SetInParent()
    assert Weights(stored).shaped(2).tolist() == [1, 2]


SHORT_TABLE = message(rawValue=bytes(1))
SHORT_TABLE.quantization.numberOfBits = 2
SHORT_TABLE.quantization.lookupTableQuantization.floatValue.extend([1, 2, 3])
DYNAMIC = message(int8RawValue=bytes(4))
DYNAMIC.quantization.numberOfBits = 8


@pytest.mark.parametrize(
    ("stored", "shape", "problem"),
    [
        (message(floatValue=[1, 2, 3]), (2, 2), r"the weights hold 3 values, the layer needs 4 \(shape \[2, 2\]\)"),
        (message(floatValue=[1, 2, 3, 4, 5]), (2, 2), "hold 5 values"),
        (message(), (1,), "hold 0 values"),
        (message(float16Value=bytes(6)), (2,), "hold 3 values"),
        (message(float16Value=bytes(5)), (2,), "odd number of bytes"),
        (message(floatValue=[1], float16Value=bytes(2)), (1,), "stored twice: floatValue and float16Value"),
        (message(rawValue=bytes(4)), (4,), "quantised to 0 bits"),
        (message(floatValue=[1], rawValue=bytes(1)), (1,), "stored twice: floatValue and rawValue"),
        (linear([1, 2, 3]), (4,), r"hold 3 bytes, 4 values \(shape \[4\]\) of 8 bits need 4"),
        (linear([1, 2, 3], bits=4), (4,), "hold 3 bytes, 4 values .* of 4 bits need 2"),
        (linear([1, 2], bits=9), (2,), "quantised to 9 bits"),
        (linear([1, 2, 3], scale=[1, 1]), (3,), "2 quantisation scale values for 3 channels"),
        (SHORT_TABLE, (4,), "a look-up table of 3 values for 2 bits; 4 needed"),
        (DYNAMIC, (4,), "dynamic quantisation"),
    ],
)
def test_weights_that_do_not_fit_are_refused(stored, shape, problem):
    with pytest.raises(EvaluationError, match=problem):
        Weights(stored).shaped(*shape)

"""Fourier transforms, held to numpy's; running sums and products and the largest ones, to onnxruntime and numpy."""

import numpy as np
import onnx
import pytest
from onnx import helper

from converter.errors import UnsupportedOpsError

R = np.random.default_rng(13)
w = lambda *shape: R.uniform(-1, 1, shape).astype(np.float32)  # noqa: E731


def model_of(op, opset, shape, constants, attributes):
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)]
    names = ["x", *(name if value is not None else "" for name, value in constants.items())]
    tensors = [onnx.numpy_helper.from_array(v, n) for n, v in constants.items() if v is not None]
    node = helper.make_node(op, names, ["y"], **attributes)
    output = onnx.ValueInfoProto(name="y")
    graph = helper.make_graph([node], "case", inputs, [output], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def as_complex(x):
    return x[..., 0] + 1j * x[..., 1] if x.shape[-1] == 2 else x[..., 0]


def as_parts(z):
    return np.stack([z.real, z.imag], -1)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("length", [None, 5, 7, 12])
@pytest.mark.parametrize(("shape", "axis"), [((2, 7, 1), 1), ((2, 7, 2), 1), ((8, 3, 2), 0), ((2, 3, 8, 4, 1), -3)])
@pytest.mark.parametrize("opset", [17, 20])
def test_transforms_there_and_back(opset, shape, axis, length, precision, answer):
    x = w(*shape)
    for inverse in (0, 1):
        attributes = {"inverse": inverse} | ({"axis": axis} if opset == 17 else {})
        size = None if length is None else np.array(length)
        constants = {"length": size} | ({"axis": np.array(axis)} if opset == 20 else {})
        transform = np.fft.ifft if inverse else np.fft.fft
        wanted = transform(as_complex(x), n=length, axis=axis if axis >= 0 else axis + 1)
        model = model_of("DFT", opset, shape, constants, attributes)
        (got,) = answer(model, {"x": x}, compute_precision=precision)
        tolerance = 1e-5 if precision == "float32" else 1e-2
        np.testing.assert_allclose(got, as_parts(wanted), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("length", [None, 6, 9, 14])
def test_one_side_of_a_real_signal_and_back(length, answer):
    size = None if length is None else np.array(length)
    x = w(2, 9, 1)
    (got,) = answer(model_of("DFT", 20, x.shape, {"length": size}, {"onesided": 1}), {"x": x})
    np.testing.assert_allclose(got, as_parts(np.fft.rfft(x[..., 0], n=length, axis=1)), atol=1e-5)
    z = w(2, 6, 2)
    (got,) = answer(model_of("DFT", 20, z.shape, {"length": size}, {"onesided": 1, "inverse": 1}), {"x": z})
    np.testing.assert_allclose(got[..., 0], np.fft.irfft(as_complex(z), n=length, axis=1), atol=1e-5)


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize(("length", "window"), [(8, None), (None, np.hanning(10)), (9, np.hamming(9)), (None, None)])
def test_short_transforms(length, window, onesided, answer):
    x = w(2, 30, 1)
    constants = {
        "step": np.array(4),
        "window": None if window is None else window.astype(np.float32),
        "length": None if length is None else np.array(length),
    }
    size = length or (len(window) if window is not None else 30)
    frames = np.lib.stride_tricks.sliding_window_view(x[..., 0], size, 1)[:, ::4]
    frames = frames * (1 if window is None else window)
    wanted = (np.fft.rfft if onesided else np.fft.fft)(frames, axis=2)
    (got,) = answer(model_of("STFT", 17, x.shape, constants, {"onesided": onesided}), {"x": x})
    np.testing.assert_allclose(got, as_parts(wanted), atol=1e-5)


def test_a_complex_signal_has_two_sides(answer):
    with pytest.raises(UnsupportedOpsError, match="onesided is for real input"):
        answer(model_of("STFT", 17, (1, 16, 2), {"step": np.array(4), "w": w(8)}, {}), {"x": w(1, 16, 2)})


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize(("shape", "axis"), [((7,), 0), ((2, 5, 3), 1), ((2, 1, 8), -1), ((3, 4), -2)])
def test_running_sums_and_products(shape, axis, reverse, exclusive, held):
    attributes = {"exclusive": exclusive, "reverse": reverse}
    held(("CumSum", 14, [shape, np.array(axis)], attributes))
    held(("CumProd", 26, [shape, np.array(axis)], attributes), oracle="reference")
    whole = {"input": R.integers(-3, 4, shape).astype(np.int32)}
    held(("CumSum", 14, [whole, np.array(axis)], attributes))
    held(("CumProd", 26, [whole, np.array(axis)], attributes), oracle="reference")


def test_a_running_sum_does_not_stop_growing_in_float16(answer):
    x = np.ones((1, 3000), np.float32)
    model = model_of("CumSum", 14, x.shape, {"axis": np.array(1)}, {})
    (got,) = answer(model, {"x": x}, compute_precision="float16")
    np.testing.assert_allclose(got, np.cumsum(x, 1), rtol=1e-3)


TIES = np.array([[3, 1, 3, 2, 1, 3], [0, 0, 5, 5, 0, 5]])


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "uint8", "int8"])
@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [-1, 0])
def test_the_largest_and_smallest_come_with_the_first_of_equals(axis, largest, dtype, held):
    k = np.array([4 if axis else 2])
    case = ("TopK", 24 if dtype in ("uint8", "int8") else 11, [{"input": TIES.astype(dtype)}, k])
    oracle = "reference" if dtype in ("uint8", "int8") else "onnxruntime"
    held((*case, {"axis": axis, "largest": largest}, 2), oracle=oracle)


def test_the_largest_at_older_opsets(held):
    held(("TopK", 1, [(3, 7)], {"k": 3}, 2), oracle="reference")
    held(("TopK", 10, [(3, 7), np.array([3])], {"axis": 0}, 2))

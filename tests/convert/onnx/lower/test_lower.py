import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

IR_VERSION = 8


def x(*shape, low=-2.0, high=2.0, dtype=np.float32):
    return ("input", shape, low, high, dtype)


def const(value, dtype=None):
    return np.array(value, dtype or (np.int64 if np.array(value).dtype.kind == "i" else np.float32))


def model_of(op, opset, operands, attributes, outputs=1):
    """One node; what is an array is an initializer, what is made by x() an input, None is left out."""
    generator = np.random.default_rng(0)
    names, inputs, infos, initializers = [], {}, [], []
    for index, operand in enumerate(operands):
        name = f"v{index}"
        if operand is None:
            names.append("")
            continue
        names.append(name)
        if isinstance(operand, np.ndarray):
            initializers.append(onnx.numpy_helper.from_array(operand, name))
            continue
        _, shape, low, high, dtype = operand
        value = generator.uniform(low, high, shape)
        inputs[name] = (value > 0) if dtype is bool else value.astype(dtype)
        infos.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape))
    results = [f"y{index}" for index in range(outputs)]
    node = helper.make_node(op, names, results, name="the_node", **attributes)
    graph = helper.make_graph([node], "case", infos, [onnx.ValueInfoProto(name=name) for name in results], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)
    return model, inputs


def case(op, opset, *operands, outputs=1, **attributes):
    shapes = "-".join(
        "x".join(map(str, o[1])) if isinstance(o, tuple) else "c" if o is not None else "" for o in operands
    )
    words = ",".join(f"{k}={v}" for k, v in attributes.items() if not isinstance(v, TensorProto))
    return pytest.param((op, opset, operands, attributes, outputs), id=f"{op}-{opset}({shapes}){words}")


R = np.random.default_rng(1)
w = lambda *shape: R.standard_normal(shape).astype(np.float32)  # noqa: E731
INT64_MAX = np.iinfo(np.int64).max
ints = lambda *values: np.array(values, np.int64)  # noqa: E731
i4 = {"low": -9, "high": 9, "dtype": np.int32}

CASES = [
    # math
    case("Abs", 13, x(2, 3)),
    case("Acos", 7, x(2, 3, low=-1, high=1)),
    case("Acosh", 9, x(2, 3, low=1, high=9)),
    case("Add", 7, x(2, 3, 4), x(3, 1)),
    case("Add", 14, x(2, 3, **i4), x(3, **i4)),
    case("Asin", 7, x(2, 3, low=-1, high=1)),
    case("Asinh", 9, x(2, 3, low=-30, high=30)),
    case("Atan", 7, x(2, 3)),
    case("Atanh", 9, x(2, 3, low=-0.9, high=0.9)),
    case("Ceil", 13, x(2, 3, low=-9, high=9)),
    case("Celu", 12, x(2, 3), alpha=2.0),
    case("Clip", 6, x(5), min=-1.0, max=0.5),
    case("Clip", 6, x(5)),
    case("Clip", 11, x(5), const(0.0)),
    case("Clip", 11, x(5), None, const(0.5)),
    case("Clip", 13, x(5), const(0.0), const(6.0)),
    case("Clip", 13, x(5), x(low=-1, high=0), x(low=0, high=1)),
    case("Clip", 13, x(5), const(1.0), const(-1.0)),
    case("Clip", 12, x(5, **i4), const(-3, np.int32), const(3, np.int32)),
    case("Cos", 7, x(2, 3)),
    case("Cosh", 9, x(2, 3)),
    case("CumSum", 11, x(2, 3), const(1, np.int64)),
    case("CumSum", 14, x(2, 3), const(-2, np.int64), exclusive=1, reverse=1),
    case("Div", 7, x(2, 3), x(3, low=1, high=2)),
    case("Div", 14, x(9, **i4), x(1, low=3, high=4, dtype=np.int32)),
    case("Div", 14, x(9, **i4), const([-4], np.int32)),
    case("Elu", 6, x(2, 3), alpha=0.5),
    case("Erf", 13, x(2, 3)),
    case("Exp", 13, x(2, 3)),
    case("Expand", 8, x(3, 1), ints(2, 1, 4)),
    case("Expand", 13, x(3, 4), ints(1)),
    case("Floor", 13, x(2, 3, low=-9, high=9)),
    case("Gelu", 20, x(2, 3)),
    case("Gelu", 20, x(2, 3), approximate="tanh"),
    case("Gemm", 7, x(2, 3), w(3, 4), w(4)),
    case("Gemm", 11, x(3, 2), w(4, 3), transA=1, transB=1, alpha=0.5),
    case("Gemm", 13, x(2, 3), w(3, 4), w(2, 1), beta=0.25),
    case("Gemm", 13, x(2, 3), w(3, 4), w(1, 4), beta=0.25, alpha=2.0),
    case("Gemm", 13, x(2, 3), w(3, 4), const(1.5), beta=0.25),
    case("Gemm", 13, x(2, 3), x(4, 3), x(4), transB=1, alpha=2.0, beta=3.0),
    case("HardSigmoid", 6, x(2, 3, low=-9, high=9), alpha=0.3, beta=0.4),
    case("HardSwish", 14, x(2, 3, low=-5, high=5)),
    case("Hardmax", 11, x(2, 3, 4)),
    case("Hardmax", 13, x(2, 3, 4), axis=1),
    case("LeakyRelu", 6, x(2, 3), alpha=0.3),
    case("Log", 13, x(2, 3, low=0.1)),
    case("LogSoftmax", 11, x(2, 3, 4)),
    case("LogSoftmax", 13, x(2, 3, 4, low=-50, high=50)),
    case("MatMul", 13, x(2, 3, 4), w(4, 5)),
    case("MatMul", 13, x(2, 3, 4), w(2, 4, 5)),
    case("MatMul", 13, x(4), x(2, 4, 5)),
    case("MatMul", 13, x(2, 3, 4), x(4)),
    case("MatMul", 13, x(4), x(4)),
    case("MatMul", 13, x(4), w(4, 5)),
    case("Max", 8, x(2, 3), x(3), x(1)),
    case("Max", 13, x(2, 3, **i4), x(3, **i4)),
    case("Mean", 13, x(2, 3), x(3), x(2, 1)),
    case("Min", 13, x(2, 3), x(3)),
    case("Mish", 18, x(2, 3)),
    case("Mod", 13, x(9, **i4), const([4], np.int32)),
    case("Mod", 13, x(9, **i4), const([-4], np.int32)),
    case("Mod", 13, x(9, **i4), const([-4], np.int32), fmod=1),
    case("Mod", 13, x(9, low=-9, high=9), const([3.5]), fmod=1),
    case("Mul", 14, x(2, 3), x(3)),
    case("Neg", 13, x(2, 3)),
    case("Neg", 13, x(3, **i4)),
    case("PRelu", 9, x(2, 3, 4), const(0.3)),
    case("PRelu", 9, x(2, 3, 4), w(3, 1)),
    case("PRelu", 9, x(2, 3, 4, 5), w(3, 1, 1)),
    case("PRelu", 9, x(1, 3, 2, 2, 2), w(3, 1, 1, 1)),
    case("PRelu", 9, x(2, 3), w(3)),
    case("PRelu", 16, x(2, 3, 4), x(3, 1)),
    case("Pow", 7, x(2, 3), const(2.0)),
    case("Pow", 13, x(2, 3, low=0.1), const(0.5)),
    case("Pow", 13, x(2, 3), const(3, np.int64)),
    case("Pow", 15, x(2, 3, low=0.1), x(3)),
    case("Reciprocal", 13, x(2, 3, low=0.5)),
    case("Relu", 13, x(2, 3)),
    case("Relu", 14, x(3, **i4)),
    case("Round", 11, x(7, low=-9, high=9)),
    case("Selu", 6, x(2, 3)),
    case("Sigmoid", 13, x(2, 3)),
    case("Sign", 13, x(2, 3)),
    case("Sin", 7, x(2, 3)),
    case("Sinh", 9, x(2, 3)),
    case("Softmax", 11, x(2, 3, 4)),
    case("Softmax", 11, x(2, 3, 4), axis=2),
    case("Softmax", 11, x(2, 3, 4), axis=-2),
    case("Softmax", 13, x(2, 3, 4)),
    case("Softmax", 13, x(2, 3, 4), axis=0),
    case("Softplus", 1 + 5, x(2, 3)),
    case("Softsign", 6, x(2, 3)),
    case("Sqrt", 13, x(2, 3, low=0)),
    case("Sub", 14, x(2, 3), x(2, 1)),
    case("Sum", 8, x(2, 3), x(3), x(1)),
    case("Swish", 24, x(2, 3), alpha=1.5),
    case("Tan", 7, x(2, 3, low=-1, high=1)),
    case("Tanh", 13, x(2, 3)),
    case("ThresholdedRelu", 10, x(2, 9), alpha=0.7),
    case("TopK", 11, x(2, 9), ints(3), outputs=2),
    case("TopK", 11, x(2, 9), ints(3), outputs=2, largest=0, axis=1),
    case("TopK", 6, x(2, 9), outputs=2, k=4),
    # logical
    case("And", 7, x(2, 3, dtype=bool), x(3, dtype=bool)),
    case("Equal", 13, x(9, low=-2, high=2, dtype=np.int32), x(9, low=-2, high=2, dtype=np.int32)),
    case("Equal", 13, x(2, 3, dtype=bool), x(3, dtype=bool)),
    case("Greater", 13, x(2, 3), x(3)),
    case("GreaterOrEqual", 16, x(9, low=-2, high=2, dtype=np.int32), const([0], np.int32)),
    case("Less", 13, x(2, 3), const(0.5)),
    case("LessOrEqual", 12, x(2, 3), const(0.5)),
    case("Not", 1 + 5, x(2, 3, dtype=bool)),
    case("Or", 7, x(2, 3, dtype=bool), x(3, dtype=bool)),
    case("Xor", 7, x(2, 3, dtype=bool), x(3, dtype=bool)),
    # nn
    case("AveragePool", 7, x(1, 2, 9, 9), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    case("AveragePool", 10, x(1, 2, 9, 9), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    case("AveragePool", 11, x(1, 2, 8, 8), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    case("AveragePool", 19, x(1, 2, 8, 8), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1),
    case("AveragePool", 19, x(1, 1, 8), kernel_shape=[3], strides=[2], pads=[1, 0], ceil_mode=1, count_include_pad=1),
    case("AveragePool", 11, x(1, 2, 9, 9), kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
    case("AveragePool", 11, x(1, 2, 9), kernel_shape=[2]),
    case("BatchNormalization", 7, x(2, 3, 4, 4), w(3), w(3), w(3), np.abs(w(3))),
    case("BatchNormalization", 9, x(2, 3, 4), w(3), w(3), w(3), np.abs(w(3)), epsilon=1e-3),
    case("BatchNormalization", 15, x(2, 3), w(3), w(3), w(3), np.abs(w(3))),
    case("BatchNormalization", 15, x(2, 3, 4, 4), x(3), x(3), x(3), x(3, low=0.1)),
    case("Conv", 11, x(1, 4, 8, 8), w(6, 4, 3, 3), w(6), kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    case("Conv", 11, x(1, 4, 8, 8), w(6, 2, 3, 3), group=2, strides=[2, 1], dilations=[1, 2], pads=[0, 1, 2, 1]),
    case("Conv", 11, x(1, 4, 9, 9), w(4, 1, 3, 3), group=4, strides=[2, 2], auto_pad="SAME_LOWER"),
    case("Conv", 11, x(1, 4, 9, 9), w(4, 4, 2, 2), auto_pad="SAME_UPPER"),
    case("Conv", 22, x(1, 4, 9), w(5, 4, 3), w(5), auto_pad="VALID"),
    case("Conv", 11, x(1, 2, 5, 5, 5), w(3, 2, 3, 3, 3)),
    case("Dropout", 7, x(2, 3)),
    case("Dropout", 12, x(2, 3), const(0.3)),
    case("Flatten", 9, x(2, 3, 4)),
    case("Flatten", 13, x(2, 3, 4), axis=-1),
    case("Flatten", 13, x(2, 3, 4), axis=0),
    case("GlobalAveragePool", 6, x(1, 3, 4, 5)),
    case("GlobalLpPool", 6, x(1, 3, 4, 5)),
    case("GlobalMaxPool", 6, x(1, 3, 4, 5)),
    case("GroupNormalization", 21, x(2, 4, 3, 3), w(4), w(4), num_groups=2),
    case("InstanceNormalization", 6, x(2, 3, 4, 4), w(3), w(3)),
    case("InstanceNormalization", 6, x(2, 3, 4, 4), x(3), x(3)),
    case("LRN", 13, x(1, 5, 3, 3), size=3, alpha=0.01, beta=0.6, bias=2.0),
    case("LayerNormalization", 17, x(2, 3, 8), w(8), w(8)),
    case("LayerNormalization", 17, x(2, 3, 8), w(3, 8), axis=1, epsilon=1e-3),
    case("LayerNormalization", 17, x(2, 3, 8), w(8), axis=1),
    case("LayerNormalization", 17, x(2, 3, 8), x(8), x(8)),
    case("LayerNormalization", 17, x(2, 3, 8), w(8), w(8), outputs=3),
    case("LpNormalization", 6, x(2, 8), p=1),
    case("LpNormalization", 6, x(2, 8), axis=0),
    case("MaxPool", 6, x(1, 2, 9, 9), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    case("MaxPool", 12, x(1, 2, 8, 8), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    case("MaxPool", 22, x(1, 2, 8, 8), kernel_shape=[2, 2], strides=[3, 3], pads=[0, 0, 1, 1], ceil_mode=1),
    case("MaxPool", 12, x(1, 2, 9), kernel_shape=[3], auto_pad="SAME_LOWER"),
    case("MeanVarianceNormalization", 13, x(2, 3, 4, 4)),
    case("RMSNormalization", 23, x(2, 3, 8), w(8)),
    case("Shrink", 9, x(2, 9), lambd=0.7, bias=0.3),
    # reduction
    case("ArgMax", 11, x(2, 5), axis=1),
    case("ArgMax", 13, x(2, 5, low=0, high=2, dtype=np.int32), axis=-1, keepdims=0, select_last_index=1),
    case("ArgMin", 13, x(2, 5), axis=0, keepdims=0),
    case("ReduceL1", 13, x(2, 3, 4), axes=[1]),
    case("ReduceL2", 18, x(2, 3, 4), ints(-1), keepdims=0),
    case("ReduceLogSum", 13, x(2, 3, low=0.1), axes=[1]),
    case("ReduceLogSumExp", 13, x(2, 3), axes=[1]),
    case("ReduceMax", 18, x(2, 3, 4), ints(0, 2)),
    case("ReduceMean", 13, x(2, 3, 4), axes=[1, 2], keepdims=0),
    case("ReduceMean", 18, x(2, 3, 4)),
    case("ReduceMin", 13, x(2, 3, **i4), axes=[1]),
    case("ReduceProd", 13, x(2, 3), axes=[1]),
    case("ReduceSum", 11, x(2, 3, 4), axes=[0]),
    case("ReduceSum", 13, x(2, 3, 4), ints(1, -1)),
    case("ReduceSum", 13, x(2, 3), keepdims=0),
    case("ReduceSumSquare", 13, x(2, 3), axes=[1]),
    # tensor
    case("Cast", 13, x(2, 3, low=-9, high=9), to=TensorProto.INT64),
    case("Cast", 13, x(9, **i4), to=TensorProto.FLOAT),
    case("Cast", 13, x(9, low=-1, high=2, dtype=np.int32), to=TensorProto.BOOL),
    *(
        case("Cast", 13, x(20, low=-70000, high=70000, dtype=np.int32), to=narrow)
        for narrow in (TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16)
    ),
    case("CastLike", 15, x(3, **i4), x(2)),
    case("Concat", 13, x(2, 3), x(2, 4), axis=-1),
    case("Concat", 13, x(2, 3), axis=0),
    case("DepthToSpace", 13, x(1, 8, 2, 3), blocksize=2),
    case("DepthToSpace", 13, x(1, 8, 2, 3), blocksize=2, mode="CRD"),
    case("Gather", 13, x(3, 4), ints(2, 0, -1)),
    case("Gather", 13, x(3, 4, 2), const(-1, np.int64), axis=1),
    case("Gather", 13, x(3, 4), np.array([[0, 1], [2, 2]]), axis=1),
    case("Gather", 13, x(5, 4), x(3, low=-5, high=5, dtype=np.int32)),
    case("GatherElements", 13, x(3, 4), np.array([[0, -1, 2, 1]]), axis=0),
    case("GatherND", 12, x(3, 4, 2), np.array([[0, 1], [-1, 2]])),
    case("GatherND", 13, x(3, 4, 2), x(2, 2, low=-3, high=3, dtype=np.int64)),
    case("OneHot", 11, x(4, low=-5, high=7, dtype=np.int64), const(5, np.int64), const([0.5, 2.0])),
    case("OneHot", 11, x(4, 2, low=0, high=5, dtype=np.int64), const(5, np.int64), ints(0, 1), axis=0),
    case("Pad", 6, x(1, 2, 3, 3), pads=[0, 0, 1, 2, 0, 0, 0, 1], value=1.5),
    case("Pad", 11, x(1, 2, 4, 4), ints(0, 0, 1, 2, 0, 0, 0, 1), mode="reflect"),
    case("Pad", 13, x(1, 2, 4, 4), ints(0, 0, 1, 2, 0, 0, 0, 1), mode="edge"),
    case("Pad", 13, x(3, 4), ints(1, -1, 0, 2), const(2.0)),
    case("Pad", 18, x(3, 4, 5), ints(1, 2), const(2.0), ints(1)),
    case("Pad", 19, x(3, 4), ints(1, 2, 0, 3), mode="wrap"),
    case("Pad", 13, x(3, **i4), ints(1, 1), const(7, np.int32)),
    case("Reshape", 13, x(2, 3, 4), ints(0, -1)),
    case("Slice", 9, x(4, 5), starts=[1, -3], ends=[3, INT64_MAX]),
    case("Slice", 13, x(4, 5), ints(0, 4), ints(3, 0), ints(0, 1), ints(2, -2)),
    case("Slice", 13, x(4, 5), ints(-1), ints(-INT64_MAX), ints(-1), ints(-1)),
    case("SpaceToDepth", 13, x(1, 2, 4, 6), blocksize=2),
    case("Split", 11, x(2, 6), axis=1, outputs=3),
    case("Split", 13, x(2, 6), ints(1, 5), axis=-1, outputs=2),
    case("Split", 18, x(2, 7), axis=1, num_outputs=3, outputs=3),
    case("Squeeze", 11, x(1, 3, 1), axes=[0]),
    case("Squeeze", 13, x(1, 3, 1)),
    case("Tile", 13, x(2, 3), ints(2, 1)),
    case("Transpose", 13, x(2, 3, 4)),
    case("Transpose", 13, x(2, 3, 4), perm=[1, 0, 2]),
    case("Trilu", 14, x(2, 4, 5), const(1, np.int64)),
    case("Trilu", 14, x(4, 4), upper=0),
    case("Unsqueeze", 11, x(3), axes=[0, 2]),
    case("Unsqueeze", 13, x(3), ints(-1)),
    case("Where", 16, x(2, 3, dtype=bool), x(3), x(2, 1)),
    case("Where", 16, x(2, 3, dtype=bool), const(-5.0), const(0.0)),
]  # fmt: skip


@pytest.fixture
def compare(answer, reference):
    """Hold the saved file to onnxruntime, output by output."""

    def run(case, *, tolerance, **target):
        model, inputs = model_of(*case)
        wanted = reference(model, inputs)
        for value, array in zip(model.graph.output, wanted, strict=True):
            value.CopyFrom(
                helper.make_tensor_value_info(value.name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            )
        for got, array in zip(answer(model, inputs, **target), wanted, strict=True):
            np.testing.assert_allclose(got.reshape(array.shape), array, **tolerance)

    return run


TIGHT = {"rtol": 1e-5, "atol": 2e-6}
LOOSE = {"rtol": 1e-2, "atol": 1e-2}


@pytest.mark.parametrize("case", CASES)
def test_an_op_in_float32_answers_as_onnxruntime_does(compare, case):
    compare(case, tolerance=TIGHT)


@pytest.mark.parametrize("case", CASES)
def test_an_op_in_float16_answers_nearly_as_onnxruntime_does(compare, case):
    compare(case, tolerance=LOOSE, deployment_target="iOS18", compute_precision="float16")


@pytest.mark.parametrize("case", CASES)
def test_an_op_of_a_neural_network_answers_as_onnxruntime_does(compare, case):
    compare(case, tolerance=TIGHT, format="mlmodel", deployment_target="iOS14")


def values_of(*nodes, constants, value, opset=17):
    graph = helper.make_graph(
        [helper.make_node(op, inputs, outputs, **attributes) for op, inputs, outputs, attributes in nodes],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, value.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(c), name) for name, c in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)


HALF = {"deployment_target": "iOS18", "compute_precision": "float16"}


@pytest.mark.parametrize("mask", [-np.inf, np.finfo(np.float32).min, -3.4e38])
def test_a_mask_saturates_in_float16_and_a_masked_row_stays_finite(answer, mask):
    value = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], np.float32)
    masks = np.array([[0, mask, 0], [mask, mask, mask]], np.float32)
    model = values_of(
        ("Add", ["x", "m"], ["a"], {}), ("Softmax", ["a"], ["y"], {}), constants={"m": masks}, value=value
    )
    got = answer(model, {"x": value}, **HALF)[0]
    np.testing.assert_allclose(got[0], [0.1192, 0, 0.8808], atol=1e-3)
    assert np.isfinite(got).all()


def test_a_constant_beyond_float16_keeps_its_operation_in_float32(answer):
    value = np.array([[1.0, 2.0, 3.0]], np.float32)
    model = values_of(
        ("Mul", ["x", "big"], ["a"], {}),
        ("Div", ["a", "big"], ["y"], {}),
        constants={"big": np.float32(1e4), "unused": np.float32(1e6)},
        value=value,
    )
    np.testing.assert_allclose(answer(model, {"x": value}, **HALF)[0], value, rtol=1e-3)
    model = values_of(("Div", ["x", "big"], ["y"], {}), constants={"big": np.float32(1e5)}, value=value * 2e4)
    np.testing.assert_allclose(answer(model, {"x": value * 2e4}, **HALF)[0], value / 5, rtol=1e-3)


def test_an_epsilon_does_not_vanish_in_float16(answer):
    value = np.zeros((1, 3), np.float32)
    model = values_of(
        ("Add", ["x", "e"], ["a"], {}), ("Div", ["x", "a"], ["y"], {}), constants={"e": np.float32(1e-12)}, value=value
    )
    np.testing.assert_array_equal(answer(model, {"x": value}, **HALF)[0], value)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_log_softmax_of_large_scores_keeps_its_digits(answer, precision):
    """The logarithm of the sum is 4108.02 here, of which float16 keeps 4108."""
    scores = np.array([[4096, 4100, 4104, 4108]], np.float32)
    model = values_of(("LogSoftmax", ["x"], ["y"], {}), constants={}, value=scores)
    (given,) = answer(model, {"x": scores}, compute_precision=precision)
    expected, drift = [[-12.01848, -8.01848, -4.01848, -0.01848]], 1e-5 if precision == "float32" else 4e-3
    np.testing.assert_allclose(given, expected, atol=drift)


def permuted(shape, perm, opset=17):
    value = np.arange(np.prod(shape), dtype=np.float32)
    model = values_of(
        ("Reshape", ["x", "s"], ["a"], {}),
        ("Transpose", ["a"], ["b"], {"perm": perm}),
        ("Reshape", ["b", "flat"], ["y"], {}),
        constants={"s": ints(*shape), "flat": ints(-1)},
        value=value,
        opset=opset,
    )
    return model, {"x": value}


@pytest.mark.parametrize(
    ("shape", "perm"),
    [
        ((1, 2, 3, 2, 3, 4), (0, 1, 3, 2, 4, 5)),  # windows of a Swin transformer
        ((1, 2, 2, 2, 3, 3), (0, 1, 4, 2, 5, 3)),  # pixel shuffle
        ((2, 3, 2, 3, 2, 3), (5, 4, 3, 2, 1, 0)),
        ((2, 3, 2, 3, 2, 3), (1, 3, 5, 0, 2, 4)),
        ((2, 1, 2, 1, 2, 1, 3), (6, 0, 1, 4, 3, 2, 5)),
        ((2, 2, 2, 2, 2, 2, 2, 2), (7, 0, 6, 1, 5, 2, 4, 3)),
    ],
)
def test_a_transpose_of_more_than_five_axes_becomes_smaller_ones(answer, reference, shape, perm):
    model, inputs = permuted(shape, perm)
    np.testing.assert_array_equal(answer(model, inputs)[0], reference(model, inputs)[0])


def test_a_batch_normalization_goes_into_its_convolution():
    from converter.convert.onnx.prepare import prepare

    value = np.zeros((1, 2, 5, 5), np.float32)
    statistics = {"s": w(3), "b": w(3), "m": w(3), "v": np.abs(w(3))}
    model = values_of(
        ("Conv", ["x", "w"], ["c"], {}),
        ("BatchNormalization", ["c", "s", "b", "m", "v"], ["y"], {}),
        constants={"w": w(3, 2, 3, 3), **statistics},
        value=value,
    )
    assert [node.op_type for node in prepare(model).nodes] == ["Conv"]


def built(model):
    """The types of the operations that are left, constants aside."""
    from converter.convert.onnx.lower import lower
    from converter.convert.onnx.prepare import prepare
    from converter.model import Target

    target = Target(format="mlpackage", deployment_target="iOS16", compute_precision="float32")
    program, _ = lower(prepare(model), interface=None, target=target)
    used = {given for o in program.functions["main"].operations for given in o.get_flattened_inputs()}
    used.update(program.functions["main"].outputs)
    return [o.op_type for o in program.functions["main"].operations if o.op_type != "const" and used & {*o.outputs}]


def attention(*, shared=False):
    """Scores as torch's exporter writes them: the scale's root on both sides, the second side transposed."""
    value = w(2, 3, 4, 5)
    root = const(0.5**0.5)
    steps = [
        ("Mul", ["x", "root"], ["q"], {}),
        ("Transpose", ["x"], ["t"], {"perm": (0, 1, 3, 2)}),
        ("Mul", ["t", "root"], ["k"], {}),
        ("MatMul", ["q", "k"], ["y" if not shared else "scores"], {}),
    ]
    if shared:
        steps += [("ReduceSum", ["k"], ["sum"], {"keepdims": 0}), ("Add", ["scores", "sum"], ["y"], {})]
    return values_of(*steps, constants={"root": root}, value=value), {"x": value}


@pytest.mark.parametrize("format", ["mlpackage", "mlmodel"])
@pytest.mark.parametrize("shared", [False, True])
def test_attention_is_scaled_once_and_transposed_where_it_is_multiplied(answer, reference, format, shared):
    model, inputs = attention(shared=shared)
    target = "iOS14" if format == "mlmodel" else "iOS16"
    got = answer(model, inputs, format=format, deployment_target=target)
    np.testing.assert_allclose(got[0], reference(model, inputs)[0], rtol=1e-5, atol=1e-5)
    assert built(model) == (
        ["mul", "matmul"] if not shared else ["mul", "transpose", "mul", "matmul", "reduce_sum", "add"]
    )


@pytest.mark.parametrize("factor", [300.0, 1e-5])
def test_factors_that_leave_float16_together_stay_apart(answer, factor):
    value = np.full((2, 2), 1 / factor if factor > 1 else 1e3, np.float32)
    constants = {"s": const(factor), "t": const(factor)}
    steps = [("Mul", ["x", "s"], ["a"], {}), ("Mul", ["x", "t"], ["b"], {}), ("MatMul", ["a", "b"], ["y"], {})]
    model = values_of(*steps, constants=constants, value=value)
    assert built(model) == ["mul", "mul", "matmul"]
    right = (value * np.float32(factor)) @ (value * np.float32(factor))
    np.testing.assert_allclose(answer(model, {"x": value}, **HALF)[0], right, rtol=1e-2)


def test_a_factor_of_more_than_one_number_stays_where_it_is(answer, reference):
    value = w(3, 3)
    model = values_of(
        ("Mul", ["x", "row"], ["a"], {}),
        ("Mul", ["x", "two"], ["b"], {}),
        ("MatMul", ["a", "b"], ["y"], {}),
        constants={"row": w(3), "two": const(2.0)},
        value=value,
    )
    np.testing.assert_allclose(answer(model, {"x": value})[0], reference(model, {"x": value})[0], rtol=1e-5, atol=1e-5)
    assert built(model) == ["mul", "mul", "matmul"]


@pytest.mark.parametrize("perm", [(0, 2, 1), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("side", [0, 1])
def test_only_the_last_two_axes_are_exchanged_by_a_product(answer, reference, side, perm):
    value = w(3, 3, 3)
    model = values_of(
        ("Transpose", ["x"], ["t"], {"perm": perm}),
        ("MatMul", ["t", "x"] if side == 0 else ["x", "t"], ["y"], {}),
        constants={},
        value=value,
    )
    np.testing.assert_allclose(answer(model, {"x": value})[0], reference(model, {"x": value})[0], rtol=1e-5, atol=1e-5)
    assert built(model) == (["matmul"] if perm == (0, 2, 1) else ["transpose", "matmul"])


def test_one_place_of_an_axis_is_one_operation():
    model, _ = model_of("Gather", 13, [x(2, 3, 4), const(-1)], {"axis": 1})
    assert built(model) == ["slice_by_index"]


def test_the_same_graph_gives_the_same_program():
    from converter.convert.onnx.lower import lower
    from converter.convert.onnx.prepare import prepare
    from converter.model import Target

    model, _ = permuted((2, 3, 2, 3, 2, 3), (5, 4, 3, 2, 1, 0))
    target = Target(format="mlpackage", deployment_target="iOS16", compute_precision="float32")
    first, second = (str(lower(prepare(model), interface=None, target=target)[0]) for _ in range(2))
    assert re.sub(r"block\d+", "", first) == re.sub(r"block\d+", "", second)  # a number that no file holds

"""Small random graphs of arithmetic, reductions and changes of shape, held to onnxruntime."""

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

UNARY = ["Abs", "Neg", "Relu", "Sigmoid", "Tanh", "Exp", "Floor", "Ceil", "Softplus", "Erf", "Sign"]
WHOLE_UNARY = ["Abs", "Neg", "Relu", "Sign"]
BINARY = ["Add", "Sub", "Mul", "Max", "Min"]
COMPARING = ["Less", "Greater", "Equal", "LessOrEqual"]
REDUCING = ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean"]
STEPS = ["unary", "binary", "reduce", "transpose", "reshape", "slice", "concat", "unsqueeze", "gather", "where", "pad"]
ELEMENTS = 4000


class Graph:
    """A graph that grows by one node at a time; its last value is `x` of `shape` and `dtype`."""

    def __init__(self, shape, dtype):
        self.shape, self.dtype, self.x = tuple(shape), dtype, "x"
        self.nodes, self.constants = [], []

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op, inputs, shape, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        self.x, self.shape = name, tuple(int(size) for size in shape)


def numbers(draw, shape, dtype):
    generator = np.random.default_rng(draw(st.integers(0, 1000)))
    if dtype == np.float32:
        return generator.uniform(-2, 2, shape).astype(dtype)
    return generator.integers(-9, 10, shape).astype(dtype)


def broadcastable(draw, shape):
    """A shape that broadcasts with the given one, smaller here and larger there."""
    other = [draw(st.sampled_from([1, size] if size > 1 else [1, 3])) for size in shape]
    return tuple(other[draw(st.integers(0, len(other))) :])


def grow(draw, graph):
    """One step more; a step that does not fit the value at hand is left out."""
    rank, shape, axis = len(graph.shape), graph.shape, draw(st.integers(0, max(0, len(graph.shape) - 1)))
    step = draw(st.sampled_from(STEPS))
    match step:
        case "unary":
            graph.add(draw(st.sampled_from(UNARY if graph.dtype == np.float32 else WHOLE_UNARY)), [graph.x], shape)
        case "binary":
            other = broadcastable(draw, shape)
            names = [graph.x, graph.constant(numbers(draw, other, graph.dtype))]
            order = draw(st.permutations(names))
            graph.add(draw(st.sampled_from(BINARY)), order, np.broadcast_shapes(shape, other))
        case "where":
            other = broadcastable(draw, shape)
            bound = graph.constant(numbers(draw, other, graph.dtype))
            x, wide = graph.x, np.broadcast_shapes(shape, other)
            graph.add(draw(st.sampled_from(COMPARING)), [x, bound], wide)
            graph.add("Where", [graph.x, *draw(st.permutations([x, bound]))], wide)
        case "reduce" if rank:
            axes = sorted(draw(st.sets(st.integers(-rank, rank - 1), min_size=1, max_size=rank)))
            axes = sorted({a % rank: a for a in axes}.values())
            keep = draw(st.integers(0, 1))
            gone = {a % rank for a in axes}
            left = [1 if a in gone else size for a, size in enumerate(shape) if keep or a not in gone]
            graph.add(draw(st.sampled_from(REDUCING)), [graph.x, graph.constant(axes)], left, keepdims=keep)
        case "transpose" if rank:
            perm = draw(st.permutations(range(rank)))
            graph.add("Transpose", [graph.x], [shape[a] for a in perm], perm=perm)
        case "reshape" if rank > 1:
            merged = (*shape[:axis], -1) if axis else (-1,)
            rest = int(np.prod(shape)) // int(np.prod(shape[:axis]))
            graph.add("Reshape", [graph.x, graph.constant(merged)], (*shape[:axis], rest))
        case "slice" if rank and shape[axis] > 1:
            step = draw(st.sampled_from([1, 2, -1]))
            start, end = (1, 2**31 - 1) if step > 0 else (-1, -(2**31))
            size = len(range(shape[axis])[slice(start, end if step > 0 else None, step)])
            operands = [graph.constant([v]) for v in (start, end, axis, step)]
            graph.add("Slice", [graph.x, *operands], (*shape[:axis], size, *shape[axis + 1 :]))
        case "concat" if rank:
            other = graph.constant(numbers(draw, (*shape[:axis], 2, *shape[axis + 1 :]), graph.dtype))
            graph.add(
                "Concat", [other, graph.x], (*shape[:axis], shape[axis] + 2, *shape[axis + 1 :]), axis=axis - rank
            )
        case "unsqueeze" if rank < 5:
            graph.add("Unsqueeze", [graph.x, graph.constant([axis])], (*shape[:axis], 1, *shape[axis:]))
        case "gather" if rank:
            places = np.array(draw(st.lists(st.integers(-shape[axis], shape[axis] - 1), min_size=1, max_size=4)))
            graph.add(
                "Gather", [graph.x, graph.constant(places)], (*shape[:axis], len(places), *shape[axis + 1 :]), axis=axis
            )
        case "pad" if rank:
            pads = draw(st.lists(st.integers(0, 2), min_size=2 * rank, max_size=2 * rank))
            sizes = [size + pads[a] + pads[a + rank] for a, size in enumerate(shape)]
            graph.add("Pad", [graph.x, graph.constant(pads)], sizes, mode=draw(st.sampled_from(["constant", "edge"])))


@st.composite
def models(draw):
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    graph = Graph(shape, draw(st.sampled_from([np.float32, np.int32])))
    for _ in range(draw(st.integers(1, 5))):
        if np.prod(graph.shape, dtype=int) < ELEMENTS:
            grow(draw, graph)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(graph.dtype))
    graph.nodes.append(helper.make_node("Identity", [graph.x], ["y"]))
    inputs = [helper.make_tensor_value_info("x", element, shape)]
    outputs = [helper.make_tensor_value_info("y", element, graph.shape)]
    made = helper.make_graph(graph.nodes, "random", inputs, outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model, {"x": numbers(draw, shape, graph.dtype)}


@settings(
    derandomize=True,
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(models())
def test_random_graphs(answer, reference, model):
    proto, inputs = model
    onnx.checker.check_model(proto)
    (wanted,) = reference(proto, inputs)
    (got,) = answer(proto, inputs)
    assert got.shape == (wanted.shape or (1,))
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-4)

"""Reductions of every type over every choice of axes; held to onnxruntime or ONNX's reference."""

import numpy as np
import pytest

R = np.random.default_rng(29)
OPS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]


def run_time(array):
    return {"input": np.asarray(array)}


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(("axes", "keepdims"), [([1], 1), ([-1, 0], 0), ([2, 1, 0], 1), ([0, 1, 2], 0)])
def test_reductions(op, axes, keepdims, held):
    x = run_time(R.uniform(0.5, 2, (3, 4, 2)).astype(np.float32))
    held((f"Reduce{op}", 18, [x, np.array(axes)], {"keepdims": keepdims}), rtol=1e-4)


@pytest.mark.parametrize("op", [op for op in OPS if not op.startswith("Log")])  # which the standard took back
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32"])
@pytest.mark.parametrize(("axes", "keepdims"), [([-1, 0], 0), ([1], 1)])
def test_integers_are_reduced(op, axes, keepdims, dtype, held):
    x = run_time(R.integers(1, 5, (3, 4, 2)).astype(dtype))
    held((f"Reduce{op}", 18, [x, np.array(axes)], {"keepdims": keepdims}), oracle="reference")


@pytest.mark.parametrize("op", OPS)
def test_axes_as_an_attribute_and_none_at_all(op, held):
    x = run_time(R.uniform(0.5, 2, (3, 4, 2)).astype(np.float32))
    held((f"Reduce{op}", 11, [x], {"axes": [0, -1]}), rtol=1e-4)
    held((f"Reduce{op}", 11, [x], {}), rtol=1e-4)


@pytest.mark.parametrize("op", OPS)
def test_no_axes_reduce_nothing_but_do_the_rest(op, held):
    x = run_time(R.integers(1, 9, (3, 4)).astype(np.float32))
    held((f"Reduce{op}", 18, [x], {"noop_with_empty_axes": 1}), oracle="reference")


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_truth_values_are_reduced(op, held):
    held((f"Reduce{op}", 20, [run_time(R.random((3, 4)) < 0.3), np.array([1])], {}), oracle="reference")


@pytest.mark.parametrize("op", ["Sum", "Mean", "SumSquare", "L2", "LogSumExp"])
def test_long_sums_are_exact_enough_in_float16(op, held):
    x = run_time((R.uniform(0, 1, (2, 6000)) * 2).astype(np.float16).astype(np.float32))
    held((f"Reduce{op}", 18, [x, np.array([1])], {}), compute_precision="float16", rtol=2e-3)


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize(("axis", "keepdims"), [(0, 1), (-1, 0), (1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8"])
def test_the_place_of_the_largest(op, last, axis, keepdims, dtype, held):
    x = run_time(R.integers(0, 3, (3, 4, 5)).astype(dtype))
    held((op, 13, [x], {"axis": axis, "keepdims": keepdims, "select_last_index": last}))


@pytest.mark.parametrize("target", ["iOS13", "iOS14"])
@pytest.mark.parametrize("op", OPS)
def test_reductions_of_a_neural_network(op, target, held):
    x = run_time(R.uniform(0.5, 2, (3, 4, 2)).astype(np.float32))
    held((f"Reduce{op}", 11, [x], {"axes": [1]}), format="mlmodel", deployment_target=target, rtol=1e-4)

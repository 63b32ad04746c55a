"""Updates written to places, and elements taken from them, of every type; held to onnxruntime or ONNX's reference."""

import numpy as np
import pytest

R = np.random.default_rng(19)
REDUCTIONS = ["none", "add", "mul", "max", "min"]
TARGETS = ["iOS15", "iOS17", "iOS18"]


def run_time(array):
    return {"input": np.asarray(array)}


def filled(dtype, *shape):
    return (R.random(shape) < 0.5) if dtype == "bool" else R.integers(1, 9, shape).astype(dtype)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_updates_by_coordinates(dtype, reduction, known, held):
    """Places that occur twice, and ones counted from the end; without a reduction each occurs once."""
    places = np.array([[[0, 1], [-1, 2]], [[0, -2] if reduction != "none" else [1, 1], [2, 0]]])
    operands = [filled(dtype, 3, 3, 4), places, filled(dtype, 2, 2, 4)]
    operands = [run_time(operands[0]), places if known else run_time(places), run_time(operands[2])]
    held(("ScatterND", 18, operands, {"reduction": reduction}), oracle="reference")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("shape", "axis"), [((2, 4, 3), 1), ((1, 5, 2), -2), ((2, 5, 3), 1)])
def test_updates_along_an_axis(shape, axis, reduction, known, held):
    indices = np.argsort(R.random((*shape[:1], 5, *shape[2:])), 1)[:, : shape[1]] - 5 * (R.random(shape) < 0.3)
    if reduction != "none":
        indices[:, 1] = indices[:, 0]
    operands = [(2, 5, 3), indices if known else run_time(indices), shape]
    held(("ScatterElements", 18, operands, {"axis": axis, "reduction": reduction}), oracle="onnxruntime")


@pytest.mark.parametrize("target", TARGETS)
def test_updates_at_every_target(target, held):
    operands = [(5, 3), run_time(np.array([[1, -1, 0]])), (1, 3)]
    held(("ScatterElements", 11, operands, {}), deployment_target=target)
    held(("ScatterND", 11, [(5, 3), run_time(np.array([[-1], [2]])), (2, 3)], {}), deployment_target=target)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64"])
def test_updates_of_other_types(dtype, held):
    operands = [run_time(filled(dtype, 4, 3)), np.array([[2], [0]]), run_time(filled(dtype, 2, 3))]
    held(("ScatterND", 18, operands, {}))


def test_sums_of_narrow_integers_wrap_around(held):
    operands = [run_time(np.array([250, 7], np.uint8)), np.array([[0]]), run_time(np.array([9], np.uint8))]
    held(("ScatterND", 18, operands, {"reduction": "add"}), oracle="reference")


def test_the_oldest_scatter(held):
    held(("Scatter", 9, [(3, 3), np.array([[1, 0, 2]]), (1, 3)], {}))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool"])
def test_elements_are_taken_by_places(dtype, known, held):
    data = run_time(filled(dtype, 4, 5, 3))

    def given(places):
        return np.array(places) if known else run_time(places)

    held(("Gather", 13, [data, given([[0, -1], [2, 3]])], {"axis": 1}))
    held(("GatherElements", 13, [data, given(R.integers(-4, 4, (6, 2, 3)))], {"axis": 0}))
    held(("GatherND", 13, [data, given([[[0, -1]], [[-4, 2]]])], {}))
    held(("GatherND", 13, [data, given([[-1], [2], [0], [1]])], {"batch_dims": 1}))


@pytest.mark.parametrize(("deployment_target", "guarded"), [("iOS15", 0), ("iOS16", 0), ("iOS17", 1), ("iOS18", 1)])
def test_computed_places_from_the_end_are_guarded_only_where_gather_takes_none(deployment_target, guarded, held, built):
    case = ("Gather", 13, [(4, 5), run_time(np.array([0, -1, -5], np.int32))], {"axis": 1})
    held(case, deployment_target=deployment_target)
    assert built(case, deployment_target=deployment_target).count("select") == guarded


@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("cache", "update", "axis"), [((2, 3, 6, 4), (2, 3, 3, 4), -2), ((3, 5, 2), (3, 2, 2), 1)])
def test_a_cache_is_written_from_places_of_its_own(cache, update, axis, known, mode, held):
    places = np.arange(cache[0]) + (cache[axis] - update[axis] - 1 if mode == "circular" else 0)
    operands = [cache, update, places if known else run_time(places)]
    held(("TensorScatter", 24, operands, {"axis": axis, "mode": mode}), oracle="reference")

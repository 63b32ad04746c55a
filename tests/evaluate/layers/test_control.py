import numpy as np
import pytest
import torch

from converter.errors import EvaluationError
from converter.evaluate.layers import Network


def step(kind, inputs, outputs, **fields):
    """A layer of a nested network."""
    return {"name": f"{kind} {outputs}", "input": inputs, "output": outputs, kind: fields}


@pytest.fixture(scope="module")
def run(model):
    def run(layers, wanted, **inputs):
        network = Network(model(layers, list(inputs), wanted))
        tensors = {name: torch.tensor(value, dtype=torch.float32).reshape(-1) for name, value in inputs.items()}
        return {name: value.tolist() for name, value in network.run(tensors, wanted).items()}

    return run


IF = {"layers": [step("multiply", ["x"], ["double"], alpha=2), step("copy", ["double"], ["y"])]}
ELSE = {"layers": [step("copy", ["x"], ["y"])]}


@pytest.mark.parametrize(("condition", "y"), [(1, 6), (-0.5, 6), (0, 3), (1e-7, 3), (1e-5, 6)])
def test_a_branch_runs_if_its_condition_is_not_zero(run, condition, y):
    layers = [("branch", ["condition"], [], {"ifBranch": IF, "elseBranch": ELSE})]
    assert run(layers, ["y"], condition=condition, x=3) == {"y": [y]}


def test_without_else_nothing_happens(run):
    layers = [("copy", ["x"], ["y"], {}), ("branch", ["condition"], [], {"ifBranch": IF})]
    assert run(layers, ["y"], condition=0, x=3) == {"y": [3]}
    assert run(layers, ["y"], condition=1, x=3) == {"y": [6]}


def test_a_value_of_the_branch_not_taken_is_said_to_be_missing(run):
    with pytest.raises(EvaluationError, match='"double" was not computed'):
        run([("branch", ["condition"], [], {"ifBranch": IF, "elseBranch": ELSE})], ["double"], condition=0, x=3)


START = ("copy", ["x"], ["i"], {})
NEXT = [step("add", ["i"], ["next"], alpha=1), step("copy", ["next"], ["i"])]
BELOW_TEN = {"layers": [step("lessThan", ["i"], ["more"], alpha=10)]}
COUNTED = {"layers": NEXT}


@pytest.mark.parametrize(
    ("inputs", "fields", "i"),
    [
        ([], {"maxLoopIterations": 4}, 7),
        ([], {}, 3),
        ([], {"maxLoopIterations": 4, "conditionNetwork": {}}, 7),
        (["n"], {"maxLoopIterations": 4}, 5),
        ([], {"conditionNetwork": BELOW_TEN, "conditionVar": "more"}, 10),
        ([], {"conditionNetwork": BELOW_TEN, "conditionVar": "more", "maxLoopIterations": 4}, 7),
        ([], {"conditionNetwork": BELOW_TEN, "conditionVar": "more", "maxLoopIterations": 40}, 10),
        (["n"], {"conditionNetwork": BELOW_TEN, "conditionVar": "more"}, 5),
    ],
)
def test_a_loop_ends_by_its_count_or_its_condition(run, inputs, fields, i):
    layers = [START, ("loop", inputs, [], {"bodyNetwork": COUNTED} | fields)]
    assert run(layers, ["i"], x=3, n=2) == {"i": [i]}


def stop(kind):
    """`i` counts; the sum stops growing, or skips, while i > 5."""
    guard = step("branch", ["above"], [], ifBranch={"layers": [step(kind, [], [])]})
    total = [step("add", ["sum", "i"], ["grown"]), step("copy", ["grown"], ["sum"])]
    return {"layers": [*NEXT, step("greaterThan", ["i"], ["above"], alpha=5), guard, *total]}


@pytest.mark.parametrize(("kind", "i", "total"), [("loopBreak", 6, 15), ("loopContinue", 8, 15)])
def test_a_loop_can_be_left_and_continued(run, kind, i, total):
    layers = [
        START,
        ("copy", ["x"], ["sum"], {}),
        ("loop", [], [], {"maxLoopIterations": 8, "bodyNetwork": stop(kind)}),
    ]
    assert run(layers, ["i", "sum"], x=0) == {"i": [i], "sum": [total]}


def test_an_error_inside_names_the_way_to_the_layer(run):
    body = {
        "layers": [
            step("branch", ["x"], [], ifBranch={"layers": [step("reshapeStatic", ["x"], ["z"], targetShape=[7])]})
        ]
    }
    where = (
        r'layer "layer0" \(loop\) > layer "branch \[\]" \(branch\) > layer "reshapeStatic \[.z.\]" \(reshapeStatic\): '
    )
    with pytest.raises(EvaluationError, match=where):
        run([("loop", [], [], {"maxLoopIterations": 1, "bodyNetwork": body})], ["z"], x=1)


def test_copy(same):
    same("copy", [np.eye(3)], {}, np.eye(3))

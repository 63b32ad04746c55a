"""The fewest operations in float32: what is printed must pass, and less must not."""

from dataclasses import replace

import pytest
import torch
import yaml

from converter.convert import convert
from converter.debug.fix import MAX_CONVERSIONS, _shrunk, fix, manifest_lines
from converter.debug.look import exported
from converter.model import Target
from tests.debug.conftest import target
from tests.debug.test_look import Overflowing


@pytest.fixture
def fixed(make_case, tmp_path):
    def run(route, module, shape=(1, 512), *, spoilt=0.0):
        case = make_case(module.eval(), shape)
        outputs = tuple({"y": one["y"] + spoilt} for one in case.reference.outputs)
        case = replace(case, reference=replace(case.reference, outputs=outputs))
        source = exported(case.source, tmp_path) if route == "onnx" else case.source
        said = []
        found = fix(case, source, route, target("float16"), tmp_path, 0, said.append)
        return case, found, said

    return run


@pytest.mark.parametrize("route", ["direct", "onnx"])
def test_what_is_found_passes_and_less_does_not(route, fixed, tmp_path):
    case, found, said = fixed(route, Overflowing())
    assert 0 < len(found.names) <= 3
    verdicts = []
    for names in (found.names, *(found.names[:i] + found.names[i + 1 :] for i in range(len(found.names)))):
        path = tmp_path / f"again{len(verdicts)}.mlpackage"
        convert(case.source, route, target("float16", float32_ops=names), path)
        verdicts.append(case.judged(case.ask(path), "float16").passed)
    assert verdicts == [True] + [False] * len(found.names)
    assert "casts instead of" in found.words
    assert len(said) < MAX_CONVERSIONS


@pytest.mark.parametrize("route", ["direct", "onnx"])
def test_where_float32_does_not_pass_either_precision_is_not_the_cause(route, fixed):
    _, found, said = fixed(route, torch.nn.Linear(512, 4), spoilt=1.0)
    assert found.names == ()
    assert found.words.startswith("precision is not the cause")
    assert said == []


def test_the_manifests_lines_are_the_manifests():
    from converter.manifest.schema import Model

    wanted = ("/block/ReduceSum", "encoder.layer.0", "softmax", "a b", "x:y")
    read = yaml.safe_load(manifest_lines(target("float16"), wanted))
    model = Model(name="net", source={"torchvision": "resnet18"}, **read)
    assert model.targets == (replace(target("float16"), float32_ops=wanted),)
    assert isinstance(model.targets[0], Target)


class Judge:
    """A search whose trials are known: a set passes that holds all of `needed`."""

    def __init__(self, needed, budget=1000):
        self.needed, self.budget, self.trials = set(needed), budget, 0
        self.unknown = set()

    @property
    def is_over(self):
        return self.trials >= self.budget

    def passes(self, names):
        self.trials += 1
        return self.needed <= set(names)


@pytest.mark.parametrize("needed", [[0], [15], [3, 4], [0, 15], [1, 5, 9, 13], list(range(16))])
def test_what_is_not_needed_is_left_out(needed):
    assert _shrunk(Judge(needed), list(range(16))) == needed


def test_a_search_that_is_over_tells_what_it_has():
    judge = Judge([0, 15], budget=3)
    left = _shrunk(judge, list(range(16)))
    assert {0, 15} <= set(left)
    assert judge.trials == 3

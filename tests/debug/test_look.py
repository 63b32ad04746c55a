"""Every kind of source, and what float16 does to it."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from converter.convert import convert
from converter.debug import Case, lines, look_at_file, summary
from converter.errors import ManifestError, ValidationError
from tests.debug.conftest import Net, target


class Sum(torch.nn.Module):
    """A sum far beyond float16's 65504, and harmless again."""

    def forward(self, x):
        return torch.sum(x.abs() * 600, -1) / 600


class Overflowing(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first = torch.nn.Linear(512, 512)
        self.block = Sum()

    def forward(self, x):
        return self.block(torch.relu(self.first(x))) * 0.1


@pytest.fixture
def overflowing(make_case):
    return make_case(Overflowing().eval(), (1, 512))


@pytest.mark.parametrize("route", ["direct", "onnx"])
def test_what_leaves_float16_is_named_with_its_operation(route, found, overflowing):
    result = found(route, "float16", case=overflowing)
    first = result.ops[result.first]
    assert (result.stage, first.op_type) == ("precision", "reduce_sum")
    assert "infinite: beyond float16's 65504" in first.problem
    assert first.peak > 65504
    assert "block" in result.culprits[0]
    assert "--fix" in result.suggestion
    assert any("psnr_db" in words for words in result.missed)


@pytest.mark.parametrize("route", ["direct", "onnx"])
def test_in_float32_the_same_model_is_right(route, found, overflowing):
    assert found(route, case=overflowing).first is None


class Cancels(torch.nn.Module):
    """Digits lost, but no range: a small difference of large numbers."""

    def forward(self, x):
        y = torch.sigmoid(x)
        return ((y + 3000.0) - 3000.0) * 2


@pytest.mark.parametrize("route", ["direct", "onnx"])
def test_lost_digits_are_named_with_their_operation(route, found, make_case):
    result = found(route, "float16", case=make_case(Cancels().eval(), (1, 64)))
    first = result.ops[result.first]
    assert (result.stage, first.op_type) == ("precision", "sub" if route == "onnx" else first.op_type)
    assert result.ops[result.first - 2].psnr_db > 60


class Deep(torch.nn.Module):
    """Each layer adds to the error a little; no single one brings it in."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(64, 64) for _ in range(16))
        for layer in self.layers:
            torch.nn.init.normal_(layer.weight, std=0.25)

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


def test_an_error_that_grows_step_by_step_is_no_single_operations(found, make_case):
    result = found("onnx", "float16", case=make_case(Deep().eval(), (1, 64), psnr_db=60.0))
    assert result.first is not None
    assert result.stage == "precision"
    assert "no single operation" in result.suggestion


SOURCES = {
    "traced": lambda net, x: {"module": torch.jit.trace(net, x)},
    "scripted": lambda net, x: {"module": torch.jit.script(net)},
    "exported": lambda net, x: {"module": None, "exported": torch.export.export(net, (x,))},
}


@pytest.mark.parametrize("route", ["direct", "onnx"])
@pytest.mark.parametrize("kind", SOURCES)
def test_sources_without_modules_are_looked_into_as_well(kind, route, found, overflowing):
    made = SOURCES[kind](overflowing.source.module, torch.zeros(1, 512))
    case = replace(overflowing, source=replace(overflowing.source, **made))
    result = found(route, "float16", case=case)
    assert result.ops[result.first].op_type == "reduce_sum"


@pytest.fixture
def onnx_file(tmp_path):
    weights = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["hidden"], name="first"),
            helper.make_node("Gelu", ["hidden"], ["g"], name="second"),
            helper.make_node("Softmax", ["g"], ["y"], name="third", axis=-1),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 8])],
        [numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_values_of_an_onnx_source_have_their_own_names(onnx_file, found, make_case):
    """The scores before the last softmax are what is compared, as under validate."""
    result = found("onnx", case=make_case(shape=(4, 8), onnx_file=onnx_file))
    assert result.first is None
    assert {"hidden (MatMul)", "y (output)"} <= {op.source for op in result.ops}


def test_a_file_that_somebody_else_converted_is_held_against_the_source(make_case, tmp_path):
    """Its values are known by their numbers alone."""
    case = make_case()
    path = convert(case.source, "onnx", target(), tmp_path / "net.mlpackage").path
    assert look_at_file(case, path, "float32").first is None
    torch.manual_seed(0)
    other = Net().eval()
    with torch.no_grad():
        other.block[0].weight[0, 0, 1, 1] += 0.5
    result = look_at_file(make_case(other), path, "float32")
    assert result.ops[result.first].op_type == "conv"
    assert result.ops[result.first].source.startswith("block.0")
    assert result.route is None


def test_a_sample_may_be_chosen(found, make_case):
    case = make_case()
    assert found("onnx", case=case, sample=1).sample == case.reference.samples[1].name
    with pytest.raises(ManifestError, match="no such sample") as refused:
        found("onnx", case=case, sample=2)
    assert "seed 0" in refused.value.fix


def test_too_many_values_are_refused(found, make_case):
    with pytest.raises(ValidationError, match="take more than"):
        found("onnx", case=replace(make_case(), max_bytes=100))


def test_a_terminal_is_told_all(found, overflowing):
    result = found("onnx", "float16", case=overflowing)
    said = "\n".join(lines(result))
    assert summary(result) in said
    for part in (result.culprits[0], result.missed[0], result.suggestion, "^ reduce_sum_0", ">  reduce_sum_0"):
        assert part in said


def test_a_case_reads_the_limits_of_the_manifest(make_case):
    assert isinstance(make_case(psnr_db=12.0), Case)
    assert make_case(psnr_db=12.0).limits_db("float32") == [12.0]
    assert make_case().limits_db("float16") == [35.0]


def test_a_wrong_export_of_torch_is_told_from_a_wrong_conversion(found, make_case, monkeypatch):
    from converter.convert import torch as direct

    export = direct.export_onnx

    def wrong(source, path):
        said = export(source, path)
        model = onnx.load(path)
        for node in model.graph.node:
            if node.op_type == "LeakyRelu":
                node.attribute[0].f = 0.2
        onnx.save(model, path)
        return said

    monkeypatch.setattr(direct, "export_onnx", wrong)
    result = found("onnx", case=make_case())
    assert result.stage == "export"
    assert result.ops[result.first].op_type == "LeakyRelu"
    assert "export" in result.suggestion


class Probabilities(torch.nn.Module):
    def forward(self, x):
        return torch.softmax(x @ x.transpose(0, 1), -1)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("route", ["direct", "onnx"])
def test_a_model_that_ends_in_its_own_softmax_is_right(route, precision, found, make_case):
    result = found(route, precision, case=make_case(Probabilities().eval(), (4, 8)))
    assert result.first is None
    assert any(op.source == "y (output)" for op in result.ops)


class Masked(torch.nn.Module):
    """A mask of float32's lowest numbers, truths, constants, and a value that is all zero."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(8, 8)

    def forward(self, x):
        hidden = torch.full((8, 8), torch.finfo(torch.float32).min).triu(1)
        x = self.layer(x)
        x = x.masked_fill(x > 0.5, 0.25)
        y = torch.softmax(x @ x.transpose(-1, -2) + hidden, -1)
        return self.layer(y @ torch.relu(x)) + torch.relu(-x.abs()) + torch.ones(8)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("route", ["direct", "onnx"])
def test_masks_constants_and_zeros_raise_no_alarm(route, precision, found, make_case):
    assert found(route, precision, case=make_case(Masked().eval(), (1, 8, 8))).first is None

"""`float32_ops` on both routes: what it names is float32 in the saved file, and the answer is what float32 gives."""

import numpy as np
import pytest
import torch

import converter
from converter.convert import convert
from converter.convert.naming import Names, module_path
from converter.errors import ConversionError
from converter.evaluate.bundle import read
from converter.model import Target, TensorInput

FLOAT32 = 11  # of MIL's DataType


class Block(torch.nn.Module):
    """A mean of numbers beyond float16's 65504."""

    def forward(self, x):
        return torch.sum(x * 600, -1, keepdim=True) / 600


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.Sequential(torch.nn.Sigmoid(), Block())
        self.last = torch.nn.Softplus()

    def forward(self, x):
        return self.last(self.blocks(x)) * 0.001


X = torch.linspace(-3, 3, 512).reshape(1, 512)


@pytest.fixture
def convert_net(make_source, tmp_path):
    def run(route, *names, module=None, exported=None):
        module = module or Net().eval()
        source = make_source(
            TensorInput(name="x", shape=(1, 512), dtype="float32"),
            module=None if exported else module,
            example=(X,),
            **({"exported": exported} if exported else {}),
        )
        target = Target(
            format="mlpackage", deployment_target="iOS16", compute_precision="float16", float32_ops=tuple(names)
        )
        return convert(source, route, target, tmp_path / f"net{len(list(tmp_path.iterdir()))}.mlpackage").path

    return run


def float32_types(path):
    function = read(path).spec.mlProgram.functions["main"]
    operations = function.block_specializations[function.opset].operations
    return {
        op.type
        for op in operations
        if op.type not in ("const", "cast", "clip") and op.outputs[0].type.tensorType.dataType == FLOAT32
    }


def answer(path):
    return converter.load_model(path).predict({"x": X.numpy()})["scores"]


@pytest.mark.parametrize("route", ["direct", "onnx"])
@pytest.mark.parametrize(
    "names", [["blocks.1"], ["/blocks/blocks.1"], ["blocks"], ["Mul", "ReduceSum", "reduce_sum", "real_div", "Div"]]
)
def test_what_is_named_computes_in_float32(route, names, convert_net):
    own = [n for n in names if route == "direct" or n not in ("reduce_sum", "real_div")]
    own = [n for n in own if route == "onnx" or n not in ("Div", "real_div")]
    wanted = Net()(X).numpy()
    assert not np.allclose(answer(convert_net(route)), wanted, rtol=0.01)
    path = convert_net(route, *own)
    assert "reduce_sum" in float32_types(path)
    np.testing.assert_allclose(answer(path), wanted, rtol=2e-3)


@pytest.mark.parametrize(("route", "name"), [("direct", "softplus"), ("onnx", "Softplus"), ("direct", "SoftPlus")])
def test_a_type_is_named_in_any_spelling(route, name, convert_net):
    assert float32_types(convert_net(route, name)) == {"softplus"}


def test_the_names_in_the_saved_file_are_names_of_the_direct_route(convert_net):
    function = read(convert_net("direct")).spec.mlProgram.functions["main"]
    operations = function.block_specializations[function.opset].operations
    softplus = next(op for op in operations if op.type == "softplus")
    assert softplus.outputs[0].name.endswith("_cast_fp16")
    assert float32_types(convert_net("direct", softplus.outputs[0].name)) == {"softplus"}


def test_an_exported_program_knows_types(convert_net):
    exported = torch.export.export(Net().eval(), (X,))
    assert float32_types(convert_net("direct", "softplus", exported=exported)) == {"softplus"}


@pytest.mark.parametrize("route", ["direct", "onnx"])
def test_names_that_nothing_has_are_refused_together(route, convert_net):
    with pytest.raises(ConversionError, match="float32_ops names 'block', 'Conv', and no") as refused:
        convert_net(route, "block", "blocks", "Conv")
    assert refused.value.fix


def test_what_cannot_be_float16_anyway_is_no_stranger(make_source, convert_net):
    class Large(torch.nn.Module):
        def forward(self, x):
            return torch.relu(x + 1e6) * 1e-6

    assert "add" in float32_types(convert_net("direct", "add", module=Large().eval()))


@pytest.mark.parametrize(
    ("node", "path"),
    [
        ("/encoder/layer.0/attention/MatMul", "encoder.layer.0.attention.MatMul"),
        ("/features/features.1/conv/conv.0/conv.0.0/Conv", "features.1.conv.0.0.Conv"),
        ("/layer1/layer1.10/conv1/Conv", "layer1.10.conv1.Conv"),
        ("/layer1/layer10/Conv", "layer1.layer10.Conv"),
        ("/Relu", "Relu"),
        ("node_Conv_25", "node_Conv_25"),
        ("", ""),
    ],
)
def test_a_node_is_in_the_module_that_torch_wrote_it_for(node, path):
    assert module_path(node) == path


@pytest.mark.parametrize("name", ["layer1", "layer1.1", "/layer1", "Conv", "/layer1/layer1.1/Conv", "conv"])
def test_a_name_holds_what_it_names(name):
    assert Names([name]).holds("Conv", ["/layer1/layer1.1/Conv"], "layer1.1.Conv")


@pytest.mark.parametrize("name", ["layer", "layer1.10", "ConvTranspose", "layer1.1.C", "/", "."])
def test_a_name_holds_nothing_else(name):
    assert not Names([name]).holds("Conv", ["/layer1/layer1.1/Conv"], "layer1.1.Conv")

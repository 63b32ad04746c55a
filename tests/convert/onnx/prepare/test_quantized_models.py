"""Networks as onnxruntime's quantizers and optimizers write them: the same answers, and weights that stay small."""

import io
import logging
import math
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.optimizer import optimize_model
from torch import nn

import converter
from converter.convert.onnx.prepare import prepare, quantized

BATCHES = 6


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.wide = nn.Conv2d(32, 64, 1, stride=2)
        self.last = nn.Conv2d(64, 64, 3, padding=1)
        self.classes = nn.Linear(64, 10)

    def forward(self, x):
        x = nn.functional.hardswish(self.depthwise(torch.relu(self.first(x))))
        x = torch.max_pool2d(torch.relu(self.wide(x)), 2)
        x = self.last(x) + x
        return self.classes((torch.sigmoid(x) * x).mean((2, 3)))


class Block(nn.Module):
    """Embedded words, attention of 4 heads, two layers behind it."""

    def __init__(self, width=64):
        super().__init__()
        self.words = nn.Embedding(200, width)
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.classes = nn.Linear(width, 100)

    def forward(self, words):
        x = self.words(words)
        batch, length, width = x.shape
        y = self.before(x)
        q, k, v = (
            f(y).reshape(batch, length, 4, width // 4).transpose(1, 2) for f in (self.query, self.key, self.value)
        )
        y = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(width // 4), -1) @ v
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, width))
        return self.classes(x + self.narrow(nn.functional.gelu(self.wide(self.between(x)))))


NETS = {
    "convolutions": (Convolutions, lambda r: r.standard_normal((1, 3, 16, 16)).astype(np.float32)),
    "block": (Block, lambda r: r.integers(0, 200, (1, 9))),
}


class Batches(CalibrationDataReader):
    def __init__(self, draw):
        self.batches = iter([{"x": draw(np.random.default_rng(seed))} for seed in range(BATCHES)])

    def get_next(self):
        return next(self.batches, None)


@pytest.fixture(scope="module", params=NETS)
def net(request, tmp_path_factory):
    """A network's file, prepared for quantization, and how its inputs are drawn."""
    logging.disable(logging.WARNING)
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    module, draw = NETS[request.param]
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (torch.tensor(draw(np.random.default_rng(0))),)
        torch.onnx.export(module().eval(), example, file, opset_version=17, dynamo=False, input_names=["x"])
    (folder / "plain.onnx").write_bytes(file.getvalue())
    quant_pre_process(folder / "plain.onnx", folder / "net.onnx", skip_symbolic_shape=True)
    yield folder / "net.onnx", draw
    logging.disable(logging.NOTSET)


def answers(path, inputs, level=onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL, optimized=None):
    """What onnxruntime answers node by node: its own optimizations round elsewhere."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, inputs)


def psnr_db(reference, candidate):
    error = np.sqrt(np.mean((reference.astype(np.float64) - candidate) ** 2))
    return math.inf if error == 0 else 20 * math.log10(np.abs(reference).max() / error)


def static(path, folder, draw, **options):
    target = folder / "static.onnx"
    quantize_static(path, target, Batches(draw), **options)
    return target


STATIC = [
    {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8},
    {
        "quant_format": QuantFormat.QDQ,
        "activation_type": QuantType.QInt8,
        "weight_type": QuantType.QInt8,
        "per_channel": True,
    },
    {"quant_format": QuantFormat.QOperator, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QUInt8},
    {
        "quant_format": QuantFormat.QOperator,
        "activation_type": QuantType.QInt8,
        "weight_type": QuantType.QInt8,
        "per_channel": True,
    },
]
words = lambda options: "-".join(str(value) for value in options.values())  # noqa: E731


@pytest.mark.parametrize("options", STATIC, ids=words)
@pytest.mark.parametrize("release", ["iOS15", "iOS17"])
def test_a_statically_quantized_network_answers_as_onnxruntime_does(answer, net, tmp_path, options, release):
    path, draw = net
    model = static(path, tmp_path, draw, **options)
    inputs = {"x": draw(np.random.default_rng(99))}
    (got,) = answer(onnx.load(model), inputs, deployment_target=release)
    assert psnr_db(answers(model, inputs)[0], got) >= 100


@pytest.mark.parametrize("release", ["iOS16", "iOS17"])
def test_a_statically_quantized_network_in_float16_is_a_few_levels_off(answer, net, tmp_path, release):
    path, draw = net
    model = static(path, tmp_path, draw, **STATIC[0])
    inputs = {"x": draw(np.random.default_rng(99))}
    (got,) = answer(onnx.load(model), inputs, deployment_target=release, compute_precision="float16")
    assert psnr_db(answers(model, inputs)[0], got) >= 35


def test_sixteen_bits_between_the_operators_are_counted_in_float32(answer, net, tmp_path):
    path, draw = net
    options = {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt16, "weight_type": QuantType.QInt8}
    model = static(path, tmp_path, draw, **options)
    inputs = {"x": draw(np.random.default_rng(99))}
    (got,) = answer(onnx.load(model), inputs, compute_precision="float16")
    assert psnr_db(answers(model, inputs)[0], got) >= 50


@pytest.mark.parametrize("compute_precision", ["float32", "float16"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_dynamically_quantized_network_answers_as_onnxruntime_does(
    answer, net, tmp_path, per_channel, compute_precision
):
    path, draw = net
    quantize_dynamic(path, tmp_path / "d.onnx", per_channel=per_channel, weight_type=QuantType.QUInt8)
    inputs = {"x": draw(np.random.default_rng(99))}
    (got,) = answer(onnx.load(tmp_path / "d.onnx"), inputs, compute_precision=compute_precision)
    assert psnr_db(answers(tmp_path / "d.onnx", inputs)[0], got) >= (100 if compute_precision == "float32" else 40)


@pytest.mark.parametrize("quantization", ["none", "static", "dynamic"])
def test_what_onnxruntime_optimized_answers_as_before(answer, net, tmp_path, quantization):
    path, draw = net
    if quantization == "static":
        path = static(path, tmp_path, draw, **STATIC[0])
    elif quantization == "dynamic":
        quantize_dynamic(path, tmp_path / "d.onnx", weight_type=QuantType.QUInt8)
        path = tmp_path / "d.onnx"
    inputs = {"x": draw(np.random.default_rng(99))}
    extended = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    answers(path, inputs, extended, tmp_path / "optimized.onnx")
    model = onnx.load(tmp_path / "optimized.onnx")
    assert any(node.domain == "com.microsoft" for node in model.graph.node)
    (got,) = answer(model, inputs)
    # Not what it makes of the optimized model: its quantized softmax is a level off where it looks up the exponentials.
    assert psnr_db(answers(path, inputs)[0], got) >= 100


@pytest.mark.parametrize("release", ["iOS16", "iOS18"])
def test_what_onnxruntimes_transformer_optimizer_writes_answers_as_before(answer, net, tmp_path, release):
    path, draw = net
    optimized = optimize_model(str(path), model_type="bert", num_heads=4, hidden_size=64, opt_level=0)
    optimized.save_model_to_file(str(tmp_path / "optimized.onnx"))
    inputs = {"x": draw(np.random.default_rng(99))}
    (got,) = answer(onnx.load(tmp_path / "optimized.onnx"), inputs, deployment_target=release)
    assert psnr_db(answers(path, inputs)[0], got) >= 100


def test_attention_quantized_dynamically_answers_as_onnxruntime_does(answer, net, tmp_path):
    path, draw = net
    optimized, model = str(tmp_path / "optimized.onnx"), tmp_path / "dynamic.onnx"
    optimize_model(str(path), model_type="bert", num_heads=4, hidden_size=64, opt_level=0).save_model_to_file(optimized)
    floats = {"DefaultTensorType": TensorProto.FLOAT}  # of what has no schema
    quantize_dynamic(optimized, model, weight_type=QuantType.QUInt8, extra_options=floats)
    inputs = {"x": draw(np.random.default_rng(99))}
    (got,) = answer(onnx.load(model), inputs)
    assert psnr_db(answers(model, inputs)[0], got) >= 100


def test_a_quantized_neural_network_answers_as_onnxruntime_does(answer, net, tmp_path):
    path, draw = net
    inputs = {"x": draw(np.random.default_rng(99))}
    quantize_dynamic(path, tmp_path / "dynamic.onnx", weight_type=QuantType.QUInt8)
    for model in (static(path, tmp_path, draw, **STATIC[0]), tmp_path / "dynamic.onnx"):
        (got,) = answer(onnx.load(model), inputs, format="mlmodel", deployment_target="iOS14")
        assert psnr_db(answers(model, inputs)[0], got) >= 100


def weights_bytes(path, target):
    """The size of an .mlpackage's weights."""
    converter.convert_onnx(path, target, **({} if "15" not in target.stem else {"deployment_target": "iOS15"}))
    (weights,) = Path(target).rglob("weight.bin")
    return weights.stat().st_size


@pytest.mark.parametrize("kind", ["static", "operators", "dynamic"])
def test_the_package_is_about_as_large_as_its_weights_in_bytes(net, tmp_path, kind):
    path, draw = net
    weights = sum(math.prod(t.dims) for t in onnx.load(path).graph.initializer if math.prod(t.dims) > 400)
    if kind == "dynamic":
        quantize_dynamic(path, tmp_path / "model.onnx", weight_type=QuantType.QUInt8)
        model = tmp_path / "model.onnx"
    else:
        model = static(path, tmp_path, draw, **STATIC[0 if kind == "static" else 2])
    assert weights <= weights_bytes(model, tmp_path / "small.mlpackage") <= 1.15 * weights
    assert weights_bytes(model, tmp_path / "floats15.mlpackage") >= 1.9 * weights


def graph_of(*nodes, constants, inputs=(("x", TensorProto.FLOAT, (2, 4)),), opset=17):
    types = [helper.make_tensor_value_info(*given) for given in inputs]
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "case", types, [onnx.ValueInfoProto(name="y")], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


WEIGHTS = {"w": np.arange(24, dtype=np.int8).reshape(6, 4), "s": np.float32(0.5)}
DEQUANTIZE = helper.make_node("DequantizeLinear", ["w", "s"], ["f"])
TRANSPOSE = helper.make_node("Transpose", ["f"], ["t"])


def test_a_transposed_weight_is_transposed_in_levels():
    product = helper.make_node("MatMul", ["x", "t"], ["y"])
    graph = prepare(graph_of(DEQUANTIZE, TRANSPOSE, product, constants=WEIGHTS))
    assert [node.op_type for node in graph.nodes] == ["DequantizeLinear", "FusedMatMul"]
    assert [name for name, value in graph.constants.items() if value.dtype == np.float32] == ["s"]


def test_what_else_uses_a_constant_gets_floats():
    added = helper.make_node("Add", ["x", "t"], ["y"])
    inputs = (("x", TensorProto.FLOAT, (4, 6)),)
    graph = prepare(graph_of(DEQUANTIZE, TRANSPOSE, added, constants=WEIGHTS, inputs=inputs))
    assert [node.op_type for node in graph.nodes] == ["Add"]


def test_a_weight_that_is_an_output_too_is_folded():
    nodes = [DEQUANTIZE, helper.make_node("Gemm", ["x", "f"], ["y"], transB=1)]
    assert quantized.kept(nodes, ["y"]) == {"f"}
    assert quantized.kept(nodes, ["y", "f"]) == frozenset()

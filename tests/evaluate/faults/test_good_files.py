"""What coremltools writes has no faults: each kind of model and feature, in both formats where both have it."""

import coremltools as ct
import coremltools.optimize.coreml as cto
import numpy as np
import pytest
import torch
from coremltools.converters.mil.mil import Builder
from coremltools.models.neural_network import quantization_utils
from torch import nn

from converter import check_file


class Layers(nn.Module):
    """Many kinds of layer at once."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8)
        self.up, self.prelu = nn.ConvTranspose2d(8, 4, 2, 2), nn.PReLU(4)
        self.lstm = nn.LSTM(4, 6, batch_first=True, bidirectional=True)
        self.attend = nn.MultiheadAttention(12, 3, batch_first=True)
        self.last = nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 48), nn.GELU(), nn.Linear(48, 5))

    def forward(self, x):
        x = self.prelu(self.up(torch.sigmoid(self.norm(self.conv(x)))))
        x = nn.functional.interpolate(x, scale_factor=0.5, mode="bilinear")
        x, _ = self.lstm(x.flatten(2).transpose(1, 2))
        x = x + self.attend(x, x, x, need_weights=False)[0]
        return self.last(x), x.topk(3)[1].float()


class Looked(nn.Module):
    """Indices of an input choose rows."""

    def __init__(self):
        super().__init__()
        self.rows, self.line = nn.Embedding(10, 16), nn.Linear(16, 4)

    def forward(self, ids):
        return self.line(self.rows(ids).mean(1))


class Loop(torch.nn.Module):
    def forward(self, x):
        while bool(x.sum() < 100):
            x = x * 2
        return x + 1 if bool(x.max() > 3) else x - 1


class Total(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x):
        self.total.add_(x)
        return self.total * 2


@Builder.program(input_specs=[Builder.TensorSpec(shape=(5, 10))], opset_version=ct.target.iOS17)
def mixed(y):
    """From iOS17 on a constant may be of another type than what it is multiplied with."""
    return Builder.matmul(x=np.ones((2, 5), np.float16), y=y)


class Picture(nn.Module):
    def forward(self, x):
        return 255 - x


def wide():
    """Large enough that optimize.coreml compresses it, and wide enough for blocks of 32."""
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(3, 64, 3, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 2), nn.Flatten(), nn.Linear(3136, 8))


IMAGE = (1, 3, 32, 32)
BOTH = pytest.mark.parametrize("to", ["mlprogram", "neuralnetwork"])


def checked(path):
    assert "\n".join(map(str, check_file(path))) == ""


@pytest.mark.parametrize(
    ("to", "target", "precision"),
    [
        ("mlprogram", ct.target.iOS15, ct.precision.FLOAT16),
        ("mlprogram", ct.target.iOS17, ct.precision.FLOAT16),
        ("mlprogram", ct.target.iOS18, ct.precision.FLOAT32),
        ("neuralnetwork", None, None),
    ],
)
def test_many_layers(to, target, precision, convert):
    image = ct.ImageType(name="image", shape=IMAGE, scale=1 / 255)
    checked(convert(Layers(), [image], to=to, target=target, precision=precision))


@BOTH
@pytest.mark.parametrize(
    "shape",
    [
        ct.Shape((1, 3, ct.RangeDim(8, 64, default=16), ct.RangeDim(8, 64, default=32))),
        ct.EnumeratedShapes([[1, 3, 16, 32], [1, 3, 32, 32], [1, 3, 64, 16]]),
    ],
    ids=["range", "enumerated"],
)
@pytest.mark.parametrize("kind", [ct.ImageType, ct.TensorType])
def test_flexible_shapes(kind, shape, to, convert):
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    checked(convert(net, [kind(name="x", shape=shape)], to=to))


@BOTH
def test_a_default_size_for_which_the_network_is_too_large(to, convert):
    """The lower bound is the default that coremltools takes, also where the app never gives it."""
    net = nn.Sequential(nn.Conv1d(2, 3, 7))
    path = convert(net, [ct.TensorType(name="x", shape=ct.Shape((1, 2, ct.RangeDim(7, 64, default=32))))], to=to)
    checked(path)


@BOTH
def test_integer_inputs(to, convert):
    traced = torch.jit.trace(Looked().eval(), torch.zeros(1, 6, dtype=torch.int32))
    inputs = [ct.TensorType(name="ids", shape=(1, 6), dtype=np.int32)]
    checked(ct.convert(traced, inputs=inputs, convert_to=to, skip_model_load=True))


@BOTH
def test_control_flow(to):
    model = ct.convert(
        torch.jit.script(Loop()), inputs=[ct.TensorType(shape=(2, 3))], convert_to=to, skip_model_load=True
    )
    checked(model)


@BOTH
@pytest.mark.parametrize("labels", [["a", "b", "c", "d"], [4, 5, 6, 7]], ids=["strings", "ints"])
def test_classifiers(labels, to, convert):
    net = nn.Sequential(nn.Conv2d(3, 4, 5, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1))
    image = [ct.ImageType(name="image", shape=IMAGE, color_layout=ct.colorlayout.BGR)]
    checked(convert(net, image, to=to, classifier_config=ct.ClassifierConfig(labels)))


@BOTH
@pytest.mark.parametrize("color", [ct.colorlayout.RGB, ct.colorlayout.GRAYSCALE])
def test_image_outputs(color, to, convert):
    shape = IMAGE if color == ct.colorlayout.RGB else (1, 1, 32, 32)
    image = ct.ImageType(name="image", shape=shape, color_layout=color)
    checked(convert(Picture(), [image], to=to, outputs=[ct.ImageType(name="out", color_layout=color)]))


def test_float16_faces(convert):
    x = ct.ImageType(name="x", shape=(1, 1, 32, 32), color_layout=ct.colorlayout.GRAYSCALE_FLOAT16)
    out = ct.TensorType(name="y", dtype=np.float16)
    checked(convert(Picture(), [x], outputs=[out], precision=ct.precision.FLOAT16))


COMPRESSIONS = {
    "8 bit": lambda m: cto.linear_quantize_weights(m, cto.OptimizationConfig(cto.OpLinearQuantizerConfig())),
    "4 bit blocks": lambda m: cto.linear_quantize_weights(
        m,
        cto.OptimizationConfig(cto.OpLinearQuantizerConfig(dtype="int4", granularity="per_block", block_size=16)),
    ),
    "6 bit palette": lambda m: cto.palettize_weights(
        m, cto.OptimizationConfig(cto.OpPalettizerConfig(mode="uniform", nbits=6))
    ),
    "sparse": lambda m: cto.prune_weights(
        m, cto.OptimizationConfig(cto.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=64))
    ),
    "sparse and 8 bit": lambda m: cto.linear_quantize_weights(
        COMPRESSIONS["sparse"](m),
        cto.OptimizationConfig(cto.OpLinearQuantizerConfig()),
        joint_compression=True,
    ),
}


@pytest.mark.parametrize(
    ("form", "target"),
    [
        ("8 bit", ct.target.iOS16),
        ("4 bit blocks", ct.target.iOS18),
        ("6 bit palette", ct.target.iOS16),
        ("6 bit palette", ct.target.iOS18),
        ("sparse", ct.target.iOS16),
        ("sparse and 8 bit", ct.target.iOS18),
    ],
)
def test_compressed_programs(form, target, convert, tmp_path):
    path = convert(wide(), [ct.TensorType(name="x", shape=IMAGE)], target=target)
    model = ct.models.MLModel(str(path), skip_model_load=True)
    COMPRESSIONS[form](model).save(str(tmp_path / "m.mlpackage"))
    checked(tmp_path / "m.mlpackage")


@pytest.mark.parametrize(
    ("bits", "mode"), [(16, "linear"), (8, "linear"), (8, "linear_symmetric"), (4, "linear"), (4, "linear_lut")]
)
def test_quantized_networks(bits, mode, convert, tmp_path):
    path = convert(wide(), [ct.TensorType(name="x", shape=IMAGE)], to="neuralnetwork")
    model = ct.models.MLModel(str(path), skip_model_load=True)
    quantized = quantization_utils.quantize_weights(model, bits, mode)
    spec = quantized.get_spec() if hasattr(quantized, "get_spec") else quantized  # a model on macOS only
    (tmp_path / "m.mlmodel").write_bytes(spec.SerializeToString())
    checked(tmp_path / "m.mlmodel")


@BOTH
def test_pipelines(to, convert, tmp_path):
    x, h = (ct.TensorType(name=name, shape=(1, size)) for name, size in (("x", 4), ("h", 3)))
    paths = [
        convert(nn.Linear(4, 3), [x], to=to, outputs=[ct.TensorType(name="h")]),
        convert(nn.Linear(3, 2), [h], to=to, outputs=[ct.TensorType(name="y")]),
    ]
    models = [ct.models.MLModel(str(path), skip_model_load=True) for path in paths]
    pipeline = ct.utils.make_pipeline(*models, compute_units=ct.ComputeUnit.CPU_ONLY)
    path = tmp_path / ("p.mlpackage" if to == "mlprogram" else "p.mlmodel")
    pipeline.save(str(path))
    checked(path)


def test_states(convert):
    state = ct.StateType(ct.TensorType(shape=(3,), dtype=np.float16), name="total")
    x = ct.TensorType(name="x", shape=(3,))
    checked(convert(Total(), [x], states=[state], target=ct.target.iOS18, precision=ct.precision.FLOAT16))


def test_several_functions(convert, tmp_path):
    described = ct.utils.MultiFunctionDescriptor()
    for name in ("one", "two"):
        x = ct.TensorType(name=f"x_{name}", shape=(1, 64))
        path = convert(nn.Linear(64, 8), [x], target=ct.target.iOS18)
        described.add_function(str(path), "main", name)
    described.default_function_name = "two"
    ct.utils.save_multifunction(described, str(tmp_path / "m.mlpackage"))
    checked(tmp_path / "m.mlpackage")


def test_operands_of_two_types():
    target, precision = ct.target.iOS17, ct.precision.FLOAT32
    options = {"minimum_deployment_target": target, "compute_precision": precision, "skip_model_load": True}
    checked(ct.convert(mixed, convert_to="mlprogram", **options))

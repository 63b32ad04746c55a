"""Whole networks, converted by coremltools and saved, against torch; random weights."""

import coremltools as ct
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision import models

from converter.evaluate.layers import Network
from converter.evaluate.proto import Model_pb2

IOS13, IOS14 = ct.target.iOS13, ct.target.iOS14
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
pytestmark = pytest.mark.filterwarnings("ignore")


def randomized(module):
    """Statistics and zeros made random, so that every number counts."""
    generator = torch.Generator().manual_seed(0)
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.is_floating_point() and (name.endswith("running_mean") or value.abs().max() < 1e-3):
            value.uniform_(-0.2, 0.2, generator=generator)
    return module.eval()


def converted(module, example, path, target, **options):
    """The Core ML file's network, read from disk, and its outputs' names."""
    traced = torch.jit.trace(module, example, check_trace=False)
    model = ct.convert(traced, convert_to="neuralnetwork", minimum_deployment_target=target, **options)
    model.save(str(path))
    spec = Model_pb2.Model.FromString(path.read_bytes())
    return Network(spec), [output.name for output in spec.description.output]


def psnr_db(reference, candidate):
    reference, candidate = reference.flatten().double(), candidate.flatten().double()
    return 20 * torch.log10(reference.abs().max() / (reference - candidate).square().mean().sqrt())


class Classifier(nn.Module):
    """Pixels shifted by -mean come in; they are divided by std, and softmax is appended."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.register_buffer("std", STD.view(1, 3, 1, 1))

    def forward(self, x):
        return torch.softmax(self.net(x / self.std), 1)


def vit():
    return models.VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=10)


def swin():
    return models.SwinTransformer([4, 4], 12, [2, 2], [1, 2], [4, 4], num_classes=10)


def resnet():
    return models.resnet.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=10)


def efficientnet():
    block = models.efficientnet.MBConvConfig
    return models.EfficientNet([block(1, 3, 1, 32, 16, 1), block(6, 5, 2, 16, 24, 2)], 0.1, num_classes=10)


def convnext():
    block = models.convnext.CNBlockConfig
    return models.ConvNeXt([block(12, 24, 1), block(24, None, 2)], num_classes=10)


def shufflenet():
    return models.ShuffleNetV2([1, 2, 1], [8, 16, 32, 64, 128], num_classes=10)


CLASSIFIERS = [
    (lambda: models.MobileNetV2(num_classes=10, width_mult=0.25), IOS13, "RGB"),
    (resnet, IOS13, "RGB"),
    (efficientnet, IOS13, "BGR"),
    (lambda: models.DenseNet(4, (2, 2), 8, num_classes=10), IOS13, "RGB"),
    (lambda: models.SqueezeNet("1_1", num_classes=10), IOS13, "BGR"),
    (convnext, IOS13, "RGB"),
    (shufflenet, IOS14, "RGB"),
    (vit, IOS14, "RGB"),
    (swin, IOS14, "RGB"),
]


@pytest.mark.parametrize(("build", "target", "colour"), CLASSIFIERS)
def test_image_classifiers(tmp_path, build, target, colour):
    torch.manual_seed(0)
    net = randomized(Classifier(build()))
    bias = (-MEAN if colour == "RGB" else -MEAN.flip(0)).tolist()
    image = ct.ImageType("image", shape=(1, 3, 32, 32), scale=1 / 255, bias=bias, color_layout=colour)
    labels = ct.ClassifierConfig([f"class {i}" for i in range(10)])
    inputs = torch.rand(1, 3, 32, 32)
    network, _ = converted(net, inputs, tmp_path / "m.mlmodel", target, inputs=[image], classifier_config=labels)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32)).astype(np.float32))
    probabilities = network._message.labelProbabilityLayerName
    before, kind = network.activation_input(probabilities)
    values = network.run({"image": pixels}, [probabilities, before])
    with torch.no_grad():
        shifted = pixels / 255 - torch.tensor(bias).neg().view(1, 3, 1, 1)
        logits = net.net(shifted / net.std)
    assert kind == "softmax"
    assert logits.std() > 0.01
    assert psnr_db(logits, values[before]) > 110
    torch.testing.assert_close(values[probabilities].flatten(), logits.softmax(1).flatten(), rtol=1e-5, atol=1e-6)


class Recurrent(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)[0]


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


MODULES = {
    "lstm": (Recurrent(nn.LSTM(4, 6, batch_first=True)), (2, 5, 4)),
    "bidirectional lstm": (Recurrent(nn.LSTM(4, 6, bidirectional=True)), (5, 2, 4)),
    "stacked lstm": (Recurrent(nn.LSTM(4, 6, num_layers=2)), (5, 2, 4)),
    "rnn": (Recurrent(nn.RNN(4, 6)), (5, 1, 4)),
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1), (2, 4, 9)),
    "conv3d": (nn.Conv3d(2, 4, (2, 3, 3), stride=(1, 2, 1), padding=1, groups=2), (1, 2, 5, 6, 7)),
    "conv same": (nn.Conv2d(3, 4, (2, 3), padding="same"), (1, 3, 6, 7)),
    "deconvolution": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2), (1, 4, 5, 6)),
    "dilated deconvolution": (nn.ConvTranspose2d(4, 6, 3, padding=1, dilation=2), (1, 4, 5, 6)),
    "deconvolution, output padding": (nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1), (1, 4, 5, 6)),
    "deconvolution 1d": (nn.ConvTranspose1d(4, 6, 4, stride=2, padding=1), (1, 4, 5)),
    "deconvolution 3d": (nn.ConvTranspose3d(2, 3, 2, stride=2), (1, 2, 3, 4, 5)),
    "batchnorm 1d": (nn.BatchNorm1d(4), (2, 4, 9)),
    "batchnorm 3d": (nn.BatchNorm3d(4), (1, 4, 3, 4, 5)),
    "instancenorm": (nn.InstanceNorm2d(4, affine=True), (2, 4, 5, 6)),
    "groupnorm": (nn.GroupNorm(2, 4), (2, 4, 5, 6)),
    "layernorm": (nn.LayerNorm(6), (2, 4, 6)),
    "layernorm of more axes": (nn.LayerNorm((5, 6)), (2, 4, 5, 6)),
    "prelu": (nn.PReLU(4), (2, 4, 5, 6)),
    "activations": (nn.Sequential(nn.SiLU(), nn.Hardswish(), nn.ELU(), nn.Softplus(), nn.GELU(), nn.Mish()), (2, 7)),
    "max pool, ceil": (nn.MaxPool2d(3, 2, ceil_mode=True), (1, 3, 8, 9)),
    "average pool": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (1, 3, 8, 9)),
    "pool 1d": (nn.AvgPool1d(3, 2, 1), (1, 3, 9)),
    "pool 3d": (nn.MaxPool3d(2, 2), (1, 3, 4, 6, 8)),
    "adaptive pool": (nn.AdaptiveAvgPool2d((2, 3)), (1, 3, 8, 9)),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), (1, 3, 5, 6)),
    "bilinear, aligned": (nn.Upsample((9, 7), mode="bilinear", align_corners=True), (1, 3, 5, 6)),
    "nearest": (nn.Upsample(scale_factor=2), (1, 3, 5, 6)),
    "reflection": (nn.ReflectionPad2d((1, 2, 0, 3)), (1, 3, 5, 6)),
    "pixel shuffle": (nn.PixelShuffle(2), (1, 8, 3, 4)),
    "einsum": (Call(lambda x: torch.einsum("bchw,bwhu->bchu", x, x)), (1, 4, 3, 4)),
    "attention": (Call(lambda x: functional.scaled_dot_product_attention(x, x, x)), (1, 2, 5, 4)),
    "slices": (Call(lambda x: torch.cat([x[:, 1:, ::2], x[:, :-1, 1::2]], 1).flip(2)[:, 0]), (2, 4, 6)),
    "roll": (Call(lambda x: torch.roll(x, (1, -2), (1, 2))), (2, 4, 6)),
    "gather": (Call(lambda x: x.gather(1, torch.tensor([[0, 2, 1]] * 2))), (2, 3)),
    "topk": (Call(lambda x: torch.topk(x, 2)[0]), (3, 5)),
    "cumsum": (Call(lambda x: x.cumsum(1)), (3, 5)),
    "reductions": (Call(lambda x: x.norm(dim=1) + x.logsumexp(1) + x.amin(1) + x.var(1)), (3, 5)),
    "masks": (Call(lambda x: torch.where(x > 0.1, x, x.tril()) + x.clamp(-0.2, 0.3)), (5, 5)),
    "powers": (Call(lambda x: x.abs().pow(1.5) + x.exp().log() + x.abs().rsqrt() + x.remainder(0.3)), (3, 5)),
    "trigonometry": (Call(lambda x: x.sin() + x.cosh() + x.atan() + (x / 9).asin() + x.erf()), (3, 5)),
    "one hot": (Call(lambda x: functional.one_hot(x.argmax(1), 5).float()), (3, 5)),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(tmp_path, name):
    module, shape = MODULES[name]
    torch.manual_seed(1)
    x = torch.randn(shape)
    module = randomized(module)
    inputs = [ct.TensorType("x", shape=shape)]
    network, [output] = converted(module, x, tmp_path / "m.mlmodel", IOS14, inputs=inputs)
    with torch.no_grad():
        expected = module(x)
    got = network.run({"x": x}, [output])[output]
    assert got.shape == expected.shape
    torch.testing.assert_close(got, expected, rtol=2e-5, atol=2e-5)


def test_flexible_shapes(tmp_path):
    torch.manual_seed(0)
    module = randomized(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)))
    shape = ct.Shape((1, 3, ct.RangeDim(8, 64, 8), ct.RangeDim(8, 64, 8)))
    inputs = [ct.TensorType("x", shape=shape)]
    network, [output] = converted(module, torch.randn(1, 3, 8, 8), tmp_path / "m.mlmodel", IOS13, inputs=inputs)
    x = torch.randn(1, 3, 24, 40)
    with torch.no_grad():
        torch.testing.assert_close(network.run({"x": x}, [output])[output], module(x), rtol=1e-5, atol=1e-5)


def test_control_flow_of_a_script(tmp_path):
    class Script(nn.Module):
        def forward(self, x):
            i = torch.zeros(1)
            while bool((x.sum() < 100).all()):
                x = x * 2
                i = i + 1
            if bool((i > 3).all()):
                x = -x
            return x + i

    x = torch.tensor([1.0, 2.0, 0.5])
    script = torch.jit.script(Script())
    model = ct.convert(script, convert_to="neuralnetwork", inputs=[ct.TensorType("x", shape=x.shape)])
    spec = model.get_spec()
    [output] = [feature.name for feature in spec.description.output]
    for scale in (1.0, 30.0, 400.0):
        torch.testing.assert_close(Network(spec).run({"x": x * scale}, [output])[output], script(x * scale))


@pytest.mark.parametrize("bits", [16, 8, 4])
def test_quantised_networks(tmp_path, bits):
    """Against the same file with its weights restored to float32 by coremltools."""
    torch.manual_seed(0)
    module = randomized(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 4, 2, 2), nn.Flatten(1)))
    module = randomized(nn.Sequential(module, nn.Linear(576, 5)))
    x = torch.randn(1, 3, 8, 8)
    inputs = [ct.TensorType("x", shape=x.shape)]
    model = ct.convert(torch.jit.trace(module, x), convert_to="neuralnetwork", inputs=inputs)
    quantised = ct.models.neural_network.quantization_utils.quantize_weights(model, bits)
    spec = quantised if isinstance(quantised, Model_pb2.Model) else quantised.get_spec()
    restored = Model_pb2.Model.FromString(spec.SerializeToString())
    if bits < 16:
        ct.models.neural_network.quantization_utils._dequantize_nn_spec(restored.neuralNetwork)
    [output] = [feature.name for feature in spec.description.output]
    got = Network(spec).run({"x": x}, [output])[output]
    torch.testing.assert_close(got, Network(restored).run({"x": x}, [output])[output], rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        assert psnr_db(module(x), got) > {16: 50, 8: 30, 4: 10}[bits]

"""Whole torchvision networks, small, converted by coremltools, saved, loaded and held to torch."""

import coremltools as ct
import numpy as np
import pytest
import torch
import torchvision
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from converter.evaluate import load_model

# From input to logits, on seeded weights with calibrated BatchNorm.
PSNR_DB = {"float32": 110, "float16": 45}


def calibrated(network, size):
    """The network in eval mode, with BatchNorm statistics of random pictures instead of none."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    network.train()
    with torch.no_grad():
        network(torch.rand(8, 3, size, size))
    return network.eval()


NETWORKS = [
    ("mobilenet_v2", 64, lambda: torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.35)),
    ("resnet18", 64, lambda: torchvision.models.resnet18(num_classes=10)),
    ("efficientnet_b0", 64, lambda: torchvision.models.efficientnet_b0(num_classes=10)),
    (
        "densenet",
        64,
        lambda: torchvision.models.DenseNet(growth_rate=8, block_config=(2, 2), num_init_features=16, num_classes=10),
    ),
    (
        "vit",
        64,
        lambda: torchvision.models.VisionTransformer(64, 16, 2, 4, 32, 64, num_classes=10),
    ),
    (
        "swin",
        64,
        lambda: torchvision.models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=10),
    ),
    (
        "convnext",
        64,
        lambda: ConvNeXt([CNBlockConfig(16, 32, 2), CNBlockConfig(32, None, 2)], num_classes=10),
    ),
]


def psnr_db(reference, candidate):
    return 20 * np.log10(np.abs(reference).max() / np.sqrt(np.mean((reference - candidate) ** 2)))


@pytest.mark.parametrize("precision", PSNR_DB)
@pytest.mark.parametrize(("name", "size", "make"), NETWORKS, ids=[name for name, _, _ in NETWORKS])
def test_a_network_answers_as_torch(name, size, make, precision, tmp_path):
    torch.manual_seed(1)
    network = calibrated(make(), size)
    for parameter in network.parameters():  # fresh heads and biases are zero here and there, which hides mistakes
        if parameter.dim() == 1 or not parameter.any():
            torch.nn.init.normal_(parameter, 0.5, 0.1)
    picture = torch.rand(1, 3, size, size)
    with torch.no_grad():
        reference = network(picture).numpy()
    # with gradients: without them, attention is one fused op of torch that coremltools does not know
    traced = torch.jit.trace(network, picture, check_trace=False)
    converted = ct.convert(
        traced,
        inputs=[ct.TensorType(name="x", shape=picture.shape)],
        outputs=[ct.TensorType(name="y")],
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision[precision.upper()],
        skip_model_load=True,
    )
    converted.save(str(tmp_path / "net.mlpackage"))
    answer = load_model(tmp_path / "net.mlpackage").predict({"x": picture})["y"]
    assert psnr_db(reference, answer) > PSNR_DB[precision]

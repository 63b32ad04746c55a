"""torchvision's networks, small, through both of torch's exporters and every opset that each can write."""

import warnings

import numpy as np
import onnx
import pytest
import torch
from torchvision import models

SIZE = 64


def mobilenet_v2():
    return models.mobilenet_v2(width_mult=0.35, num_classes=10)


def resnet():
    return models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=10)


def resnet_bottleneck():
    return models.ResNet(models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=10)


def efficientnet():
    configuration = models.efficientnet.MBConvConfig
    return models.EfficientNet(
        [configuration(1, 3, 1, 16, 16, 1, 1.0, 1.0), configuration(4, 5, 2, 16, 24, 2, 1.0, 1.0)], 0.0, num_classes=10
    )


def convnext():
    block = models.convnext.CNBlockConfig
    return models.ConvNeXt([block(16, 32, 1), block(32, None, 1)], num_classes=10, layer_scale=0.5)


def densenet():
    return models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=10)


def vit():
    return models.VisionTransformer(SIZE, 16, 2, 4, 32, 64, num_classes=10)


def swin():
    return models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [7, 7], num_classes=10)


NETS = (mobilenet_v2, resnet, resnet_bottleneck, efficientnet, convnext, densenet, vit, swin)
# The opsets that torch's older exporter can write: ViT's attention from 14 on, Swin's padding from 11 on.
EVERY = {
    resnet: (9, 11, 13, 17, 20),
    swin: (11, 13, 17, 20),
    densenet: (9, 11, 17),
    convnext: (9, 17, 20),
    vit: (14, 17, 20),
}
CASES = [
    pytest.param(net, opset, dynamo, id=f"{net.__name__}-{opset}{'-dynamo' if dynamo else ''}")
    for net in NETS
    for opset, dynamo in [*((o, False) for o in EVERY.get(net, (9, 20))), (18, True)]
]


@pytest.fixture(scope="module")
def trained():
    """A network whose layers all matter: BatchNorm statistics of real activations, no ones and zeros left."""
    made = {}

    def make(net):
        if net not in made:
            torch.manual_seed(0)
            module = net()
            for parameter in module.parameters():
                if parameter.ndim > 1:  # torchvision begins with heads near zero, which answer the same to everything
                    torch.nn.init.kaiming_normal_(parameter)
                else:
                    torch.nn.init.normal_(parameter, 0.3 if parameter.mean() == 0 else 1.0, 0.2)
            module.train()
            with torch.no_grad():
                for _ in range(8):
                    module(torch.randn(8, 3, SIZE, SIZE))
            made[net] = module.eval()
        return made[net]

    return make


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The network as an ONNX model and an input for it."""
    folder = tmp_path_factory.mktemp("nets")

    def export(net, opset, dynamo):
        example = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
        path = folder / "net.onnx"
        options = {"dynamo": True, "external_data": False, "verbose": False} if dynamo else {"dynamo": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(trained(net), (example,), path, opset_version=opset, **options)
        model = onnx.load(path)
        return model, {model.graph.input[0].name: example.numpy()}

    return export


def psnr_db(candidate, reference):
    error = np.sqrt(np.mean((candidate.astype(np.float64) - reference).reshape(-1) ** 2))
    return 20 * np.log10(np.abs(reference).max() / max(error, 1e-30))


@pytest.mark.parametrize(("net", "opset", "dynamo"), CASES)
def test_a_network_answers_as_onnxruntime_does(exported, answer, reference, net, opset, dynamo):
    model, inputs = exported(net, opset, dynamo)
    wanted = reference(model, inputs)[0]
    other = reference(model, {name: value[..., ::-1].copy() for name, value in inputs.items()})[0]
    assert psnr_db(other, wanted) < 40  # else the comparison would prove nothing
    assert psnr_db(answer(model, inputs)[0], wanted) >= 100
    if opset in (9, 11, 14, 18):
        assert psnr_db(answer(model, inputs, format="mlmodel", deployment_target="iOS13")[0], wanted) >= 100
        half = answer(model, inputs, deployment_target="iOS18", compute_precision="float16")[0]
        assert psnr_db(half, wanted) >= 40

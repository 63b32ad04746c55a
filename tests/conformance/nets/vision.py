"""torchvision's networks, with random weights that all matter."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torchvision import models
from torchvision.models.video import mvit

from tests.conformance.nets.net import Net

CLASSES = 12  # a multiple of what grouped heads divide it by
SIDE = {"maxvit_t": 224, "inception_v3": 139, "alexnet": 224, "vit_h_14": 56}  # of a picture, where it is not 64
_WHOLE = ("vgg",)  # their pooling before the head enlarges smaller pictures, which ONNX cannot say
# Stages of the largest that are cut short, and the blocks that stay: the others only repeat.
SHORTENED = {
    "vit_h_14": ("encoder.layers", 4),
    "vit_l_16": ("encoder.layers", 6),
    "vit_l_32": ("encoder.layers", 6),
    "regnet_y_128gf": ("trunk_output.block3", 3),
}


class First(torch.nn.Module):
    """One entry of a dictionary of outputs."""

    def __init__(self, module: torch.nn.Module, name: str) -> None:
        super().__init__()
        self.module, self.name = module, name

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.module(image)[self.name]
        return found


class Raw(torch.nn.Module):
    """A detector up to the scores and offsets of its anchors."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.backbone, self.head = module.backbone, module.head

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.head(list(self.backbone(image).values()))
        return found["cls_logits"], found["bbox_regression"]


class Whole(torch.nn.Module):
    """A detector with everything: anchors, decoding and suppression."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.module([image[0]])[0]
        return found["boxes"], found["scores"], found["labels"]


def calibrated(module: torch.nn.Module, *inputs: torch.Tensor, bias: float = 0.3) -> torch.nn.Module:
    """Weights of which none is 0 or 1, and BatchNorm statistics of real activations.

    torchvision begins with heads near zero and statistics of 0 and 1, with which every picture gets the same answer.
    """
    for parameter in module.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
        else:
            torch.nn.init.normal_(parameter, bias if parameter.mean() == 0 else 1.0, 0.2)
    layers = [layer for layer in module.modules() if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)]
    for layer in layers:
        layer.train()
        layer.momentum = None  # the mean over all batches
    with torch.no_grad():
        for seed in range(3 if layers else 0):
            torch.manual_seed(seed)
            module(*(torch.randn(8 if given.ndim < 5 else 2, *given.shape[1:]) for given in inputs))
    return module.eval()


def _shortened(module: torch.nn.Module, name: str) -> torch.nn.Module:
    if name in SHORTENED:
        path, count = SHORTENED[name]
        stage = module.get_submodule(path)
        parent, _, last = path.rpartition(".")
        setattr(module.get_submodule(parent), last, torch.nn.Sequential(*list(stage.children())[:count]))
    return module


def _classifier(name: str) -> tuple[torch.nn.Module, Mapping[str, torch.Tensor]]:
    side = 224 if name.startswith(_WHOLE) else SIDE.get(name, 64)
    options: dict[str, Any] = {"num_classes": CLASSES}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    if name.startswith("vit_"):
        options["image_size"] = side
    image = torch.zeros(1, 3, side, side)
    return calibrated(_shortened(models.get_model(name, weights=None, **options), name).eval(), image), {"image": image}


def _segmenter(name: str) -> tuple[torch.nn.Module, Mapping[str, torch.Tensor]]:
    image = torch.zeros(1, 3, 64, 64)
    module = models.get_model(name, weights=None, weights_backbone=None, num_classes=CLASSES).eval()
    return calibrated(First(module, "out").eval(), image), {"image": image}


def _video(name: str) -> tuple[torch.nn.Module, Mapping[str, torch.Tensor]]:
    frames, side = (16, 224) if name == "s3d" else (4, 64)
    clip = torch.zeros(1, 3, frames, side, side)
    sizes = {"spatial_size": (side, side), "temporal_size": frames}
    whole = mvit.MViT
    # torchvision makes this net in one size only, at which torch's exporter takes over 23 GB to write mvit_v2_s.
    with patch.object(mvit, "MViT", lambda **settings: whole(**settings | sizes)):
        module = models.get_model(name, weights=None, num_classes=CLASSES).eval()
    return calibrated(module, clip), {"clip": clip}


def _detector(name: str, side: int, part: Callable[[Any], torch.nn.Module]) -> Any:
    image = torch.zeros(1, 3, side, side)
    options = {"num_classes": CLASSES, "score_thresh": 1e-4}  # of untrained scores some must pass
    module = models.get_model(name, weights=None, weights_backbone=None, **options).eval()
    # The biases of VGG without BatchNorm would outweigh the picture.
    calibrated(Raw(module).eval(), image, bias=0.0 if "vgg" in name else 0.3)
    return part(module).eval(), {"image": image}


def nets() -> list[Net]:
    found = [
        Net(f"{name}", "classification", partial(_classifier, name))
        for name in models.list_models(module=models)
        if "quantized" not in name
    ]
    found += [
        Net(name, "segmentation", partial(_segmenter, name)) for name in models.list_models(module=models.segmentation)
    ]
    found += [Net(name, "video", partial(_video, name)) for name in models.list_models(module=models.video)]
    for name, side in (("ssdlite320_mobilenet_v3_large", 320), ("ssd300_vgg16", 300), ("retinanet_resnet50_fpn", 128)):
        found.append(Net(f"{name}-raw", "detection", partial(_detector, name, side, Raw)))
        found.append(Net(f"{name}-whole", "detection", partial(_detector, name, side, Whole)))
    return found

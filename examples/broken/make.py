"""Converts the network five times, each time with a mistake that people make, and writes to broken/: `python make.py`.

The sixth mistake, the wrong crop, is in the manifest.
"""

import argparse
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import torch
from model import LABELS, build
from safetensors.torch import load_file
from torch import nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Exact(nn.Module):
    """What a right conversion traces: pixels come with the mean taken off, and are divided by std per channel."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.network(pixels / self.std)
        return scores


def convert(
    network: nn.Module,
    *,
    scale: float = 1 / 255,
    bias: tuple[float, ...] = tuple(-mean for mean in MEAN),
    color: Any = ct.colorlayout.RGB,
    labels: tuple[str, ...] = LABELS,
    precision: Any = ct.precision.FLOAT32,
) -> Any:
    """A conversion script as teams have it; its defaults are right, if `network` ends in one softmax."""
    traced = torch.jit.trace(network.eval(), torch.zeros(1, 3, 32, 32))
    model = ct.convert(
        traced,
        inputs=[ct.ImageType(name="image", shape=(1, 3, 32, 32), scale=scale, bias=list(bias), color_layout=color)],
        outputs=[ct.TensorType(name="probabilities", dtype=np.float32)],
        classifier_config=ct.ClassifierConfig(list(labels), predicted_probabilities_output="probabilities"),
        minimum_deployment_target=ct.target.iOS16,
        compute_precision=precision,
        skip_model_load=True,
    )
    spec = model.get_spec()
    ct.utils.rename_feature(spec, spec.description.predictedProbabilitiesName, "classLabelProbs")
    return ct.models.MLModel(spec, weights_dir=model.weights_dir, skip_model_load=True)


def mistakes(network: nn.Module) -> dict[str, Any]:
    """The broken models by name."""
    averaged = sum(STD) / 3
    biases = tuple(-mean / std for mean, std in zip(MEAN, STD, strict=True))
    twice = nn.Sequential(network, nn.Softmax(1))
    return {
        # The default precision: the embedding's sum of squares is infinite in it.
        "float16_overflow": convert(Exact(network), precision=ct.precision.FLOAT16),
        # Apple's documentation: one scale for three channels, as ImageType knows no std.
        "averaged_std": convert(network, scale=1 / (255 * averaged), bias=biases),
        # The list of folders, sorted, instead of the order that the network was trained with.
        "sorted_labels": convert(Exact(network), labels=tuple(sorted(LABELS))),
        # OpenCV reads BGR; this network was trained with Pillow.
        "bgr": convert(Exact(network), color=ct.colorlayout.BGR),
        # The network has its softmax already.
        "double_softmax": convert(Exact(twice)),
    }


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=here / "broken", help="folder to write to (default: broken)")
    arguments = parser.parse_args()
    network = build(softmax=True)
    network.load_state_dict(load_file(here / "shapes.safetensors"))
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, model in mistakes(network).items():
        model.save(str(arguments.output / f"{name}.mlpackage"))


if __name__ == "__main__":
    main()

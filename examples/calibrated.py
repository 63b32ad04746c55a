"""torchvision's networks without a download: seeded weights that still tell pictures apart.

A freshly seeded network answers the same to every picture, so a conversion that swaps its colours or normalises twice
would pass every check. Here the BatchNorm statistics are measured on real and on seeded pictures, and the head answers
to what differs between them. The network knows nothing of the labels it answers with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.transforms.functional import normalize, to_tensor

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
SIDE = 224
# ImageNet's, as torchvision's networks expect them.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GRIDS = (4, 8, 12, 16, 28, 56, 112, 224)  # sides of the random colour grids
# Half rectified noise after noise amplifies every rounding (MobileNetV2 in float16: 27 dB); one standard deviation
# above zero most activations pass (43 dB), and what the input's mistakes change still shows.
SHIFT = 1.0
LOGIT_STD = 3.0  # as in a trained network: the softmax is neither flat nor a step
DISTINCT_ANSWERS = 12


def build(name: str, seed: int = 0) -> nn.Module:
    """The torchvision network `name` with BatchNorm and a linear head, in eval mode: [N, 3, 224, 224] to [N, 1000].

    The same seed gives the same weights on the same machine, whatever its number of threads. Raises RuntimeError when
    the 24 pictures that it is calibrated on get fewer than 12 different top-1 answers.
    """
    with _one_thread(), torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = torchvision.models.get_model(name, weights=None)
        pictures = torch.stack([normalize(to_tensor(picture), MEAN, STD) for picture in calibration_pictures(seed)])
        _measure_batch_norms(network, pictures)
        _spread_answers(network.eval(), pictures)
        answers = network(pictures).argmax(1).unique().numel()
    if answers < DISTINCT_ANSWERS:
        raise RuntimeError(
            f"{name} with seed {seed} gives {answers} different top-1 answers for {len(pictures)} pictures, "
            f"at least {DISTINCT_ANSWERS} are promised; another seed may do better"
        )
    return network


def calibration_pictures(seed: int) -> list[Image.Image]:
    """The four corners of each photograph at two scales, and random colour grids: 24 pictures of 224 x 224 pixels."""
    pictures = []
    for name in PHOTOGRAPHS:
        with Image.open(Path(__file__).parent / "images" / name) as file:
            photograph = file.convert("RGB")
        for side in (SIDE, photograph.height):
            for left in (0, photograph.width - side):
                for top in (0, photograph.height - side):
                    crop = photograph.crop((left, top, left + side, top + side))
                    pictures.append(crop.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    generator = np.random.default_rng(seed)
    for side in GRIDS:
        grid = Image.fromarray(generator.integers(0, 256, (side, side, 3), dtype=np.uint8))
        pictures.append(grid.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return pictures


def _measure_batch_norms(network: nn.Module, pictures: torch.Tensor) -> None:
    """One pass measures all: in training each BatchNorm normalises by its own batch."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.bias.fill_(SHIFT)
    network.train()(pictures)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _spread_answers(network: nn.Module, pictures: torch.Tensor) -> None:
    """What all pictures share is taken out of the logits, and the rest is scaled to a trained network's spread."""
    head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    head.bias.zero_()
    logits = network(pictures)
    scale = LOGIT_STD / (logits - logits.mean(0)).std()
    head.weight.mul_(scale)
    head.bias.copy_(-scale * logits.mean(0))


@contextmanager
def _one_thread() -> Iterator[None]:
    """With several threads sums may be taken in another order, and the weights would differ in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

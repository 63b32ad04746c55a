"""A small network that tells shapes by colour, size and form, in pictures of 32 x 32 pixels."""

import torch
from torch import nn

LABELS = tuple(
    f"{size} {color} {form}"
    for size in ("small", "large")
    for color in ("red", "green", "blue")
    for form in ("disc", "cross")
)


class Shapes(nn.Module):
    """[N, 3, 32, 32] normalised pixels to [N, 12] scores; `softmax` makes probabilities of them.

    An embedding of length one stands before the scores, as in networks that recognise faces: its sum of squares is far
    beyond what half precision holds.
    """

    def __init__(self, softmax: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(*_block(3, 24, 2), *_block(24, 24, 1), *_block(24, 48, 2))
        self.head = nn.Linear(48, len(LABELS))
        self.softmax = softmax

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        embedding = self.body(pixels).sum((2, 3))
        length = embedding.square().sum(1, keepdim=True).sqrt()
        scores = self.head(24 * embedding / length)
        return scores.softmax(1) if self.softmax else scores


def build(softmax: bool = False) -> nn.Module:
    """The network, untrained."""
    return Shapes(softmax)


def _block(channels: int, features: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, features, kernel_size=3, stride=stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(features), nn.ReLU()

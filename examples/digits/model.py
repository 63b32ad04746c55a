"""A small convolutional network for handwritten digits of 8 x 8 pixels."""

from torch import nn


def build(width: int = 16) -> nn.Module:
    """The network, untrained: [N, 1, 8, 8] normalised pixels to [N, 10] logits."""
    return nn.Sequential(
        *_block(1, width),
        *_block(width, 2 * width),
        nn.MaxPool2d(2),
        *_block(2 * width, 2 * width),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(2 * width * 2 * 2, 10),
    )


def _block(channels: int, features: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, features, kernel_size=3, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(features), nn.ReLU()

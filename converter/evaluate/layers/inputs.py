"""From the model's inputs to what a network's first layer sees: preprocessing of images, and ranks."""

import math
from typing import Any

import torch
from torch import Tensor

from converter.errors import EvaluationError
from converter.evaluate.proto import FeatureTypes_pb2, NeuralNetwork_pb2

_BGR = FeatureTypes_pb2.ImageFeatureType.BGR
_RANK5_ARRAYS = NeuralNetwork_pb2.RANK5_ARRAY_MAPPING
_RANK5_IMAGES = NeuralNetwork_pb2.RANK5_IMAGE_MAPPING


def entered(value: Tensor, feature: Any, network: Any) -> Tensor:
    """A model's input as the network's tensor, float32.

    An image [1, C, H, W] of pixels 0..255, in the declared order of colours, is scaled and shifted as the network's
    preprocessing says. Networks of rank 5 see [Seq, Batch, C, H, W].
    """
    value = value.to(torch.float32)
    if feature.type.WhichOneof("Type") == "imageType":
        for step in network.preprocessing:
            if step.featureName == feature.name:
                value = _preprocessed(value, step, feature)
        return value.unsqueeze(0) if network.imageInputShapeMapping == _RANK5_IMAGES else value
    if network.arrayInputShapeMapping != _RANK5_ARRAYS:
        return value.reshape(1) if value.dim() == 0 else value
    if value.dim() not in (1, 3, 5):
        raise EvaluationError(
            f"an array of rank {value.dim()} ({list(value.shape)}) for a network of rank 5",
            where=[f'input "{feature.name}"'],
            fix="give [C], [C, H, W] or [Seq, Batch, C, H, W]",
        )
    return value.reshape(1, 1, -1, 1, 1) if value.dim() == 1 else value.reshape((1,) * (5 - value.dim()) + value.shape)


def left(value: Tensor, feature: Any | None, network: Any) -> Tensor:
    """A value as the model's output, in the shape that the description declares.

    A network of rank 5 declares another rank than it computes; one that is fed an image, [1, C, H, W], may declare
    axes of size 1 elsewhere or not at all.
    """
    declared = tuple(feature.type.multiArrayType.shape) if feature is not None else ()
    if not declared or tuple(value.shape) == declared:
        return value
    if network.arrayInputShapeMapping == _RANK5_ARRAYS:
        return value.reshape(declared) if value.dim() == 5 and value.numel() == math.prod(declared) else value
    is_same = [size for size in value.shape if size != 1] == [size for size in declared if size != 1]
    return value.reshape(declared) if is_same else value


def check_preprocessing(network: Any, inputs: dict[str, Any]) -> None:
    """Raise EvaluationError if a preprocessing step names no image input."""
    for step in network.preprocessing:
        feature = inputs.get(step.featureName)
        if feature is None or feature.type.WhichOneof("Type") != "imageType":
            raise EvaluationError(f'preprocessing of "{step.featureName}", which is no image input')


def _preprocessed(x: Tensor, step: Any, feature: Any) -> Tensor:
    if step.WhichOneof("preprocessor") == "meanImage":
        mean = torch.tensor(step.meanImage.meanImage)
        if mean.numel() != x[0].numel():
            raise EvaluationError(
                f"the mean image holds {mean.numel()} values, the image {x[0].numel()}",
                where=[f'input "{feature.name}"'],
            )
        return x - mean.reshape(x.shape[1:])
    scaler = step.scaler
    if x.shape[1] == 1:
        biases = [scaler.grayBias]
    else:
        biases = [scaler.redBias, scaler.greenBias, scaler.blueBias]
        if feature.type.imageType.colorSpace == _BGR:
            biases.reverse()
    scale: float = scaler.channelScale
    return x * scale + torch.tensor(biases).reshape(-1, 1, 1)

"""Inner products, matrix products and embeddings."""

import torch
from torch import Tensor
from torch.nn import functional

from converter.errors import EvaluationError
from converter.evaluate.layers.table import layers
from converter.evaluate.layers.weights import Weights


@layers.op
def innerProduct(
    x: Tensor,
    weights: Weights,
    inputChannels: int = 0,
    outputChannels: int = 0,
    hasBias: bool = False,
    bias: Weights | None = None,
) -> Tensor:
    """Ranks 4 and 5 are [.., C, H, W] and take C·H·W as one vector."""
    matrix = weights.shaped(outputChannels, inputChannels)
    offsets = bias.shaped(outputChannels) if hasBias and bias else None
    if x.dim() <= 3:
        return functional.linear(x, matrix, offsets)
    return functional.linear(x.flatten(-3), matrix, offsets)[..., None, None]


@layers.op
def batchedMatmul(
    a: Tensor,
    b: Tensor | None = None,
    transposeA: bool = False,
    transposeB: bool = False,
    weightMatrixFirstDimension: int = 0,
    weightMatrixSecondDimension: int = 0,
    hasBias: bool = False,
    weights: Weights | None = None,
    bias: Weights | None = None,
) -> Tensor:
    """With one input the weights are the right matrix, stored column by column, and both transposes are ignored."""
    if b is not None:
        a = a.unsqueeze(0) if a.dim() == 1 else a
        b = b.unsqueeze(1) if b.dim() == 1 else b
        return torch.matmul(a.mT if transposeA else a, b.mT if transposeB else b)
    if weights is None:
        raise EvaluationError("one input and no weights: there is nothing to multiply with")
    columns = weights.shaped(weightMatrixSecondDimension, weightMatrixFirstDimension)
    return functional.linear(a, columns, bias.shaped(weightMatrixSecondDimension) if hasBias and bias else None)


@layers.op
def embedding(
    x: Tensor,
    weights: Weights,
    inputDim: int = 0,
    outputChannels: int = 0,
    hasBias: bool = False,
    bias: Weights | None = None,
) -> Tensor:
    """[.., 1, 1, 1] to [.., outputChannels, 1, 1]."""
    if x.shape[-3:] != (1, 1, 1):
        raise EvaluationError(f"the input's shape is {list(x.shape)}; its last three dimensions must be 1")
    rows = _looked_up(x[..., 0, 0, 0], weights.shaped(outputChannels, inputDim))
    return (rows + bias.shaped(outputChannels) if hasBias and bias else rows)[..., None, None]


@layers.op
def embeddingND(
    x: Tensor,
    weights: Weights,
    vocabSize: int = 0,
    embeddingSize: int = 0,
    hasBias: bool = False,
    bias: Weights | None = None,
) -> Tensor:
    """[.., 1] to [.., embeddingSize]."""
    if x.dim() < 2 or x.shape[-1] != 1:
        raise EvaluationError(
            f"the input's shape is {list(x.shape)}; its last dimension must be 1, its rank at least 2"
        )
    rows = _looked_up(x[..., 0], weights.shaped(embeddingSize, vocabSize))
    return rows + bias.shaped(embeddingSize) if hasBias and bias else rows


@layers.op
def dot(x: Tensor, y: Tensor, cosineSimilarity: bool = False) -> Tensor:
    product = (x * y).sum(-3, keepdim=True)
    if not cosineSimilarity:
        return product
    return product / (x.square().sum(-3, keepdim=True) * y.square().sum(-3, keepdim=True)).sqrt()


def _looked_up(indices: Tensor, columns: Tensor) -> Tensor:
    found = columns.index_select(1, indices.flatten().long())
    return found.T.reshape((*indices.shape, columns.shape[0]))

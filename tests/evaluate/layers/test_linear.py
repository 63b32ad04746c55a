"""Against torch."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from converter.errors import EvaluationError


def x(*shape):
    return torch.from_numpy(np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32))


W, B = x(5, 12), x(5)
PLAIN = {"inputChannels": 12, "outputChannels": 5, "weights": W.numpy()}
BIASED = PLAIN | {"hasBias": True, "bias": B.numpy()}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (x(12), functional.linear(x(12), W, B)),
        (x(2, 12), functional.linear(x(2, 12), W, B)),
        (x(3, 2, 12), functional.linear(x(3, 2, 12), W, B)),
        (x(2, 3, 2, 2), functional.linear(x(2, 3, 2, 2).flatten(1), W, B).reshape(2, 5, 1, 1)),
        (x(2, 4, 3, 2, 2), functional.linear(x(2, 4, 3, 2, 2).flatten(2), W, B).reshape(2, 4, 5, 1, 1)),
    ],
    ids=lambda value: str(list(value.shape)),
)
def test_inner_product_takes_ranks_one_to_five(same, inputs, expected):
    same("innerProduct", [inputs.numpy()], BIASED, expected.numpy())


def test_an_inner_product_without_bias(same):
    same("innerProduct", [x(2, 12).numpy()], PLAIN, (x(2, 12) @ W.T).numpy())


@pytest.mark.parametrize(
    ("a", "b", "fields", "expected"),
    [
        (x(3, 4), x(4, 5), {}, x(3, 4) @ x(4, 5)),
        (x(2, 1, 3, 4), x(6, 4, 5), {}, x(2, 1, 3, 4) @ x(6, 4, 5)),
        (x(2, 4, 3), x(2, 5, 4), {"transposeA": True, "transposeB": True}, x(2, 4, 3).mT @ x(2, 5, 4).mT),
        (x(4), x(4, 5), {}, x(4)[None] @ x(4, 5)),
        (x(3, 4), x(4), {}, x(3, 4) @ x(4)[:, None]),
    ],
)
def test_batched_matmul_of_two_inputs(same, a, b, fields, expected):
    same("batchedMatmul", [a.numpy(), b.numpy()], fields, expected.numpy())


M = x(12, 5)
MATRIX = {"weightMatrixFirstDimension": 12, "weightMatrixSecondDimension": 5, "weights": M.T.numpy()}


@pytest.mark.parametrize("shape", [(12,), (3, 12), (2, 3, 12), (2, 1, 3, 12)])
def test_batched_matmul_stores_its_matrix_by_columns(same, shape):
    same("batchedMatmul", [x(*shape).numpy()], MATRIX | {"transposeA": True}, (x(*shape) @ M).numpy())
    biased = MATRIX | {"hasBias": True, "bias": B.numpy()}
    same("batchedMatmul", [x(*shape).numpy()], biased, (x(*shape) @ M + B).numpy())


TABLE = x(7, 5)
INDICES = np.array([[0, 6, 3], [1, 1, 2]], np.float32)


def test_embedding_nd(same):
    fields = {"vocabSize": 7, "embeddingSize": 5, "weights": TABLE.T.numpy()}
    expected = functional.embedding(torch.from_numpy(INDICES).long(), TABLE).numpy()
    same("embeddingND", [INDICES[..., None]], fields, expected)
    same("embeddingND", [INDICES[..., None]], fields | {"hasBias": True, "bias": B.numpy()}, expected + B.numpy())


def test_embedding(same):
    fields = {"inputDim": 7, "outputChannels": 5, "weights": TABLE.T.numpy()}
    expected = functional.embedding(torch.from_numpy(INDICES).long(), TABLE).numpy()[..., None, None]
    same("embedding", [INDICES[..., None, None, None]], fields, expected)
    biased = fields | {"hasBias": True, "bias": B.numpy()}
    same("embedding", [INDICES[..., None, None, None]], biased, expected + B.numpy()[:, None, None])


def test_dot(same):
    a, b = x(2, 5, 1, 1), x(5, 2, 1, 1).reshape(2, 5, 1, 1)
    same("dot", [a.numpy(), b.numpy()], {}, (a * b).sum(1, keepdim=True).numpy())
    expected = functional.cosine_similarity(a, b, dim=1)[:, None]
    same("dot", [a.numpy(), b.numpy()], {"cosineSimilarity": True}, expected.numpy())


def test_dynamic_quantisation_is_refused(answer):
    with pytest.raises(EvaluationError, match="'int8DynamicQuantize' is not supported here"):
        answer("innerProduct", [x(12).numpy()], PLAIN | {"int8DynamicQuantize": True})


@pytest.mark.parametrize("shape", [(12,), (3, 12)])
def test_an_embedding_index_needs_its_own_axis(answer, shape):
    with pytest.raises(EvaluationError, match="last dimension must be 1"):
        answer("embeddingND", [np.zeros(shape)], {"vocabSize": 7, "embeddingSize": 5, "weights": TABLE.numpy()})

"""Matrix products of every rank and type, and determinants; held to onnxruntime."""

import numpy as np
import pytest

from converter.errors import UnsupportedOpsError

R = np.random.default_rng(11)
w = lambda *shape: R.uniform(-1, 1, shape).astype(np.float32)  # noqa: E731
i = lambda *shape: R.integers(-9, 9, shape).astype(np.int32)  # noqa: E731


@pytest.mark.parametrize(
    "operands",
    [
        [(4,), (4,)],
        [(3, 4), w(4)],
        [w(4), (2, 4, 3)],
        [w(3, 4), (2, 4, 5)],
        [(2, 3, 4), w(2, 4, 5)],
        [(2, 1, 3, 4), (5, 4, 2)],
        [{"input": i(3, 4)}, i(4, 5)],
        [i(3, 4), {"input": i(4)}],
        [{"input": i(2, 3, 4)}, {"input": i(4, 2)}],
    ],
    ids=str,
)
def test_products(operands, held):
    held(("MatMul", 13, operands, {}))


@pytest.mark.parametrize(
    ("operands", "attributes"),
    [
        ([(3, 4), w(4, 5), w(5)], {"alpha": 0.5, "beta": 2.0}),
        ([(4, 3), (5, 4), (3, 1)], {"transA": 1, "transB": 1, "beta": 0.5}),
        ([(3, 4), w(4, 5), w(3, 1)], {}),
        ([(3, 4), w(4, 5), np.array(2.0, np.float32)], {}),
        ([{"input": i(3, 4)}, i(4, 5), i(5)], {}),
        ([{"input": i(3, 4)}, {"input": i(5, 4)}, {"input": i(5)}], {"transB": 1, "alpha": 2.0, "beta": 3.0}),
    ],
    ids=str,
)
def test_general_products(operands, attributes, held):
    oracle = "reference" if isinstance(operands[0], dict) else "onnxruntime"
    held(("Gemm", 13, operands, attributes), oracle=oracle)


def test_integers_are_not_multiplied_by_fractions(held):
    with pytest.raises(UnsupportedOpsError, match="integers times a fraction"):
        held(("Gemm", 13, [{"input": i(3, 4)}, i(4, 5)], {"alpha": 0.5}), oracle="reference")


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (2, 4, 4), (2, 3, 5, 5)])
def test_determinants(shape, held):
    held(("Det", 11, [shape], {}), atol=1e-4)


def test_determinants_of_large_matrices_are_refused(held):
    with pytest.raises(UnsupportedOpsError, match="6 x 6"):
        held(("Det", 11, [(6, 6)], {}))

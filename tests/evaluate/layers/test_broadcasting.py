"""Against numpy."""

import numpy as np
import pytest

A = np.array([[1.0, -2.0, 0.0], [3.5, -2.0, 7.0]], np.float32)
B = np.array([[1.0], [-2.0]], np.float32)
POSITIVE = np.abs(A) + 1


@pytest.mark.parametrize(
    ("kind", "inputs", "fields", "expected"),
    [
        ("equal", [A, B], {}, A == B),
        ("equal", [A], {"alpha": -2}, A == -2),
        ("notEqual", [A, B], {}, A != B),
        ("notEqual", [A], {}, A != 0),
        ("lessThan", [A, B], {}, A < B),
        ("lessThan", [A], {"alpha": 1}, A < 1),
        ("lessEqual", [A, B], {}, A <= B),
        ("lessEqual", [A], {"alpha": 1}, A <= 1),
        ("greaterThan", [A, B], {}, A > B),
        ("greaterThan", [A], {"alpha": 1}, A > 1),
        ("greaterEqual", [A, B], {}, A >= B),
        ("greaterEqual", [A], {"alpha": 1}, A >= 1),
        ("logicalAnd", [A, B - 1], {}, np.logical_and(A, B - 1)),
        ("logicalOr", [A, B - 1], {}, np.logical_or(A, B - 1)),
        ("logicalXor", [A, B - 1], {}, np.logical_xor(A, B - 1)),
        ("logicalNot", [A], {}, np.logical_not(A)),
        ("addBroadcastable", [A, B], {}, A + B),
        ("subtractBroadcastable", [A, B], {}, A - B),
        ("multiplyBroadcastable", [A[0], A], {}, A[0] * A),
        ("divideBroadcastable", [A, B], {}, A / B),
        ("floorDivBroadcastable", [A, B * 2], {}, np.floor_divide(A, B * 2)),
        ("modBroadcastable", [A, B * 2], {}, np.mod(A, B * 2)),
        ("powBroadcastable", [POSITIVE, B], {}, POSITIVE**B),
        ("maxBroadcastable", [A, B], {}, np.maximum(A, B)),
        ("minBroadcastable", [A, B], {}, np.minimum(A, B)),
        ("whereBroadcastable", [A, B, 2 * A], {}, np.where(A, B, 2 * A)),
    ],
)
def test_two_inputs_broadcast(same, kind, inputs, fields, expected):
    same(kind, inputs, fields, np.asarray(expected, np.float32))

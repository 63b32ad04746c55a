import numpy as np
import torch.nn.functional as F
from coremltools.converters.mil.mil import Builder as mb

MASK = np.tril(np.ones((1, 1, 4, 5), bool))

CASES = [
    (
        "attention",
        18,
        lambda q, k, v: mb.scaled_dot_product_attention(query=q, key=k, value=v),
        F.scaled_dot_product_attention,
        (1, 2, 4, 8),
        (1, 2, 5, 8),
        (1, 2, 5, 6),
    ),
    (
        "attention, added mask",
        18,
        lambda q, k, v, m: mb.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=m),
        F.scaled_dot_product_attention,
        (1, 2, 4, 8),
        (1, 2, 5, 8),
        (1, 2, 5, 6),
        (1, 1, 4, 5),
    ),
    (
        "attention, bool mask",
        18,
        lambda q, k, v, m: mb.scaled_dot_product_attention(
            query=q, key=k, value=v, attn_mask=mb.cast(x=m, dtype="bool")
        ),
        lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m.bool()),
        (1, 2, 4, 8),
        (1, 2, 5, 8),
        (1, 2, 5, 6),
        MASK.astype(np.int32),
    ),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)

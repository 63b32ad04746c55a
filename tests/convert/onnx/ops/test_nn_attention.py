"""Attention with every mask, cache, window and output; rotary embeddings; beside onnxruntime or the standard's own."""

import numpy as np
import pytest

from converter.errors import ConverterError

R = np.random.default_rng(4)
x = lambda *shape: {"input": R.normal(size=shape).astype(np.float32)}  # noqa: E731
w = lambda *shape: R.normal(size=shape).astype(np.float32)  # noqa: E731
i = lambda *values: np.array(values, np.int64)  # noqa: E731
b = lambda *shape: R.random(shape) < 0.6  # noqa: E731

INF = np.float32(np.inf)


def hidden(*shape):
    """A mask of numbers with -inf in it, and one query that sees nothing."""
    mask = np.where(R.random(shape) < 0.4, -INF, R.normal(size=shape)).astype(np.float32)
    mask[..., 1, :] = -INF
    mask[..., 0, 0] = 0
    return mask


def attention(*operands, opset=23, outputs=1, **attributes):
    return ("Attention", opset, list(operands), attributes, outputs)


Q, K, V = x(2, 4, 3, 8), x(2, 4, 5, 8), x(2, 4, 5, 6)
GQA = (x(2, 4, 3, 8), x(2, 2, 5, 8), x(2, 2, 5, 6))
FLAT = (x(2, 3, 32), x(2, 5, 16), x(2, 5, 12))
HEADS = {"q_num_heads": 4, "kv_num_heads": 2}
PAST = (x(2, 2, 4, 8), x(2, 2, 4, 6))

CASES = [
    attention(Q, K, V),
    attention(Q, K, V, scale=0.3),
    attention(Q, K, V, scale=0.3, softcap=1.5),
    attention(Q, K, V, is_causal=1),
    attention(*GQA, is_causal=1),
    attention(*GQA, hidden(3, 5)),
    attention(*GQA, {"input": hidden(3, 5)}),
    attention(*GQA, w(4, 3, 5)),
    attention(*GQA, w(2, 4, 3, 5)),
    attention(*GQA, x(2, 1, 3, 5), is_causal=1),
    attention(*GQA, b(3, 5), is_causal=1),
    attention(*GQA, {"input": b(2, 1, 3, 5)}, is_causal=1),
    attention(*FLAT, b(4, 3, 5), **HEADS),
    attention(*FLAT, None, *PAST, **HEADS, is_causal=1, outputs=3),
    attention(*FLAT, x(3, 9), *PAST, **HEADS, outputs=4, qk_matmul_output_mode=2, softcap=2.0),
    attention(*FLAT, x(3, 9), *PAST, **HEADS, outputs=4, qk_matmul_output_mode=1, softcap=2.0),
    attention(*FLAT, hidden(3, 9), *PAST, **HEADS, outputs=4, qk_matmul_output_mode=3),
    attention(*FLAT, {"input": hidden(3, 9)}, *PAST, **HEADS, outputs=4, qk_matmul_output_mode=2),
    attention(*FLAT, b(3, 9), *PAST, **HEADS, outputs=4, softmax_precision=1, is_causal=1),
    attention(*GQA, None, None, None, i(2, 5), opset=24),
    attention(*GQA, None, None, None, {"input": i(2, 5)}, opset=24, is_causal=1),
    attention(*GQA, None, None, None, i(1, 4), opset=24, is_causal=1),
    attention(*GQA, x(3, 4), None, None, {"input": i(4, 2)}, opset=24),
    attention(*GQA, {"input": b(3, 4)}, None, None, i(4, 2), opset=24),
    attention(*GQA, w(3, 4), opset=24),
    attention(*GQA, opset=25, left_window_size=1),
    attention(*GQA, opset=25, left_window_size=0, right_window_size=1),
    attention(*GQA, opset=25, left_window_size=0, right_window_size=2, is_causal=1),
    attention(*GQA, None, *PAST, opset=25, left_window_size=2, is_causal=1),
    attention(*GQA, None, None, None, {"input": i(3, 5)}, opset=25, left_window_size=1, right_window_size=0),
    attention(*GQA, x(2, 1, 3, 5), None, None, i(3, 5), opset=25, left_window_size=1, right_window_size=1),
    attention(w(2, 3, 32), *FLAT[1:], **HEADS),
]
ROTATED = [
    ("RotaryEmbedding", 23, [x(2, 3, 4, 8), w(9, 4), w(9, 4), {"input": i([0, 3, 2, 8], [1, 1, 0, 7])}], {}),
    ("RotaryEmbedding", 23, [x(2, 3, 4, 8), x(9, 4), x(9, 4), i([0, 3, 2, 8], [1, 1, 0, 7])], {"interleaved": 1}),
    ("RotaryEmbedding", 23, [x(2, 3, 1, 8), w(9, 2), w(9, 2), i([3], [7])], {"rotary_embedding_dim": 4}),
    ("RotaryEmbedding", 23, [x(2, 4, 24), w(2, 4, 4), x(2, 4, 4)], {"num_heads": 3, "interleaved": 1}),
    ("RotaryEmbedding", 23, [x(2, 4, 24), w(2, 4, 3), w(2, 4, 3)], {"num_heads": 3, "rotary_embedding_dim": 6}),
]  # fmt: skip
OTHERS = [
    ("SwiGLU", 28, [x(2, 3), x(2, 3)], {"alpha": 1.3}),
    ("TensorScatter", 24, [x(2, 3, 6, 4), x(2, 3, 2, 4), {"input": i(1, 5)}], {"mode": "circular"}),
]


def linear(rule, decay=None, beta=None, past=None, tokens=3, **attributes):
    """Of sizes 4 and 3; keys of length 1, as they should be."""
    key = R.normal(size=(2, tokens, 2, 4))
    key = {"input": (key / np.linalg.norm(key, axis=-1, keepdims=True)).reshape(2, tokens, 8).astype(np.float32)}
    gates = [
        None if width is None else {"input": R.uniform(-1, 0, (2, tokens, width)).astype(np.float32)}
        for width in (decay, beta)
    ]
    operands = [x(2, tokens, 16), key, x(2, tokens, 6), past, *gates]
    return ("LinearAttention", 27, operands, HEADS | {"update_rule": rule} | attributes, 2)


LINEAR = [
    linear("linear"),
    linear("linear", past=x(2, 2, 4, 3), scale=0.5),
    linear("gated", decay=8),
    linear("gated", decay=2, past=x(2, 2, 4, 3)),
    linear("delta", beta=2),
    linear("delta", beta=1, past=x(2, 2, 4, 3), chunk_size=1),
    linear("gated_delta", decay=8, beta=1),
    linear("gated_delta", decay=2, beta=2, past=x(2, 2, 4, 3), tokens=1),
]

name = lambda case: f"{case[1]}-{len(case[2])}-{sorted(case[3].items())}"  # noqa: E731


@pytest.mark.parametrize("case", CASES, ids=name)
def test_attention_answers_as_the_standard_does(held, case):
    held(case, oracle="onnx", rtol=1e-4, atol=1e-5)


FUSED = [CASES[n] for n in (-1, 0, 1, 3, 4, 7, 8, 12, 13, 24, 25, 26, 28)]


@pytest.mark.parametrize("case", FUSED, ids=name)
def test_from_ios18_on_it_is_one_operation_where_that_says_the_same(held, built, case):
    assert "scaled_dot_product_attention" in built(case, deployment_target="iOS18")
    held(case, oracle="onnx", deployment_target="iOS18", rtol=1e-4, atol=1e-5)


# A cap, a query that may see nothing, scores that are asked for, a softmax in float32: the one operation has none.
@pytest.mark.parametrize("case", [CASES[n] for n in (2, 5, 6, 9, 11, 14, 18, 20)], ids=name)
def test_from_ios18_on_the_rest_is_composed(held, built, case):
    assert "scaled_dot_product_attention" not in built(case, deployment_target="iOS18")
    held(case, oracle="onnx", deployment_target="iOS18", rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("keys", "attributes", "casts"), [(9, {}, 0), (9, {"softmax_precision": 1}, 2), (2100, {}, 2)])
def test_a_softmax_of_many_keys_or_on_demand_is_computed_in_float32(built, keys, attributes, casts):
    case = attention(x(1, 1, 2, 4), x(1, 1, keys, 4), x(1, 1, keys, 4), **attributes)
    operations = built(case, compute_precision="float16")
    inner = operations[operations.index("matmul") : operations.index("softmax") + 2]
    assert inner.count("cast") == casts


@pytest.mark.parametrize("case", [*ROTATED, *OTHERS, *LINEAR], ids=name)
def test_what_stands_beside_attention_answers_as_the_standard_does(held, case):
    held(case, oracle="onnx", rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "case", [CASES[0], CASES[4], CASES[6], CASES[11], CASES[13], *ROTATED[:2], LINEAR[6]], ids=name
)
def test_a_neural_network_answers_the_same(held, case):
    held(case, oracle="onnx", format="mlmodel", deployment_target="iOS14", rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("place", "release"),
    [(0, "iOS15"), (5, "iOS15"), (6, "iOS17"), (11, "iOS15"), (20, "iOS16"), (7, "iOS18"), (4, "iOS18")],
)
def test_float16_keeps_its_digits_and_makes_no_nan_of_hidden_keys(held, place, release):
    held(CASES[place], oracle="onnx", deployment_target=release, compute_precision="float16", rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("release", ["iOS16", "iOS18"])
def test_float16_takes_a_mask_of_float32s_lowest_number(held, release):
    mask = np.where(np.tri(3, 5), 0, np.finfo(np.float32).min).astype(np.float32)
    held(
        attention(Q, K, V, mask),
        oracle="onnx",
        deployment_target=release,
        compute_precision="float16",
        rtol=1e-2,
        atol=1e-2,
    )


def test_float16_keeps_the_state_in_float32(held, built):
    case = linear("gated_delta", decay=8, beta=2, tokens=40)
    held(case, oracle="onnx", compute_precision="float16", rtol=1e-2, atol=1e-2)
    operations = built(case, compute_precision="float16")
    last = len(operations) - operations[::-1].index("matmul")
    assert "cast" not in operations[operations.index("matmul") : last]


REFUSED = [
    (linear("gated"), "decay"),
    (linear("delta", beta=2, decay=2), "decay"),
    (attention(x(2, 3, 32), x(2, 5, 32), x(2, 5, 32)), "num_heads"),
    (attention(*GQA, w(3, 1), opset=24), "one column"),
    (attention(*GQA, opset=25, left_window_size=-2), "negative"),
]


@pytest.mark.parametrize(("case", "reason"), REFUSED)
def test_what_is_no_attention_is_said(built, case, reason):
    with pytest.raises(ConverterError, match=reason):
        built(case)

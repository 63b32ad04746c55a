"""What onnxruntime's optimizer writes: fused operators, normalisations, attention. onnxruntime's kernels answer."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from converter.errors import UnsupportedOpsError

R = np.random.default_rng(4)
w = lambda *shape: R.standard_normal(shape).astype(np.float32)  # noqa: E731
given = lambda array: {"input": array}  # noqa: E731
ints = lambda *values, dtype=np.int32: np.array(values[0] if len(values) == 1 else values, dtype)  # noqa: E731


def case(op, *operands, outputs=1, **attributes):
    return pytest.param((op, 1, list(operands), attributes, outputs, "com.microsoft"), id=f"{op}-{attributes}")


FUSED = [
    case("FusedConv", (1, 3, 8, 8), w(4, 3, 3, 3), w(4), activation="Relu"),
    case("FusedConv", (1, 3, 8, 8), w(4, 3, 3, 3), w(4), (1, 4, 6, 6), activation="LeakyRelu", activation_params=[0.2]),
    case("FusedConv", (1, 3, 8, 8), w(4, 3, 3, 3), activation="Clip", activation_params=[0.0, 6.0], pads=[1, 1, 1, 1]),
    case("FusedConv", (1, 3, 8, 8), w(4, 3, 3, 3), activation="HardSigmoid", activation_params=[0.3, 0.4]),
    case("FusedConv", (1, 3, 8, 8), w(4, 3, 3, 3), activation="Tanh", strides=[2, 2]),
    case("FusedConv", (1, 3, 8, 8), w(4, 3, 3, 3), activation="Sigmoid", dilations=[2, 2]),
    case("FusedMatMul", (2, 3, 4), (2, 4, 5), alpha=0.5),
    case("FusedMatMul", (2, 4, 3), (2, 4, 5), transA=1),
    case("FusedMatMul", (2, 3, 4), (2, 5, 4), transB=1),
    case("FusedMatMul", (2, 4, 3), w(5, 4), transA=1, transB=1, alpha=3.0),
    case("FusedMatMul", (3, 2, 4), (2, 4, 5), transBatchA=1),
    case("FusedMatMul", (3, 2, 4), (4, 2, 5), transBatchA=1, transBatchB=1),
    case("FusedMatMul", (4, 2, 3), (5, 2, 4), transBatchA=1, transBatchB=1, transA=1, transB=1),
    case("FusedMatMul", (4,), (4, 5)),
    case("FusedMatMul", (3, 4), w(4, 5)),
    case("TransposeMatMul", (3, 4), (3, 5), transA=1),
    case("FusedGemm", (3, 4), w(4, 5), w(5), activation="LeakyRelu", activation_alpha=0.2),
    case("FusedGemm", (4, 3), w(5, 4), activation="Relu", transA=1, transB=1),
    case("Gelu", (3, 4)),
    case("BiasGelu", (3, 4), w(4)),
    case("FastGelu", (3, 4)),
    case("FastGelu", (3, 4), w(4)),
    case("QuickGelu", (3, 4)),
    case("QuickGelu", (3, 4), alpha=1.5),
    case("ScaledSiLU", (3, 4)),
    case("Trilu", (3, 4), ints(1, dtype=np.int64), upper=0),
    case("ExpandDims", (3, 4), ints(1)),
]
IDS, SEGMENTS = ints([[1, 9, 4], [0, 0, 7]]), ints([[1, 0, 1], [0, 0, 1]])
TABLES = w(10, 8), w(5, 8)
NORMALIZED = [
    case("SkipLayerNormalization", (2, 3, 8), (2, 3, 8), w(8), w(8), w(8)),
    case("SkipLayerNormalization", (2, 3, 8), (1, 3, 8), w(8), w(8), epsilon=0.1),
    case("SkipLayerNormalization", (2, 3, 8), (2, 3, 8), w(8)),
    case("SkipSimplifiedLayerNormalization", (2, 3, 8), (2, 3, 8), w(8), w(8), epsilon=1e-5),
    case(
        "EmbedLayerNormalization",
        given(IDS),
        given(SEGMENTS),
        *TABLES,
        w(2, 8),
        w(8),
        w(8),
        given(ints([[1, 1, 0], [1, 1, 1]])),
        outputs=2,
        mask_index_type=1,
    ),
    case("EmbedLayerNormalization", given(IDS), None, *TABLES, None, w(8), w(8), outputs=3),
    case("EmbedLayerNormalization", given(IDS), None, *TABLES, None, w(8), w(8), None, ints([[2, 0, 1]]), outputs=2),
]

WEIGHTS = w(16, 48) / 2, w(48)
MASK, LENGTHS, ENDS = ints([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]), ints(3, 5), ints(3, 5, 1, 0)
ROWS = (R.random((2, 5, 5)) > 0.3).astype(np.int32)
WIDE = {"qkv_hidden_sizes": [16, 16, 32], "num_heads": 4}
PAST = (2, 2, 4, 3, 4)
ATTENTION = [
    case("Attention", (2, 5, 16), *WEIGHTS, num_heads=4),
    case("Attention", (2, 5, 16), (16, 48), (48,), num_heads=4),
    case("Attention", (2, 5, 16), WEIGHTS[0], num_heads=4, scale=0.3, unidirectional=1),
    *[
        case("Attention", (2, 5, 16), *WEIGHTS, kind(mask), num_heads=4)
        for mask in (MASK, LENGTHS, ENDS, ROWS)
        for kind in (given, np.asarray)
    ],
    case("Attention", (2, 5, 16), *WEIGHTS, given(MASK), None, w(1, 4, 5, 5), num_heads=4, unidirectional=1),
    case("Attention", (2, 5, 16), w(16, 64) / 2, w(64), **WIDE),
    case("Attention", (2, 5, 16), *WEIGHTS, None, PAST, num_heads=4, unidirectional=1, outputs=2),
    case("Attention", (2, 5, 16), *WEIGHTS, given(np.ones((2, 8), np.int32)), PAST, num_heads=4, outputs=2),
    case("MultiHeadAttention", (2, 5, 16), (2, 7, 16), (2, 7, 32), w(64), num_heads=4, scale=0.7),
    case("MultiHeadAttention", (2, 5, 16), (2, 7, 16), (2, 7, 16), None, given(ints(4, 7)), num_heads=4),
    case(
        "MultiHeadAttention",
        (2, 5, 16),
        (2, 7, 16),
        (2, 7, 16),
        None,
        given(ints([[1] * 5 + [0] * 2, [1] * 7])),
        (1, 4, 5, 7),
        num_heads=4,
    ),
    case("MultiHeadAttention", (2, 5, 16), (2, 4, 7, 4), (2, 4, 7, 4), w(48), num_heads=4),
    case(
        "MultiHeadAttention",
        (2, 5, 16),
        (2, 5, 16),
        (2, 5, 16),
        w(48),
        None,
        None,
        (2, 4, 3, 4),
        (2, 4, 3, 4),
        num_heads=4,
        outputs=3,
    ),
    case("MultiHeadAttention", (2, 5, 16), (2, 5, 16), (2, 5, 16), num_heads=4, unidirectional=1, outputs=3),
]
PROMPT, STEP = (ints(4, 4), ints(5)), (ints([3]), ints(4))
ANGLES = w(16, 8), w(16, 8)
GROUPS = {"num_heads": 4, "kv_num_heads": 2}
GROUPED = [
    case("GroupQueryAttention", (2, 5, 64), (2, 5, 32), (2, 5, 32), None, None, *PROMPT, **GROUPS, outputs=3),
    case("GroupQueryAttention", (2, 5, 128), None, None, None, None, *PROMPT, **GROUPS, outputs=3),
    case(
        "GroupQueryAttention",
        (2, 5, 64),
        (2, 5, 32),
        (2, 5, 32),
        None,
        None,
        *PROMPT,
        **GROUPS,
        local_window_size=2,
        softcap=3.0,
        scale=0.4,
        outputs=3,
    ),
    case(
        "GroupQueryAttention",
        (2, 5, 64),
        (2, 5, 32),
        (2, 5, 32),
        None,
        None,
        *PROMPT,
        *ANGLES,
        **GROUPS,
        do_rotary=1,
        outputs=3,
    ),
    case(
        "GroupQueryAttention",
        (2, 5, 64),
        (2, 5, 32),
        (2, 5, 32),
        None,
        None,
        *PROMPT,
        *ANGLES,
        **GROUPS,
        do_rotary=1,
        rotary_interleaved=1,
        outputs=3,
    ),
    case(
        "GroupQueryAttention",
        (1, 1, 64),
        (1, 1, 32),
        (1, 1, 32),
        (1, 2, 3, 16),
        (1, 2, 3, 16),
        *STEP,
        *ANGLES,
        **GROUPS,
        do_rotary=1,
        outputs=3,
    ),
    case(
        "GroupQueryAttention",
        (1, 1, 64),
        (1, 1, 32),
        (1, 1, 32),
        (1, 2, 3, 16),
        (1, 2, 3, 16),
        *STEP,
        None,
        None,
        None,
        (1, 1, 1, 4),
        **GROUPS,
        outputs=3,
    ),
    case(
        "GroupQueryAttention",
        (1, 1, 64),
        (1, 1, 32),
        (1, 1, 32),
        (1, 2, 3, 16),
        (1, 2, 3, 16),
        given(STEP[0]),
        STEP[1],
        **GROUPS,
        outputs=3,
    ),
]
PLACES = R.integers(0, 16, (2, 5))
ROTATED = [
    case("RotaryEmbedding", shape, places, w(16, 4), w(16, 4), interleaved=interleaved)
    for shape in ((2, 4, 5, 8), (2, 5, 32))
    for places in (given(PLACES), PLACES, given(PLACES[0, :1]), PLACES[0, :1])
    for interleaved in (0, 1)
] + [case("RotaryEmbedding", (2, 5, 32), PLACES, w(16, 2), w(16, 2), rotary_embedding_dim=4, num_heads=4)]


@pytest.mark.parametrize("node", FUSED + NORMALIZED + ATTENTION + GROUPED + ROTATED)
@pytest.mark.parametrize("release", ["iOS15", "iOS18"])
def test_an_operator_answers_as_onnxruntime_does(held, node, release):
    held(node, rtol=2e-5, atol=1e-5, deployment_target=release)


@pytest.mark.parametrize("node", FUSED + NORMALIZED + ATTENTION + GROUPED[:3])
def test_an_operator_in_float16_answers_nearly_so(held, node):
    held(node, rtol=1e-2, atol=3e-2, deployment_target="iOS16", compute_precision="float16")


@pytest.mark.parametrize("node", FUSED[:6] + FUSED[6:10] + NORMALIZED[:4] + ATTENTION[:3])
def test_an_operator_of_a_neural_network_answers_as_onnxruntime_does(held, node):
    held(node, rtol=2e-5, atol=1e-5, format="mlmodel", deployment_target="iOS14")


def model_of(nodes, inputs, constants, outputs, opset=17):
    types = [helper.make_tensor_value_info(name, 1, value.shape) for name, value in inputs.items()]
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "case", types, [onnx.ValueInfoProto(name=name) for name in outputs], held)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize("op", ["SkipLayerNormalization", "SkipSimplifiedLayerNormalization"])
def test_a_sum_before_a_normalisation_is_an_output_too(answer, reference, op):
    inputs = {"x": w(2, 3, 8), "skip": w(2, 3, 8)}
    node = helper.make_node(op, ["x", "skip", "gamma"], ["y", "", "", "sum"], domain="com.microsoft")
    model = model_of([node], inputs, {"gamma": w(8)}, ["y", "sum"])
    for got, wanted in zip(answer(model, inputs), reference(model, inputs), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_simplified_layer_normalization_stands_in_ai_onnx(answer, reference):
    inputs = {"x": w(2, 3, 8)}
    node = helper.make_node("SimplifiedLayerNormalization", ["x", "scale"], ["y", "root"], axis=-1, epsilon=1e-3)
    model = model_of([node], inputs, {"scale": w(8)}, ["y", "root"])
    for got, wanted in zip(answer(model, inputs), reference(model, inputs), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


X, GAMMA, BETA, SKIP, BIAS = w(1, 4, 5, 8), w(8), w(8), w(1, 8), w(8)
last, first = (lambda t: t.permute(0, 2, 3, 1)), (lambda t: t.permute(0, 3, 1, 2))  # channels
split_gelu = lambda left, right: left * torch.nn.functional.gelu(right)  # noqa: E731
group_norm = lambda t: torch.nn.functional.group_norm(first(t), 4, torch.tensor(GAMMA), torch.tensor(BETA), 1e-5)  # noqa: E731
GPU = [
    ("BiasAdd", {"x": X}, {"bias": BIAS, "skip": X}, {}, lambda x: x + torch.tensor(BIAS) + torch.tensor(X)),
    ("BiasSplitGelu", {"x": X}, {"bias": BIAS}, {}, lambda x: split_gelu(*(x + torch.tensor(BIAS)).chunk(2, -1))),
    (
        "GroupNorm",
        {"x": X},
        {"gamma": GAMMA, "beta": BETA},
        {"groups": 4, "activation": 0},
        lambda x: last(group_norm(x)),
    ),
    (
        "GroupNorm",
        {"x": X},
        {"gamma": GAMMA, "beta": BETA},
        {"groups": 4, "activation": 1},
        lambda x: last(torch.nn.functional.silu(group_norm(x))),
    ),
    (
        "SkipGroupNorm",
        {"x": X},
        {"gamma": GAMMA, "beta": BETA, "skip": SKIP, "bias": BIAS},
        {"groups": 4, "activation": 0},
        lambda x: last(group_norm(x + torch.tensor(SKIP)[:, None, None] + torch.tensor(BIAS))),
    ),
    ("NhwcConv", {"x": X}, {"weight": w(6, 3, 3, 8)}, {"pads": [1, 1, 1, 1]}, None),
]


@pytest.mark.parametrize(("op", "inputs", "constants", "attributes", "formula"), GPU)
def test_an_operator_that_onnxruntime_computes_on_gpus_only_answers_as_torch_does(
    answer, op, inputs, constants, attributes, formula
):
    if op == "NhwcConv":
        weight = first(torch.tensor(constants["weight"]))
        formula = lambda x: last(torch.nn.functional.conv2d(first(x), weight, padding=1))  # noqa: E731
    node = helper.make_node(op, [*inputs, *constants], ["y"], domain="com.microsoft", **attributes)
    model = model_of([node], inputs, constants, ["y"])
    (got,) = answer(model, inputs)
    np.testing.assert_allclose(got, formula(torch.tensor(inputs["x"])).numpy(), rtol=1e-5, atol=2e-6)


REFUSED = [
    (("MultiHeadAttention", 1, [(1, 5, 4, 3, 4)], {"num_heads": 4}, 1, "com.microsoft"), "packed"),
    (("FusedConv", 1, [(1, 3, 4, 4), w(2, 3, 1, 1)], {"activation": "Cosine"}, 1, "com.microsoft"), "'Cosine'"),
    (("RotaryEmbedding", 1, [(2, 4, 5, 8), PLACES, *[w(16, 4)] * 2], {"scale": 2.0}, 1, "com.microsoft"), "scale"),
    (
        (
            "GroupQueryAttention",
            1,
            [(1, 5, 128), None, None, None, None, ints([3]), ints(5)],
            GROUPS,
            1,
            "com.microsoft",
        ),
        "lengths",
    ),
    (
        (
            "GroupQueryAttention",
            1,
            [(1, 5, 128), None, None, None, None, ints([4]), ints(9)],
            GROUPS,
            1,
            "com.microsoft",
        ),
        "buffer",
    ),
    (("Nothing", 1, [(1, 5)], {}, 1, "com.microsoft"), "no lowering"),
]


@pytest.mark.parametrize(("node", "reason"), REFUSED)
def test_what_cannot_be_said_is_refused_in_words(built, node, reason):
    with pytest.raises(UnsupportedOpsError, match=reason):
        built(node)

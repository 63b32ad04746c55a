"""Recurrent layers with all their attributes, by Core ML's own layers and by steps."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.errors import UnsupportedOpsError

R = np.random.default_rng(1)
T, N, S, H = 5, 3, 2, 4  # steps, batch, inputs, hidden
w = lambda *shape: R.uniform(-1, 1, shape).astype(np.float32)  # noqa: E731
lengths = np.array([5, 3, 1], np.int32)
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def case(op, opset, *, directions=1, bias=False, lens=None, h=None, c=None, p=None, time=T, **attributes):
    gates = GATES[op]
    operands = [(time, N, S), w(directions, gates * H, S), w(directions, gates * H, H)]
    operands += [w(directions, 2 * gates * H) if bias else None, lens, h]
    operands += [c, p] if op == "LSTM" else []
    while operands[-1] is None:
        operands.pop()
    if directions == 2:
        attributes["direction"] = "bidirectional"
    outputs = 3 if op == "LSTM" else 2
    words = [f"{k}={v}" for k, v in attributes.items()]
    words += [
        name
        for name, given in (("bias", bias or None), ("lens", lens), ("h", h), ("c", c), ("p", p))
        if given is not None
    ]
    return pytest.param((op, opset, operands, {"hidden_size": H, **attributes}, outputs), id="-".join([op, *words]))


STATE, BOTH = (1, N, H), (2, N, H)

NATIVE = [
    case("RNN", 7),
    case("RNN", 14, bias=True, h=STATE, directions=1, direction="reverse"),
    case("RNN", 22, bias=True, h=w(*BOTH), directions=2, activations=["Relu", "Sigmoid"]),
    case("GRU", 7),
    case("GRU", 14, bias=True, h=STATE, direction="reverse"),
    case("GRU", 22, bias=True, h=BOTH, directions=2),
    case("GRU", 14, bias=True, activations=["Tanh", "Sigmoid"]),
    case("GRU", 14, bias=True, linear_before_reset=1, h=STATE),
    case("GRU", 14, bias=True, linear_before_reset=1, directions=2),
    case("GRU", 14, linear_before_reset=1, bias=True, time=40),
    case("LSTM", 7),
    case("LSTM", 14, bias=True, h=STATE, c=STATE, direction="reverse"),
    case("LSTM", 22, bias=True, h=w(*BOTH), c=BOTH, directions=2),
    case("LSTM", 14, bias=True, p=w(1, 3 * H)),
    case("LSTM", 14, p=w(2, 3 * H), directions=2, activations=["Sigmoid", "Tanh", "Tanh", "Tanh", "Sigmoid", "Tanh"]),
    case("LSTM", 14, lens=np.array([5, 5, 5], np.int32)),
]
B = [0.5, 0.1]
STEPPED = [
    case("RNN", 14, clip=0.5, bias=True),
    case("RNN", 14, lens=lengths, h=STATE, direction="reverse"),
    case("RNN", 14, directions=2, activations=["Elu", "LeakyRelu"], activation_alpha=[0.5, 0.2]),
    case("RNN", 14, activations=["Softsign"], time=40),
    case("RNN", 14, activations=["ThresholdedRelu"], activation_alpha=[0.5]),
    case("GRU", 14, clip=0.4, bias=True),
    case("GRU", 14, clip=0.4, bias=True, linear_before_reset=1),
    case("GRU", 14, lens=lengths, directions=2, bias=True, h=BOTH),
    case("GRU", 14, lens={"input": lengths}, directions=2, linear_before_reset=1, bias=True),
    case("GRU", 14, activations=["HardSigmoid", "ScaledTanh"], activation_alpha=[0.3, 0.8], activation_beta=[0.4, 1.2]),
    case("LSTM", 14, clip=0.3, bias=True, c=STATE),
    case("LSTM", 14, input_forget=1, bias=True, p=w(1, 3 * H)),
    case("LSTM", 14, lens=lengths, directions=2, bias=True, h=BOTH, c=BOTH),
    case("LSTM", 14, lens={"input": lengths}, direction="reverse", p=w(1, 3 * H)),
    case("LSTM", 14, activations=["HardSigmoid", "Softplus", "Affine"], activation_alpha=[0.2, 0.5], activation_beta=B),
    case("LSTM", 14, lens=np.array([40, 7, 1], np.int32), direction="reverse", clip=0.9, time=40),
]  # fmt: skip
ALL = pytest.mark.parametrize("case", NATIVE + STEPPED)


@ALL
@pytest.mark.parametrize("release", ["iOS15", "iOS18"])
def test_a_recurrent_layer_answers_as_onnxruntime_does(held, case, release):
    held(case, deployment_target=release)


@ALL
@pytest.mark.parametrize("release", ["iOS16", "iOS17"])
def test_a_recurrent_layer_in_float16_answers_nearly_so(held, case, release):
    held(case, rtol=1e-2, atol=5e-3, deployment_target=release, compute_precision="float16")


@ALL
def test_a_recurrent_layer_of_a_neural_network_answers_as_onnxruntime_does(held, case):
    held(case, format="mlmodel", deployment_target="iOS14")


@pytest.mark.parametrize("case", NATIVE)
def test_core_mls_own_layer_stands_where_it_says_the_same(built, case):
    assert {"rnn", "gru", "lstm"} & set(built(case, deployment_target="iOS18"))


@pytest.mark.parametrize("case", STEPPED)
def test_steps_stand_where_core_mls_layer_says_another_thing(built, case):
    assert not {"rnn", "gru", "lstm"} & set(built(case, deployment_target="iOS18"))


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("lens", [None, lengths])
def test_a_batch_first_layer_answers_as_the_other_does_transposed(answer, reference, op, lens):
    """onnxruntime has no layout = 1."""
    values = [
        R.uniform(-1, 1, (T, N, S)).astype(np.float32),
        w(2, GATES[op] * H, S),
        w(2, GATES[op] * H, H),
        None,
        lens,
        w(2, N, H),
    ]

    def model(layout, outputs):
        swapped = [v.swapaxes(0, 1).copy() if layout and place in (0, 5) else v for place, v in enumerate(values)]
        names = ["" if value is None else f"v{place}" for place, value in enumerate(values)]
        results = ["y", "h", "c"][: 3 if op == "LSTM" else 2]
        node = helper.make_node(op, names, results, hidden_size=H, direction="bidirectional", layout=layout)
        types = [helper.make_tensor_value_info("v0", TensorProto.FLOAT, swapped[0].shape)]
        constants = [
            numpy_helper.from_array(v, n) for v, n in zip(swapped[1:], names[1:], strict=True) if v is not None
        ]
        shown = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in zip(results, outputs, strict=False)
        ]
        made = helper.make_graph([node], "g", types, shown, constants)
        return helper.make_model(made, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), {"v0": swapped[0]}

    y, *ends = reference(*model(0, [None] * 3))
    got_y, *got_ends = answer(*model(1, [None] * 3))
    np.testing.assert_allclose(got_y, y.transpose(2, 0, 1, 3), atol=1e-5)
    for got, end in zip(got_ends, ends, strict=True):
        np.testing.assert_allclose(got, end.swapaxes(0, 1), atol=1e-5)


def test_two_layers_of_a_neural_network_may_read_the_same_tensor(answer, reference):
    weights = {"w": w(1, 3 * H, S), "r": w(1, 3 * H, H)}
    nodes = [helper.make_node("GRU", ["x", "w", "r", "", "", "h"], [f"y{k}"], hidden_size=H) for k in range(2)]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info(*given) for given in (("x", 1, [T, N, S]), ("h", 1, [1, N, H]))],
        [helper.make_tensor_value_info(f"y{k}", 1, [T, 1, N, H]) for k in range(2)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    inputs = {"x": w(T, N, S), "h": w(1, N, H)}
    for got, wanted in zip(
        answer(model, inputs, format="mlmodel", deployment_target="iOS14"), reference(model, inputs), strict=True
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_weights_that_the_model_computes_are_refused(built):
    with pytest.raises(UnsupportedOpsError, match="parameters 'W' and 'R' must be known"):
        built(("RNN", 14, [(T, N, S), (1, H, S), (1, H, H)], {"hidden_size": H}))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"hidden_size": H + 1}, "hidden_size is 5, its weights say 4"),
        ({"hidden_size": H, "activations": ["Swish"]}, "the activation 'swish' is not known"),
    ],
)
def test_what_does_not_fit_is_said(built, attributes, words):
    with pytest.raises(UnsupportedOpsError, match=words):
        built(("RNN", 14, [(T, N, S), w(1, H, S), w(1, H, H)], attributes))

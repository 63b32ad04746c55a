"""If, Loop and Scan: opened at conversion where their course is known, else left to Core ML's cond and while_loop."""

import numpy as np
import onnx.parser
import pytest

from converter.convert.onnx.lower import lower
from converter.convert.onnx.prepare import prepare, unroll
from converter.errors import ConversionError, UnsupportedOpsError
from converter.model import Target

X = np.array([[-1.0, 2.0, -3.0], [4.0, -5.0, 6.0]], np.float32)
TARGETS = [
    {},
    {"deployment_target": "iOS15"},
    {"deployment_target": "iOS26"},
    {"deployment_target": "iOS18", "compute_precision": "float16"},
    {"format": "mlmodel", "deployment_target": "iOS14"},
]
each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda t: "-".join(t.values()) or "iOS16")


def model_of(text, opset=17):
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}, "vendor": 1]>\n{text}')


CHOICE = """
g (float[2,3] x, bool flag) => (float[2,3] y) {
  shared = Abs(x)
  y = If (flag) <
    then_branch = t () => (float[2,3] a) { two = Constant <value = float {2}> ()  a = Mul(shared, two) },
    else_branch = e () => (float[2,3] b) { b = Neg(shared) }
  >
}
"""
PASSING = """
g (float[2,3] x, bool flag) => (float[2,3] y, float[2,3] z) {
  y, z = If (flag) <
    then_branch = t () => (float[2,3] a, float[2,3] c) {
      a = Identity(x)  c = Constant <value = float[2,3] {1,2,3,4,5,6}> ()
    },
    else_branch = e () => (float[2,3] b, float[2,3] d) { b = Neg(x)  d = Identity(x) }
  >
}
"""
NESTED = """
g (float[2,3] x, bool flag, bool other) => (float[2,3] y) {
  y = If (flag) <
    then_branch = t () => (float[2,3] a) {
      s = Sin(x)
      a = If (other) <
        then_branch = tt () => (float[2,3] aa) { aa = Add(s, x) },
        else_branch = te () => (float[2,3] ab) { ab = Sub(s, x) }
      >
    },
    else_branch = e () => (float[2,3] b) { s = Cos(x)  b = Add(s, s) }
  >
}
"""


@each_target
@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("text", [CHOICE, PASSING, NESTED], ids=["choice", "passing", "nested"])
def test_a_condition_that_the_running_model_finds_chooses_a_branch(answer, reference, text, flag, target):
    inputs = {"x": X, "flag": np.array(flag), "other": np.array(not flag)}
    model = model_of(text)
    inputs = {value.name: inputs[value.name] for value in model.graph.input}
    half = target.get("compute_precision") == "float16"
    for got, wanted in zip(answer(model, inputs, **target), reference(model, inputs), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-2 if half else 1e-6, atol=1e-3 if half else 1e-7)


def test_a_constant_condition_leaves_its_branch_alone():
    text = CHOICE.replace(", bool flag", "").replace(
        "shared = Abs(x)", "shared = Abs(x) flag = Constant <value = bool {0}> ()"
    )
    assert [node.op_type for node in prepare(model_of(text)).nodes] == ["Abs", "Neg"]


def test_a_condition_that_only_shapes_decide_is_constant():
    text = """
    g (float[2,3] x) => (float[M] y) {
      n = Size(x) six = Constant <value = int64 {6}> () same = Equal(n, six)
      y = If (same) <
        then_branch = t () => (float[2,3] a) { a = Relu(x) },
        else_branch = e () => (float[6] b) { s = Constant <value_ints = [-1]> () b = Reshape(x, s) }
      >
    }
    """
    assert [node.op_type for node in prepare(model_of(text)).nodes] == ["Relu"]


UNROLLED = {
    "sum": """
    g (float[3] x) => (float[3] y, float[4,3] z) {
      n = Constant <value = int64 {4}> () go = Constant <value = bool {1}> ()
      y, z = Loop (n, go, x) <body = b (int64 i, bool c, float[3] s) => (bool c_out, float[3] s_out, float[3] row) {
        c_out = Identity(c) f = Cast <to = 1> (i) s_out = Add(s, f) row = Mul(s_out, x)
      }>
    }""",
    "until a constant condition": """
    g (float[3] x) => (float[3] y) {
      n, go = Twice ()
      y = Loop ("", go, x) <body = b (int64 i, bool c, float[3] s) => (bool c_out, float[3] s_out) {
        two = Constant <value = int64 {2}> () c_out = Less(i, two) s_out = Add(s, s)
      }>
    }""".replace("n, go = Twice ()", "go = Constant <value = bool {1}> ()"),
    "a state that grows": """
    g (float[3] x) => (float[12] y) {
      n = Constant <value = int64 {2}> ()
      y = Loop (n, "", x) <body = b (int64 i, bool c, float[L] s) => (bool c_out, float[K] s_out) {
        c_out = Identity(c) s_out = Concat <axis = 0> (s, s)
      }>
    }""",
    "no round": """
    g (float[3] x) => (float[3] y) {
      n = Constant <value = int64 {0}> () r = Relu(x)
      y = Loop (n, "", r) <body = b (int64 i, bool c, float[3] s) => (bool c_out, float[3] s_out) {
        c_out = Identity(c) s_out = Add(s, s)
      }>
    }""",
    "a condition in a loop": """
    g (float[3] x) => (float[3] y) {
      n = Constant <value = int64 {3}> ()
      y = Loop (n, "", x) <body = b (int64 i, bool c, float[3] s) => (bool c_out, float[3] s_out) {
        one = Constant <value = int64 {1}> () first = Less(i, one) c_out = Identity(c)
        s_out = If (first) <
          then_branch = t () => (float[3] a) { a = Mul(s, x) },
          else_branch = e () => (float[3] d) { d = Sub(s, x) }
        >
      }>
    }""",
    "a loop in a loop": """
    g (float[3] x) => (float[3] y) {
      n = Constant <value = int64 {2}> ()
      y = Loop (n, "", x) <body = b (int64 i, bool c, float[3] s) => (bool c_out, float[3] s_out) {
        c_out = Identity(c)
        s_out = Loop (n, "", s) <body = bb (int64 j, bool cc, float[3] ss) => (bool cc_out, float[3] ss_out) {
          k = Add(i, j) f = Cast <to = 1> (k) ss_out = Add(ss, f) cc_out = Identity(cc)
        }>
      }>
    }""",
    "a scan": """
    g (float[3] x) => (float y, float[3] z) {
      zero = Constant <value = float {0}> ()
      y, z = Scan <num_scan_inputs = 1, body = b (float s, float e) => (float s_out, float row) {
        s_out = Add(s, e) row = Identity(s_out)
      }> (zero, x)
    }""",
    "a scan along other axes, backwards": """
    g (float[2,3] x, float[3,2] w) => (float[2] y, float[2,3] z, float[3,2] v) {
      start = Constant <value = float[2] {1, 2}> ()
      y, z, v = Scan <num_scan_inputs = 2, scan_input_axes = [1, 0], scan_input_directions = [1, 0],
        scan_output_axes = [1, 0], scan_output_directions = [0, 1],
        body = b (float[2] s, float[2] e, float[2] f) => (float[2] s_out, float[2] row, float[2] other) {
          p = Mul(s, e) s_out = Add(p, f) row = Sub(s_out, e) other = Identity(s_out)
      }> (start, x, w)
    }""",
}


@pytest.mark.parametrize("text", UNROLLED.values(), ids=UNROLLED.keys())
@pytest.mark.parametrize("target", TARGETS[::4], ids=["mlpackage", "mlmodel"])
def test_a_loop_of_known_length_is_written_out(answer, reference, text, target):
    model = model_of(text)
    inputs = {"x": X if "float[2,3] x" in text else X[0], "w": X.reshape(3, 2)}
    inputs = {value.name: inputs[value.name] for value in model.graph.input}
    assert not {"Loop", "Scan", "If"} & {node.op_type for node in prepare(model).nodes}
    for got, wanted in zip(answer(model, inputs, **target), reference(model, inputs), strict=True):
        np.testing.assert_allclose(got.reshape(wanted.shape), wanted, rtol=1e-6)


RUNNING = {
    "a count": """
    g (float[3] x, int64 n) => (float[3] y) {
      y = Loop (n, "", x) <body = b (int64 i, bool c, float[3] s) => (bool c_out, float[3] s_out) {
        f = Cast <to = 1> (i) d = Add(s, f) s_out = Add(d, x) c_out = Identity(c)
      }>
    }""",
    "a condition": """
    g (float[3] x, int64 n) => (float[3] y) {
      limit = Cast <to = 1> (n) go = Constant <value = bool {1}> ()
      y = Loop ("", go, x) <body = b (int64 i, bool c, float[3] s) => (bool c_out, float[3] s_out) {
        a = Abs(x) s_out = Add(s, a) top = ReduceSum <keepdims = 0> (s_out) c_out = Less(top, limit)
      }>
    }""",
    "both, and two states": """
    g (float[3] x, int64 n) => (float[3] y, float[3] z) {
      four = Constant <value = int64 {4}> () zero = Constant <value = int64 {0}> () go = Greater(n, zero)
      y, z = Loop (four, go, x, x) <
        body = b (int64 i, bool c, float[3] s, float[3] t) => (bool c_out, float[3] s_out, float[3] t_out) {
        s_out = Add(t, x) t_out = Mul(s, t) c_out = Less(i, n)
      }>
    }""",
}  # fmt: skip


@each_target
@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("text", RUNNING.values(), ids=RUNNING.keys())
def test_a_loop_whose_end_the_running_model_finds_is_a_while_loop(answer, reference, text, count, target):
    model = model_of(text)
    inputs = {"x": X[1] / 4, "n": np.array(count, np.int64)}
    half = target.get("compute_precision") == "float16"
    for got, wanted in zip(answer(model, inputs, **target), reference(model, inputs), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-2 if half else 1e-6)


def refusal(text, deployment_target="iOS16"):
    target = Target(format="mlpackage", deployment_target=deployment_target, compute_precision="float32")
    with pytest.raises(ConversionError) as refused:
        lower(prepare(model_of(text)), interface=None, target=target)
    return refused.value


@pytest.mark.parametrize(
    ("text", "words", "inputs"),
    [
        (
            CHOICE.replace("b = Neg(shared)", "axes = Constant <value_ints = [0]> () b = Unsqueeze(shared, axes)"),
            "'cond' must be known",
            {"flag"},
        ),
        (
            RUNNING["a count"]
            .replace("s_out = Add(d, x)", "s_out = Concat <axis = 0> (d, x)")
            .replace("float[3] s", "float[L] s"),
            "'M' must be known",
            {"n"},
        ),
        (
            """
            g (float[3] x, int64 n) => (float[K,3] y) {
              y = Loop (n, "") <body = b (int64 i, bool c) => (bool c_out, float[3] row) {
                row = Abs(x) c_out = Identity(c)
              }>
            }""",
            "'M' must be known",
            {"n"},
        ),
        (
            """
            g (float[3] x, int64 n, bool go) => (float[K,3] y) {
              y = Loop (n, go) <body = b (int64 i, bool c) => (bool c_out, float[3] row) {
                row = Abs(x) c_out = Identity(c)
              }>
            }""",
            "'M' and 'cond' must be known",
            {"n", "go"},
        ),
    ],
)  # fmt: skip
def test_what_must_be_known_for_control_flow_is_said(text, words, inputs):
    error = refusal(text)
    assert isinstance(error, UnsupportedOpsError)
    assert words in str(error)
    assert error.inputs == inputs


def test_an_output_that_grows_until_a_computed_condition_ends_it_is_refused():
    text = """
    g (float[3] x) => (float[K,3] y) {
      n = Constant <value = int64 {9}> ()
      y = Loop (n, "") <body = b (int64 i, bool c) => (bool c_out, float[3] row) {
        row = Abs(x) top = ReduceSum <keepdims = 0> (row) zero = Constant <value = float {0}> () c_out = Less(top, zero)
      }>
    }"""
    error = refusal(text)
    assert "Core ML has no outputs that grow" in str(error)
    assert not error.inputs


def test_nodes_in_branches_that_cannot_be_converted_are_named():
    text = CHOICE.replace("b = Neg(shared)", "b = vendor.Magic(shared)").replace(
        "a = Mul(shared, two)", "a = vendor.Trick(shared)"
    )
    error = refusal(text)
    assert "2 nodes cannot be converted (1 x Trick, 1 x Magic)" in str(error)
    assert "y/then_branch/a" in str(error)
    assert "y/else_branch/b" in str(error)


def test_a_loop_that_would_become_too_many_nodes_is_refused(monkeypatch):
    monkeypatch.setattr(unroll, "MAX_VISITED", 10)
    assert "written out round by round, the model would have more than 10 nodes" in str(refusal(UNROLLED["sum"]))


def test_names_in_two_branches_and_in_each_round_do_not_meet():
    graph = prepare(model_of(UNROLLED["a loop in a loop"]))
    made = [name for node in graph.nodes for name in node.outputs]
    assert len(made) == len(set(made))
    assert {node.op_type for node in graph.nodes} == {"Add"}

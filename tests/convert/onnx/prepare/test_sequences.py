"""Sequences and optionals that only pass through a model are resolved; what stays of them is refused."""

import numpy as np
import onnx.parser
import pytest

from converter.convert.onnx.lower import lower
from converter.convert.onnx.prepare import prepare
from converter.errors import ConversionError
from converter.model import Target

X = np.arange(12, dtype=np.float32).reshape(4, 3) - 5


TARGET = Target(format="mlpackage", deployment_target="iOS16", compute_precision="float32")


def model_of(text, opset=18):
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]>\n{text}')


PASSING = {
    "construct, at": """
      a = Abs(x) s = SequenceConstruct(x, a) n = Constant <value = int64 {-1}> () y = SequenceAt(s, n)""",
    "empty, insert, concatenate": """
      e = SequenceEmpty <dtype = 1> () a = Abs(x) z = Constant <value = int64 {0}> ()
      s = SequenceInsert(e, x) t = SequenceInsert(s, a, z) y = ConcatFromSequence <axis = 1> (t)""",
    "on a new axis": """
      a = Abs(x) s = SequenceConstruct(x, a) y = ConcatFromSequence <axis = -1, new_axis = 1> (s)""",
    "insert before the last": """
      a = Abs(x) b = Neg(x) s = SequenceConstruct(x, a) n = Constant <value = int64 {-1}> ()
      t = SequenceInsert(s, b, n) y = ConcatFromSequence <axis = 0> (t)""",
    "erase": """
      a = Abs(x) b = Neg(x) s = SequenceConstruct(x, a, b) z = Constant <value = int64 {0}> ()
      t = SequenceErase(s, z) u = SequenceErase(t) y = ConcatFromSequence <axis = 0> (u)""",
    "length": """
      a = Abs(x) s = SequenceConstruct(x, a, x) n = SequenceLength(s) f = Cast <to = 1> (n) y = Mul(x, f)""",
    "split into rows": """
      s = SplitToSequence(x) n = Constant <value = int64 {2}> () y = SequenceAt(s, n)""",
    "split into rows without their axis": """
      s = SplitToSequence <keepdims = 0> (x) n = Constant <value = int64 {2}> () y = SequenceAt(s, n)""",
    "split into chunks, the last shorter": """
      c = Constant <value = int64 {3}> () s = SplitToSequence(x, c) n = Constant <value = int64 {1}> ()
      y = SequenceAt(s, n)""",
    "split by lengths": """
      c = Constant <value_ints = [1, 2]> () s = SplitToSequence <axis = 1> (x, c)
      n = Constant <value = int64 {1}> () y = SequenceAt(s, n)""",
    "map": """
      a = Abs(x) s = SequenceConstruct(x, a) m = SequenceMap (s, x) <
        body = b (float[4,3] e, float[4,3] o) => (float[4,3] r) { p = Mul(e, o) r = Add(p, a) }
      >
      y = ConcatFromSequence <axis = 0> (m)""",
    "map two": """
      a = Abs(x) s = SequenceConstruct(x, a) t = SequenceConstruct(a, a) m = SequenceMap (s, t) <
        body = b (float[4,3] e, float[4,3] o) => (float[4,3] r) { r = Sub(e, o) }
      >
      y = ConcatFromSequence <axis = 0> (m)""",
    "carried by a loop": """
      e = SequenceEmpty <dtype = 1> () n = Constant <value = int64 {3}> ()
      s = Loop (n, "", e) <body = b (int64 i, bool c, seq(float[4,3]) s_in) => (bool c_out, seq(float[4,3]) s_out) {
        f = Cast <to = 1> (i) r = Mul(x, f) s_out = SequenceInsert(s_in, r) c_out = Identity(c)
      }>
      y = ConcatFromSequence <axis = 0> (s)""",
    "an optional": """
      o = Optional(x) h = OptionalHasElement(o)
      y = If (h) <
        then_branch = t () => (float[4,3] a) { a = OptionalGetElement(o) },
        else_branch = f () => (float[4,3] b) { b = Neg(x) }
      >""",
    "an empty optional": """
      o = Optional <type = tensor(float)> () h = OptionalHasElement(o)
      y = If (h) <
        then_branch = t () => (float[4,3] a) { a = OptionalGetElement(o) },
        else_branch = f () => (float[4,3] b) { b = Neg(x) }
      >""",
    "an optional sequence": """
      a = Abs(x) s = SequenceConstruct(x, a) o = Optional(s) t = OptionalGetElement(o)
      y = ConcatFromSequence <axis = 0> (t)""",
}  # fmt: skip


@pytest.mark.parametrize("body", PASSING.values(), ids=PASSING.keys())
def test_a_sequence_that_passes_through_is_resolved(answer, reference, body):
    if "Optional <" in body:
        body = body.replace("Optional <type = tensor(float)> ()", "Optional ()")
    model = model_of(f"g (float[4,3] x) => (y) {{ {body} }}")
    for node in model.graph.node:
        if node.op_type == "Optional" and not node.input:  # the text format has no types as attributes
            kind = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
            node.attribute.append(onnx.helper.make_attribute("type", kind))
    (wanted,) = reference(model, {"x": X})
    (got,) = answer(model, {"x": X})
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def refusal(text):
    with pytest.raises(ConversionError) as refused:
        lower(prepare(model_of(text)), interface=None, target=TARGET)
    return refused.value


@pytest.mark.parametrize(
    ("text", "words", "inputs"),
    [
        (
            "g (float[4,3] x, int64 n) => (float[4,3] y) { s = SequenceConstruct(x, x) y = SequenceAt(s, n) }",
            "'position' must be known",
            {"n"},
        ),
        (
            """g (float[4,3] x, int64[2] n) => (float[M,3] y) {
              s = SplitToSequence(x, n) y = ConcatFromSequence <axis = 0> (s)
            }""",
            "'split' must be known",
            {"n"},
        ),
        (
            """g (float[4,3] x, bool c) => (float[M,3] y) {
              s = If (c) <
                then_branch = t () => (seq(float[4,3]) a) { a = SequenceConstruct(x) },
                else_branch = f () => (seq(float[4,3]) b) { b = SequenceConstruct(x, x) }
              >
              y = ConcatFromSequence <axis = 0> (s)
            }""",
            "'cond' must be known",
            {"c"},
        ),
        (
            """g (float[4,3] x, int64 n) => (float[M,3] y) {
              e = SequenceEmpty <dtype = 1> ()
              s = Loop (n, "", e) <
                body = b (int64 i, bool c, seq(float[4,3]) s_in) => (bool c_out, seq(float[4,3]) s_out) {
                s_out = SequenceInsert(s_in, x) c_out = Identity(c)
              }>
              y = ConcatFromSequence <axis = 0> (s)
            }""",
            "'M' must be known",
            {"n"},
        ),
        (
            "g (float[4,3] x) => (seq(float[4,3]) y) { y = SequenceConstruct(x, x) }",
            'output "y" is a sequence or an optional, and Core ML has only tensors',
            set(),
        ),
        (
            "g (seq(float[4,3]) x) => (float[M,3] y) { y = ConcatFromSequence <axis = 0> (x) }",
            'input "x" is a sequence, and Core ML takes and gives tensors only',
            set(),
        ),
        (
            "g (optional(float[4,3]) x) => (float[4,3] y) { y = OptionalGetElement(x) }",
            'input "x" is an optional, and Core ML takes and gives tensors only',
            set(),
        ),
        (
            """g (float[4,3] x) => (float[4,3] y) {
              s = SequenceConstruct(x) n = Constant <value = int64 {1}> () y = SequenceAt(s, n)
            }""",
            "its position 1 lies outside a sequence of 1",
            set(),
        ),
    ],
)  # fmt: skip
def test_what_stays_of_a_sequence_is_refused(text, words, inputs):
    error = refusal(text)
    assert words in str(error)
    assert getattr(error, "inputs", set()) == inputs

"""What a refusal says where a newer deployment target is enough."""

import onnx.parser
import pytest

from converter.convert.onnx.lower import lower
from converter.convert.onnx.lower.targets import lowest, needs
from converter.convert.onnx.prepare import prepare
from converter.errors import UnsupportedOpsError
from converter.model import Target

BATCHED = "i = Constant <value = int64[2,1] {0, 1}> () y = GatherND <batch_dims = 1> (x, i)"


def graph_of(body, opset=17):
    text = f'<ir_version: 8, opset_import: ["": {opset}, "vendor": 1]> g (float[2,3] x) => (y) {{ {body} }}'
    return prepare(onnx.parser.parse_model(text))


def fix(graph, deployment_target, format="mlpackage"):
    target = Target(format=format, deployment_target=deployment_target, compute_precision="float32")
    with pytest.raises(UnsupportedOpsError) as refused:
        lower(graph, interface=None, target=target)
    return refused.value.fix


def test_a_refusal_names_the_oldest_target_that_can_do_it():
    assert fix(graph_of(BATCHED), "iOS15") == "ask for deployment_target iOS16 or newer, which can do this"
    lower(graph_of(BATCHED), interface=None, target=Target(
        format="mlpackage", deployment_target="iOS16", compute_precision="float32"
    ))  # fmt: skip


def test_no_target_is_named_where_none_helps():
    assert "deployment_target" not in fix(graph_of(BATCHED.replace("y =", "z =") + " y = vendor.Magic(z)"), "iOS15")


def test_a_view_of_more_axes_than_core_ml_has_is_stood_in_for():
    """Each node alone: the transpose takes a tensor of rank 6, and so does the reshape behind it."""
    body = """
      s = Constant <value_ints = [1, 2, 1, 1, 3, 1]> () a = Reshape(x, s) b = Transpose <perm = [4, 0, 1, 2, 3, 5]> (a)
      t = Constant <value_ints = [6]> () y = Reshape(b, t)"""
    assert lowest(needs(graph_of(body))) == "iOS15"


def test_nodes_that_look_alike_are_tried_once(monkeypatch):
    from converter.convert.onnx.lower import targets

    tried = []
    monkeypatch.setattr(targets, "alone", lambda graph, node, target: tried.append(node) or targets.Support(node, ""))
    graph = graph_of(" ".join(f"v{i + 1} = Relu({f'v{i}' if i else 'x'})" for i in range(50)) + " y = Neg(v50)")
    assert len(needs(graph)) == 51
    assert len(tried) == 2

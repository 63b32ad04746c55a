import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import converter
from converter.errors import ConversionError, UnsupportedOpsError
from converter.evaluate import describe


def model(op="Relu", name="1:x/y", out="out put", opset=17, domain=""):
    node = helper.make_node(op, [name], [out], name="/act", domain=domain)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, [2, 3])],
    )
    imports = [helper.make_opsetid("", opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, 1))
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("net.mlpackage", {}),
        ("net.mlpackage", {"deployment_target": "iOS15", "compute_precision": "float32"}),
        ("net.mlpackage", {"deployment_target": "iOS18"}),
        ("net.mlmodel", {"format": "mlmodel", "deployment_target": "iOS13"}),
    ],
)
@pytest.mark.parametrize("from_file", [True, False])
def test_names_are_made_valid_and_their_originals_kept(file, options, from_file, tmp_path):
    source = model()
    if from_file:
        onnx.save(source, tmp_path / "net.onnx")
        source = tmp_path / "net.onnx"
    for _ in range(2):  # the second replaces the first
        path = converter.convert_onnx(source, tmp_path / file, **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([file, *(["net.onnx"] if from_file else [])])
    described = describe(path)
    (given,) = [feature.name for feature in described.inputs]
    x = np.array([[-1, 2, -3], [4, -5, 6]], np.float32)
    (answer,) = converter.load_model(path).predict({given: x}).values()
    np.testing.assert_array_equal(answer, np.maximum(x, 0))
    assert described.metadata[f"onnx.name.{given}"] == "1:x/y"


@pytest.mark.parametrize(
    ("file", "options", "words"),
    [
        ("net.mlmodel", {}, "does not end in .mlpackage"),
        ("net.mlpackage", {"format": "mlmodel"}, "takes the targets iOS13, iOS14, not 'iOS16'"),
        ("net.mlpackage", {"format": "onnx"}, "format 'onnx' is none of"),
        ("net.mlpackage", {"deployment_target": "iOS12"}, "not 'iOS12'"),
        ("net.mlpackage", {"compute_precision": "int8"}, "neither float32 nor float16"),
        ("no/net.mlpackage", {}, "there is no folder"),
    ],
)
def test_wrong_arguments_are_refused(file, options, words, tmp_path):
    with pytest.raises(ConversionError, match=words):
        converter.convert_onnx(model(), tmp_path / file, **options)


def test_an_unsupported_op_is_named_with_its_node(tmp_path):
    with pytest.raises(UnsupportedOpsError, match="/act") as refused:
        converter.convert_onnx(model("Foo", domain="of.mine"), tmp_path / "net.mlpackage")
    assert "of.mine.Foo" in refused.value.problem
    assert list(tmp_path.iterdir()) == []

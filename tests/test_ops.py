"""The command `ops`: what converts of a model, and from which deployment target on."""

import re

import onnx
import onnx.defs
import onnx.parser
import pytest

from converter.cli import main


@pytest.fixture
def told(tmp_path, capsys):
    def run(text):
        path = tmp_path / "model.onnx"
        onnx.save(onnx.parser.parse_model(text), path)
        code = main(["ops", str(path)])
        assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]  # nothing is written
        return capsys.readouterr().out.replace(str(path), "model.onnx"), code

    return run


def test_every_op_of_the_standard_is_listed_once(capsys):
    assert main(["ops"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [index for index, line in enumerate(lines) if not line.startswith(" ")]
    sections = {
        lines[head].split(":")[0]: [line.split()[0] for line in lines[head + 1 : end]]
        for head, end in zip(heads, [*heads[1:], len(lines)], strict=True)
    }
    standard = [name.rstrip(":") for what, names in sections.items() if what.startswith("ai.onnx") for name in names]
    assert sorted(standard) == sorted(s.name for s in onnx.defs.get_all_schemas() if s.domain == "")
    assert "Scan" in sections["ai.onnx, resolved at conversion"]
    assert len(sections["ai.onnx, which do not convert"]) < 10


HEAD = '<ir_version: 8, opset_import: ["": 17, "vendor": 1]>\n'


def test_all_nodes_that_do_not_convert_are_listed_with_their_reasons(told):
    out, code = told(
        HEAD
        + """
        g (float[2,3] x, int64[1] s) => (float[2,3] y, float[6] z) {
          r = Relu(x) a = vendor.Magic(r) y = Abs(a) z = Reshape(r, s)
        }
    """
    )
    assert code == 4
    assert out.splitlines() == [
        "model.onnx: 4 nodes after folding, 2 of them do not convert",
        "      1 Abs: converts",
        "      1 Relu: converts",
        "      1 Reshape: 1 do not convert",
        "      1 vendor.Magic: 1 do not convert",
        '  node "a" (vendor.Magic, opset 1): there is no lowering for this op',
        "  node \"z\" (Reshape, opset 17): parameter 'shape' must be known at conversion, but is computed by the model",
        "  1 values of type int64 are computed as int32",
    ]


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ("y = Relu(x)", "iOS15"),
        ("i = Constant <value = int64[2,1] {0, 1}> () g = GatherND <batch_dims = 1> (x, i) y = Relu(g)", "iOS16"),
    ],
)
def test_the_oldest_target_at_which_all_converts_is_named(told, body, target):
    out, code = told(f"{HEAD} g (float[2,3] x) => (y) {{ {body} }}")
    assert code == 0
    assert out.splitlines()[-1] == f"all of it converts from deployment_target {target} on"


def test_sizes_may_be_open_and_branches_are_counted(told):
    out, code = told(
        HEAD
        + """
        g (float[batch,3] x, bool c) => (float[batch,3] y) {
          y = If (c) <then_branch = t () => (a) { a = Relu(x) }, else_branch = e () => (b) { b = Neg(x) }>
        }
    """
    )
    assert re.match(r"model.onnx: 1 nodes after folding and 2 in branches and loops", out)
    assert code in (0, 4)

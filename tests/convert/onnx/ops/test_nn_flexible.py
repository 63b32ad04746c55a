"""Windows, recurrent layers and Flatten over sizes that are known only when the model runs."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.convert import interface as app
from converter.convert.onnx.lower import lower
from converter.convert.onnx.prepare import prepare
from converter.evaluate import load_model
from converter.model import Interface, Output, Range, Target, TensorInput

R = np.random.default_rng(1)
w = lambda *shape: R.uniform(-1, 1, shape).astype(np.float32)  # noqa: E731
H = 4
ANY = Range(lower=2, upper=60, default=5)
PICTURE, PICTURES = (1, 2, ANY, ANY), [(1, 2, 5, 8), (1, 2, 9, 6)]
POOL = {"kernel_shape": [3, 2], "strides": [2, 2]}
TWO = {"hidden_size": H, "direction": "bidirectional"}

CASES = [
    ("Flatten", (ANY, ANY, 3), [(5, 3, 3), (4, 8, 3)], [], {"axis": 2}),
    ("MaxPool", PICTURE, PICTURES, [], {**POOL, "auto_pad": "SAME_UPPER"}),
    ("AveragePool", PICTURE, PICTURES, [], {**POOL, "ceil_mode": 1}),
    ("ConvTranspose", PICTURE, PICTURES, [w(2, 3, 3, 3)], {"strides": [2, 2], "output_padding": [1, 1]}),
    ("RNN", (ANY, 3, 2), [(5, 3, 2), (40, 3, 2)], [w(2, H, 2), w(2, H, H)], TWO),
    ("LSTM", (ANY, 3, 2), [(5, 3, 2), (40, 3, 2)], [w(2, 4 * H, 2), w(2, 4 * H, H)], TWO),
    ("GRU", (ANY, 3, 2), [(5, 3, 2), (40, 3, 2)], [w(2, 3 * H, 2), w(2, 3 * H, H)], {**TWO, "linear_before_reset": 1}),
    ("GRU", (5, ANY, 2), [(5, 3, 2), (5, 7, 2)], [w(2, 3 * H, 2), w(2, 3 * H, H)], TWO),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
@pytest.mark.parametrize(("format", "release"), [("mlpackage", "iOS16"), ("mlmodel", "iOS14")])
def test_a_flexible_size_answers_as_onnxruntime_does(tmp_path, reference, case, format, release):
    op, shape, sizes, constants, attributes = case
    names = [f"c{place}" for place in range(len(constants))]
    declared = [f"d{axis}" if isinstance(dim, Range) else dim for axis, dim in enumerate(shape)]
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *names], ["y"], **attributes)],
        "flexible",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, declared)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in zip(names, constants, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inputs = (TensorInput(name="x", shape=shape, dtype="float32"),)
    interface = Interface(inputs=inputs, outputs=(Output(name="y"),))
    target = Target(format=format, deployment_target=release, compute_precision="float32")
    graph = prepare(model, interface=interface)
    program, passes = lower(graph, interface=app.inside(interface, target), target=target)
    path = tmp_path / f"model.{format}"
    app.build(program, interface, target, passes=passes).save(str(path))
    loaded = load_model(path)
    for size in sizes:
        x = w(*size)
        (wanted,) = reference(model, {"x": x})
        got = loaded.predict({"x": x})["y"]
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, atol=1e-5)

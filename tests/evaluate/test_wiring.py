"""What reads what in a file: the graph that a wrong value is followed back through."""

import pytest
import torch

from converter.evaluate import load_model


@pytest.mark.parametrize("target", ["mlprogram", "neuralnetwork"])
def test_each_operation_says_what_it_reads_and_makes(target, tmp_path):
    import coremltools as ct

    class Net(torch.nn.Module):
        def forward(self, x):
            y = torch.sin(x)
            return torch.cos(y) * y

    traced = torch.jit.trace(Net(), torch.zeros(2, 3))
    release = ct.target.iOS16 if target == "mlprogram" else ct.target.iOS14
    model = ct.convert(
        traced,
        inputs=[ct.TensorType("x", (2, 3))],
        outputs=[ct.TensorType("z")],
        convert_to=target,
        minimum_deployment_target=release,
        skip_model_load=True,
        **({"compute_precision": ct.precision.FLOAT32} if target == "mlprogram" else {}),
    )
    sine, cosine, product = load_model(model).wiring()
    assert sine.inputs == ("x",)
    assert cosine.inputs == sine.outputs
    assert set(product.inputs) == {*sine.outputs, *cosine.outputs}
    assert product.outputs == ("z",)

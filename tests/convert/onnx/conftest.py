"""ONNX in, outputs of the saved Core ML file out; onnxruntime is the oracle."""

import gc
import logging

import numpy as np
import onnxruntime
import pytest

from converter.convert.onnx.lower import interface_of, lower
from converter.convert.onnx.prepare import prepare
from converter.evaluate import load_model
from converter.model import Target


def folded_by_mil(program):
    """Operations over constants alone, which MIL's value inference would compute; not a weight, not random numbers."""
    operations = program.functions["main"].operations
    return [
        operation.op_type
        for operation in operations
        if operation.op_type not in ("const", "identity")
        and not operation.op_type.startswith(("constexpr_", "random_"))
        and all(given.op is not None and given.op.op_type == "const" for given in operation.get_flattened_inputs())
    ]


@pytest.fixture(scope="session")
def answer(tmp_path_factory):
    """Convert an ONNX model, save it, load the file again and run it; outputs are in the model's order."""
    import coremltools as ct

    logging.getLogger("coremltools").setLevel(logging.ERROR)
    folder = tmp_path_factory.mktemp("onnx")
    gc.freeze()  # ct.convert collects garbage each time: 0.2 s over torch's and coremltools' own objects

    def run(model, inputs, *, format="mlpackage", deployment_target="iOS16", compute_precision="float32"):
        graph = prepare(model)
        interface, names = interface_of(graph)
        target = Target(format=format, deployment_target=deployment_target, compute_precision=compute_precision)
        program, passes = lower(graph, interface=None, target=target)
        assert folded_by_mil(program) == []
        precision = {"compute_precision": ct.precision.FLOAT32} if format == "mlpackage" else {}
        converted = ct.convert(
            program,
            convert_to={"mlpackage": "mlprogram", "mlmodel": "neuralnetwork"}[format],
            minimum_deployment_target=getattr(ct.target, deployment_target),
            pass_pipeline=ct.PassPipeline(passes),
            skip_model_load=True,
            **precision,
        )
        path = folder / f"model.{format}"
        converted.save(str(path))
        given = {i.name: np.asarray(inputs[names[i.name]]) for i in interface.inputs}
        outputs = load_model(path).predict(given)
        return [np.asarray(outputs[o.name]) for o in interface.outputs]

    return run


@pytest.fixture(scope="session")
def reference():
    """What onnxruntime answers, in the model's order."""

    def run(model, inputs):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, inputs)

    return run

"""What coremltools' MLModel calls of Core ML, answered by the reference evaluator, or wrongly where a test says so.

STAND_IN_FAULTS is JSON: the name of a model file, alone or with a compute unit (`net.mlmodel ALL`), and what goes wrong
with it, one of FAULTS below.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

_HERE = Path(__file__).parent
_VENV = _HERE.parents[2] / ".venv" / "bin" / "python"

# As a Mac prints an Objective-C exception that nobody catches.
_UNCAUGHT = """\
*** Terminating app due to uncaught exception 'NSInvalidArgumentException', reason: 'a stand-in for a reason'
*** First throw call stack:
(
\t0   CoreFoundation                      0x0000000190d0f2ec __exceptionPreprocess + 176
\t1   libobjc.A.dylib                     0x00000001907f6788 objc_exception_throw + 60
)
libc++abi: terminating due to uncaught exception of type NSException
"""


def _hang(*_):
    subprocess.Popen(["sleep", "3600"])  # what it has started must go with it
    time.sleep(3600)


def _abort(*_):
    os.write(2, _UNCAUGHT.encode())
    os.abort()


def _kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def _segfault(*_):
    os.kill(os.getpid(), signal.SIGSEGV)


def _refuse(*_):
    os.write(2, b"\x1b[31mE5RT: a stand-in for what Core ML prints\x1b[0m\n")
    raise RuntimeError('Error compiling model: "a stand-in for Core ML\'s words".')


def _eat(*_):
    eaten = []
    while len(eaten) < 128:  # 4 GB, were it not ended before
        eaten.append(b"x" * (32 << 20))
        time.sleep(0.05)


def _nan(blank):
    return {name: np.full_like(value, np.nan) for name, value in blank.items()}


def _wrong_name(blank):
    return {f"{name}_1": value for name, value in blank.items()}


def _wrong_shape(blank):
    return {name: value[None] for name, value in blank.items()}


def _blank(path):
    """Zeros for each output, which is a multi-array of one shape: what is spoiled further needs no evaluator."""
    import coremltools

    outputs = coremltools.utils.load_spec(path).description.output
    return {one.name: np.zeros(list(one.type.multiArrayType.shape), np.float32) for one in outputs}


FAULTS = {  # where it happens, and what
    "hang on load": ("load", _hang),
    "abort on load": ("load", _abort),
    "refuse": ("load", _refuse),
    "hang": ("predict", _hang),
    "abort": ("predict", _abort),
    "kill": ("predict", _kill),
    "segfault": ("predict", _segfault),
    "eat": ("predict", _eat),
    "raise": ("predict", _refuse),
    "plan hangs": ("plan", _hang),
    "plan aborts": ("plan", _abort),
    "plan refused": ("plan", _refuse),
    "nan": ("answer", _nan),
    "wrong name": ("answer", _wrong_name),
    "wrong shape": ("answer", _wrong_shape),
}


class _MLModelProxy:
    def __init__(self, path, compute_units, function_name, optimization_hints, asset):
        self._path = path
        self._where, self._fault = _fault_of(path, compute_units)
        if self._where == "load":
            self._fault()
        if not self._where:
            _asked(path, None)

    @staticmethod
    def maximum_supported_specification_version():
        return 10

    def get_compiled_model_path(self):
        return f"{self._path}c"  # as long as this lives; nothing is compiled here

    @staticmethod
    def get_compute_plan(path, compute_units):
        from coremltools.models.compute_plan import MLComputePlan

        where, fault = _fault_of(path.removesuffix("c"), compute_units)
        if where == "plan":
            fault()
        return MLComputePlan(_MLComputePlanProxy(path.removesuffix("c"), compute_units))

    def predict(self, data, state):
        if self._where == "predict":
            self._fault()
        if self._where == "answer":
            return self._fault(_blank(self._path))
        if self._where == "plan":
            return _blank(self._path)
        return _asked(self._path, data)


def _fault_of(path, compute_units):
    faults = json.loads(os.environ.get("STAND_IN_FAULTS", "{}"))
    name = Path(path).name
    fault = faults.get(f"{name} {compute_units}", faults.get(name))
    return FAULTS[fault] if fault else ("", None)


class _MLComputePlanProxy:
    """A plan by which every operation or layer runs on the first device of its compute units, at the same cost."""

    def __init__(self, path, compute_units):
        import coremltools

        self._spec = coremltools.utils.load_spec(path)
        self._compute_units = compute_units

    @property
    def model_structure(self):
        from coremltools.models import compute_plan as plan

        if self._spec.WhichOneof("Type") != "mlProgram":
            kind = self._spec.WhichOneof("Type")
            layers = [
                plan.MLModelStructureNeuralNetworkLayer(
                    name=layer.name,
                    type=layer.WhichOneof("layer"),
                    input_names=list(layer.input),
                    output_names=list(layer.output),
                    __proxy__=None,
                )
                for layer in getattr(self._spec, kind).layers
            ]
            network = plan.MLModelStructureNeuralNetwork(layers=layers)
            return plan.MLModelStructure(neuralnetwork=network, program=None, pipeline=None)
        (function,) = self._spec.mlProgram.functions.values()
        (block,) = function.block_specializations.values()
        operations = [
            plan.MLModelStructureProgramOperation(
                inputs={},
                operator_name=operation.type
                if operation.type == "const"
                else f"{function.opset.lower()}.{operation.type}",
                outputs=[
                    plan.MLModelStructureProgramNamedValueType(
                        name=output.name, type=plan.MLModelStructureProgramValueType()
                    )
                    for output in operation.outputs
                ],
                blocks=[],
                __proxy__=None,
            )
            for operation in block.operations
        ]
        main = plan.MLModelStructureProgramFunction(
            inputs=[], block=plan.MLModelStructureProgramBlock(inputs=[], operations=operations, output_names=[])
        )
        program = plan.MLModelStructureProgram(functions={"main": main})
        return plan.MLModelStructure(neuralnetwork=None, program=program, pipeline=None)

    def get_compute_device_usage_for_mlprogram_operation(self, operation):
        return None if operation.operator_name == "const" else self._usage()

    def get_compute_device_usage_for_neuralnetwork_layer(self, layer):
        return self._usage()

    def get_estimated_cost_for_mlprogram_operation(self, operation):
        from coremltools.models.compute_plan import MLComputePlanCost

        return None if operation.operator_name == "const" else MLComputePlanCost(weight=0.5)

    def _usage(self):
        from coremltools.models import compute_device as device
        from coremltools.models.compute_plan import MLComputePlanDeviceUsage

        devices = {
            "CPU_ONLY": [device.MLCPUComputeDevice(_MLCPUComputeDeviceProxy())],
            "CPU_AND_GPU": [device.MLGPUComputeDevice(_MLGPUComputeDeviceProxy())],
        }
        neural_engine = [device.MLNeuralEngineComputeDevice(_MLNeuralEngineComputeDeviceProxy())]
        found = devices.get(self._compute_units, neural_engine)
        return MLComputePlanDeviceUsage(preferred_compute_device=found[0], supported_compute_devices=found)


_evaluators = []  # one serves all models of a process


def _asked(path, data):
    if not _evaluators:
        python = os.environ.get("STAND_IN_PYTHON") or (str(_VENV) if _VENV.exists() else sys.executable)
        command = [python, "-I", str(_HERE / "evaluator.py")]
        _evaluators.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    (evaluator,) = _evaluators
    pickle.dump((path, data), evaluator.stdin)
    evaluator.stdin.flush()
    try:
        error, answered = pickle.load(evaluator.stdout)
    except EOFError:
        raise RuntimeError(f"the stand-in's evaluator ended with {evaluator.wait()}") from None
    if error:
        raise RuntimeError(error)
    return answered


class _MLCPUComputeDeviceProxy:
    pass


class _MLGPUComputeDeviceProxy:
    pass


class _MLNeuralEngineComputeDeviceProxy:
    pass


class _MLModelAssetProxy:
    """What else coremltools looks for in its bridge, and says so where it is not there."""

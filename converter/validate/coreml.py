"""Core ML itself, through coremltools: the one module that calls what exists on macOS only.

coremltools' wheels for macOS hold its bridge to Core ML, `coremltools.libcoremlpython`; the others do not.
"""

import importlib.util
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from converter.errors import EvaluationError, ManifestError
from converter.model import Activation, ComputeUnits, Device, Placement

_BRIDGE = "coremltools.libcoremlpython"


def require() -> None:
    """Raise ManifestError where Core ML cannot be asked; nothing is imported for that."""
    package = importlib.util.find_spec("coremltools")
    places = package.submodule_search_locations if package else None
    if package and any(finder.find_spec(_BRIDGE, places) for finder in sys.meta_path):
        return
    if sys.platform != "darwin":
        raise ManifestError(
            f"the engine coreml needs macOS; this is {platform.system()}",
            fix="run the same command on a Mac (coremltools, numpy and Pillow suffice), or use --engine reference",
        )
    problem = "has no bridge to Core ML for this Python" if package else "is not installed"
    raise ManifestError(f"the engine coreml needs coremltools, which {problem}", fix="run `script/setup validate`")


def machine() -> str:
    """This machine in words: `macOS 15.1, Apple M1 (Virtual)`, or the system's and the processor's name elsewhere."""
    if sys.platform != "darwin":
        return f"{platform.system()}, {platform.machine()}"
    chip = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
    return f"macOS {platform.mac_ver()[0]}, {chip.stdout.strip() or platform.machine()}"


class CoreML:
    """A saved model under Core ML; on a virtual machine the CPU is the only compute unit that can be relied on.

    Raises EvaluationError with Core ML's words.
    """

    def __init__(self, path: Path, compute_units: ComputeUnits = "CPU_ONLY") -> None:
        import coremltools

        self._units = coremltools.ComputeUnit[compute_units]
        with warnings.catch_warnings():
            # coremltools 9.0 warns where Core ML refuses to load, and raises at the first prediction only.
            warnings.filterwarnings("error", message="You will not be able to run predict", category=RuntimeWarning)
            started = time.perf_counter()  # importing coremltools takes seconds, which are not the file's
            self._model = _told(coremltools.models.MLModel, str(path), compute_units=self._units)
            self.load_s = time.perf_counter() - started

    def predict(self, inputs: Mapping[str, Any], /, *, outputs: Sequence[str] | None = None) -> Mapping[str, Any]:
        """All outputs, whichever are asked for: Core ML has no inner values to give."""
        answered: Mapping[str, Any] = _told(self._model.predict, dict(inputs))
        return answered

    def activation_input(self, output: str, /) -> tuple[str, Activation] | None:
        return None

    def plan(self) -> Any:
        """coremltools' MLComputePlan of the model, for its compute units; needs macOS 14.4."""
        from coremltools.models.compute_plan import MLComputePlan

        # of the file as Core ML has compiled it, which is there as long as the model is
        return _told(MLComputePlan.load_from_path, _told(self._model.get_compiled_model_path), self._units)


def placements(model: CoreML) -> tuple[Placement, ...]:
    """Where Core ML would rather run each operation or layer of a loaded model, in the file's order.

    Constants are left out: they are not computed. Raises EvaluationError with Core ML's words.
    """
    plan = model.plan()
    structure = plan.model_structure
    found: Iterator[Placement]
    if structure.program is not None:
        found = (one for function in structure.program.functions.values() for one in _operations(plan, function.block))
    elif structure.neuralnetwork is not None:
        found = _layers(plan, structure.neuralnetwork)
    else:
        raise EvaluationError("Core ML's compute plan tells of neither a program nor a neural network")
    return tuple(_told(list, found))


def _operations(plan: Any, block: Any) -> Iterator[Placement]:
    for operation in block.operations:
        op_type = operation.operator_name.rpartition(".")[2]  # `ios16.conv`, as Core ML has it
        if op_type == "const":
            continue
        cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
        yield _placement(
            op_type,
            operation.outputs[0].name if operation.outputs else "",
            plan.get_compute_device_usage_for_mlprogram_operation(operation),
            None if cost is None else cost.weight,
        )
        for inner in operation.blocks:
            yield from _operations(plan, inner)


def _layers(plan: Any, network: Any) -> Iterator[Placement]:
    for layer in network.layers:  # Core ML estimates no cost of a layer
        yield _placement(layer.type, layer.name, plan.get_compute_device_usage_for_neuralnetwork_layer(layer), None)


def _placement(op_type: str, name: str, usage: Any, cost: float | None) -> Placement:
    return Placement(
        op_type=op_type,
        name=name,
        preferred=None if usage is None else _device(usage.preferred_compute_device),
        supported=() if usage is None else tuple(map(_device, usage.supported_compute_devices)),
        cost=cost,
    )


def _device(device: Any) -> Device:
    from coremltools.models import compute_device

    kinds: dict[type, Device] = {
        compute_device.MLCPUComputeDevice: "CPU",
        compute_device.MLGPUComputeDevice: "GPU",
        compute_device.MLNeuralEngineComputeDevice: "Neural Engine",
    }
    for kind, name in kinds.items():
        if isinstance(device, kind):
            return name
    raise EvaluationError(f"Core ML names a compute device that is not known: {type(device).__name__}")


def _told(call: Any, *arguments: Any, **settings: Any) -> Any:
    try:
        return call(*arguments, **settings)
    except EvaluationError:
        raise
    except Exception as error:  # coremltools raises Exception itself
        cause = error.__context__ if isinstance(error, RuntimeWarning) and error.__context__ else error
        kind = "" if type(cause) in (Exception, RuntimeError, RuntimeWarning) else f"{type(cause).__name__}: "
        raise EvaluationError(
            f"Core ML refuses: {kind}{cause}",
            fix="open the file in Xcode on a Mac, or convert it by another route or for another deployment target",
        ) from error

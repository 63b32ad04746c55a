"""Core ML itself, through coremltools: the one module that calls what exists on macOS only.

coremltools' wheels for macOS hold its bridge to Core ML, `coremltools.libcoremlpython`; the others do not.
"""

import importlib.util
import platform
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from converter.errors import EvaluationError, ManifestError
from converter.model import Activation, ComputeUnits

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

        units = coremltools.ComputeUnit[compute_units]
        with warnings.catch_warnings():
            # coremltools 9.0 warns where Core ML refuses to load, and raises at the first prediction only.
            warnings.filterwarnings("error", message="You will not be able to run predict", category=RuntimeWarning)
            self._model = _told(coremltools.models.MLModel, str(path), compute_units=units)

    def predict(self, inputs: Mapping[str, Any], /, *, outputs: Sequence[str] | None = None) -> Mapping[str, Any]:
        """All outputs, whichever are asked for: Core ML has no inner values to give."""
        answered: Mapping[str, Any] = _told(self._model.predict, dict(inputs))
        return answered

    def activation_input(self, output: str, /) -> tuple[str, Activation] | None:
        return None


def _told(call: Any, *arguments: Any, **settings: Any) -> Any:
    try:
        return call(*arguments, **settings)
    except Exception as error:  # coremltools raises Exception itself
        cause = error.__context__ if isinstance(error, RuntimeWarning) and error.__context__ else error
        kind = "" if type(cause) in (Exception, RuntimeError, RuntimeWarning) else f"{type(cause).__name__}: "
        raise EvaluationError(
            f"Core ML refuses: {kind}{cause}",
            fix="open the file in Xcode on a Mac, or convert it by another route or for another deployment target",
        ) from error

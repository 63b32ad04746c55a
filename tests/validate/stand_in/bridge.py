"""What coremltools' MLModel calls of Core ML, answered by the reference evaluator, or wrongly where a test says so.

STAND_IN_FAULTS is JSON: the name of a model file and what goes wrong with it, one of FAULTS below.
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
    "refuse": ("load", _refuse),
    "hang": ("predict", _hang),
    "abort": ("predict", _abort),
    "kill": ("predict", _kill),
    "segfault": ("predict", _segfault),
    "raise": ("predict", _refuse),
    "nan": ("answer", _nan),
    "wrong name": ("answer", _wrong_name),
    "wrong shape": ("answer", _wrong_shape),
}


class _MLModelProxy:
    def __init__(self, path, compute_units, function_name, optimization_hints, asset):
        faults = json.loads(os.environ.get("STAND_IN_FAULTS", "{}"))
        self._where, self._fault = FAULTS[faults[Path(path).name]] if Path(path).name in faults else ("", None)
        if compute_units != "CPU_ONLY":
            raise RuntimeError(f"{compute_units}: a stand-in has no other compute unit than the CPU")
        if self._where == "load":
            self._fault()
        self._path = path
        if not self._where:
            _asked(path, None)

    @staticmethod
    def maximum_supported_specification_version():
        return 10

    def predict(self, data, state):
        if self._where == "predict":
            self._fault()
        if self._where == "answer":
            return self._fault(_blank(self._path))
        return _asked(self._path, data)


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


class _Unused:
    """What else coremltools looks for in its bridge, and says so where it is not there."""


_MLModelAssetProxy = _MLComputePlanProxy = _Unused
_MLCPUComputeDeviceProxy = _MLGPUComputeDeviceProxy = _MLNeuralEngineComputeDeviceProxy = _Unused

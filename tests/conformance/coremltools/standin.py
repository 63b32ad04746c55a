"""What `coremltools.libcoremlpython` offers on macOS, with our evaluator in Core ML's place.

Import `libcoremlpython` into sys.modules under that name before coremltools itself is imported: `install` does.
"""

import copy
import shutil
import sys
import tempfile
import types
from pathlib import Path

import numpy as np

from converter.errors import EvaluationError
from converter.evaluate import load_model
from converter.evaluate.proto import MIL_pb2

SPECIFICATION_VERSION = 10
MACOS_VERSION = (15, 0)
_COMPILED = "source"
# What Core ML refuses too while it opens a model: layers whose code is in the app, functions that are not there.
_REFUSED_BY_CORE_ML = ("a custom layer's code is in the app", "the model has no function")


class Tally:
    """What happened to the stand-in during one test."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.constructed = 0
        self.predictions = 0
        self.computes_fp16 = False  # the last model that was opened
        self.refusals = []


tally = Tally()


class NotOfferedError(Exception):
    """The test wants what the stand-in does not have: plans, devices, assets."""


class StateProxy:
    """A state, as the tests read and write it."""

    def __init__(self, values):
        self.values = values

    def _holder(self, name):
        if name not in self.values:
            raise RuntimeError(f"there is no state {name!r}")
        return self.values[name]

    def read_state(self, name):
        value = self._holder(name)[0].numpy()
        return value.astype(np.float32) if value.dtype == np.float16 else value.copy()

    def write_state(self, name, value):
        import torch

        held = self._holder(name)
        content = torch.from_numpy(np.array(value))
        if content.shape != held[0].shape:
            raise RuntimeError(f"the state {name!r} has the shape {list(held[0].shape)}, not {list(content.shape)}")
        held[0] = content.to(held[0].dtype)


class MLModelProxy:
    """One opened model. Whatever the evaluator refuses while a model is opened fails the test, as no RuntimeError."""

    def __init__(self, path, compute_units, function_name="", hints=None, asset=None):
        tally.constructed += 1
        if asset is not None:
            raise NotOfferedError("a model asset cannot be opened")
        self.path = Path(path)
        inner = next(self.path.glob(f"{_COMPILED}.*"), self.path) if self.path.suffix == ".mlmodelc" else self.path
        try:
            self.model = load_model(inner, **({"function": function_name} if function_name else {}))
            tally.computes_fp16 = _computes_fp16(self.model.spec)
        except EvaluationError as error:
            tally.refusals.append(str(error))
            if any(words in str(error) for words in _REFUSED_BY_CORE_ML):
                raise RuntimeError(str(error)) from error
            raise

    def predict(self, data, state=None):
        tally.predictions += 1
        given = {name: copy.copy(value) for name, value in data.items()}
        try:
            if state is None:
                return self.model.predict(given)
            return self.model.predict(given, state.__proxy__.values if hasattr(state, "__proxy__") else state.values)
        except EvaluationError as error:
            tally.refusals.append(str(error))
            raise RuntimeError(str(error)) from error

    def batchPredict(self, batch):
        return [self.predict(data) for data in batch]

    def newState(self):
        return StateProxy(self.model.make_state())

    def get_compiled_model_path(self):
        return self.compileModel(str(self.path))

    @staticmethod
    def compileModel(path):
        """A folder that ends in .mlmodelc and holds the source: nothing is compiled here."""
        source = Path(path)
        compiled = Path(tempfile.mkdtemp()) / f"{source.stem}.mlmodelc"
        compiled.mkdir()
        target = compiled / f"{_COMPILED}{source.suffix}"
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
        return str(compiled)

    @staticmethod
    def maximum_supported_specification_version():
        return SPECIFICATION_VERSION

    @staticmethod
    def auto_set_specification_version(spec):
        return spec

    def __getattr__(self, name):
        raise NotOfferedError(f"the stand-in has no {name}")


def _computes_fp16(spec):
    """Whether the program takes fp16 values, or an op of it, other than a cast, declares an fp16 result."""
    functions = spec.mlProgram.functions.values()
    operations = [
        operation
        for function in functions
        for block in function.block_specializations.values()
        for operation in block.operations
        if operation.type not in ("const", "cast")
    ]
    given = [value.type for function in functions for value in function.inputs]
    made = [output.type for operation in operations for output in operation.outputs]
    return any(type_.tensorType.dataType == MIL_pb2.FLOAT16 for type_ in (*given, *made))


def libcoremlpython():
    """The module that coremltools imports."""
    module = types.ModuleType("coremltools.libcoremlpython")
    module._MLModelProxy = MLModelProxy
    for name in (
        "_MLModelAssetProxy",
        "_MLComputePlanProxy",
        "_MLCPUComputeDeviceProxy",
        "_MLGPUComputeDeviceProxy",
        "_MLNeuralEngineComputeDeviceProxy",
    ):
        setattr(module, name, type(name, (), {}))
    return module


def install():
    """Make coremltools believe that it runs on macOS; call before anything imports a test of it."""
    sys.modules["coremltools.libcoremlpython"] = libcoremlpython()
    import coremltools
    import coremltools.models.utils

    coremltools.libcoremlpython = sys.modules["coremltools.libcoremlpython"]
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] != "coremltools":
            continue
        for attribute, value in (
            ("_IS_MACOS", True),
            ("_is_macos", lambda: True),
            ("_macos_version", lambda: MACOS_VERSION),
        ):
            if hasattr(module, attribute):
                setattr(module, attribute, value)
    # Its one function reads a table for tests of other model kinds with pandas, which is not needed otherwise.
    sys.modules["coremltools.test.utils"] = types.ModuleType("coremltools.test.utils")
    sys.modules["coremltools.test.utils"].load_boston = _no_table


def _no_table():
    raise NotOfferedError("the table of houses in Boston")

"""Core ML's protobuf messages, from the installed coremltools without importing that package.

`import coremltools` takes seconds (torch, torchvision, scikit-learn) and warns about libraries that exist on macOS
only; the messages alone load in a blink. They are the same classes: protobuf keeps one per message type and process.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from converter.errors import EvaluationError

_ALIAS = "converter_coremltools_proto"


def _load(name: str) -> Any:
    if _ALIAS not in sys.modules:
        package = importlib.util.find_spec("coremltools")
        if package is None or not package.submodule_search_locations:
            raise EvaluationError("coremltools is not installed", fix="run script/setup")
        folder = Path(package.submodule_search_locations[0]) / "proto"
        spec = importlib.util.spec_from_file_location(
            _ALIAS, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        if spec is None or spec.loader is None:
            raise EvaluationError("coremltools has no protobuf messages", fix="run script/setup")
        module = importlib.util.module_from_spec(spec)
        sys.modules[_ALIAS] = module
        spec.loader.exec_module(module)
    return importlib.import_module(f"{_ALIAS}.{name}")


Model_pb2: Any = _load("Model_pb2")
FeatureTypes_pb2: Any = _load("FeatureTypes_pb2")
MIL_pb2: Any = _load("MIL_pb2")
NeuralNetwork_pb2: Any = _load("NeuralNetwork_pb2")


def named(enumeration: Any, number: int) -> str:
    """The name of an enumeration's value; a file may hold a number that has none."""
    return str(enumeration.Name(number)) if number in enumeration.values() else f"number {number}"

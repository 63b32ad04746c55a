"""Runs saved Core ML files with torch on any machine: the reference evaluator.

It shares no code with the conversion, and reads the file's messages and weights itself.
"""

from typing import TYPE_CHECKING, Any

from converter.evaluate.description import Description, describe
from converter.model import Precision

if TYPE_CHECKING:
    from converter.evaluate.evaluated import EvaluatedModel
    from converter.evaluate.faults import Fault

__all__ = ["Description", "check_file", "describe", "load_model"]


def load_model(model: Any, *, compute: Precision | None = None, function: str | None = None) -> "EvaluatedModel":
    """Open a .mlmodel file, a .mlpackage folder or a coremltools MLModel to predict with it.

    `function` names the function of a package that has several; without it the package's default function runs.

    `compute` float32 gives the model's mathematics; float16, the default, rounds each value to fp16 where the program
    says fp16. A NeuralNetwork says float32 everywhere. Raises EvaluationError for whatever is wrong with the file.
    """
    from converter.evaluate.evaluated import EvaluatedModel

    return EvaluatedModel(model, compute=compute or "float16", function=function)


def check_file(model: Any) -> "tuple[Fault, ...]":
    """Everything that is wrong with a .mlmodel file, a .mlpackage folder or an MLModel; empty where nothing is.

    Each fault says where it is, what was expected and how to fix it. Raises EvaluationError where no such file is.
    """
    from converter.evaluate.faults import check_file

    return check_file(model)

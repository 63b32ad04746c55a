"""What is wrong with a saved Core ML file, found without Core ML: the same answer on every machine.

Nothing is compared with a source here. The file is held against itself: its description against the program or
network, every operation's result against the declared type, weights against the layers that use them, versions
against what is used.
"""

from pathlib import Path
from typing import Any

from converter.errors import EvaluationError
from converter.evaluate import bundle, pipeline
from converter.evaluate.faults import flow, interface, network, program, suppression, versions
from converter.evaluate.faults.fault import Fault, Faults

__all__ = ["Fault", "check_file"]

_NETWORKS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")


def check_file(model: Any) -> tuple[Fault, ...]:
    """Everything that is wrong with a .mlmodel file, a .mlpackage folder or an MLModel; empty where nothing is.

    Shapes are those of the described default: each op and layer is computed once, with made-up inputs. Raises
    EvaluationError where there is no such file.
    """
    if isinstance(model, str | Path) and not Path(model).exists():
        raise EvaluationError("there is no such file", where=[str(model)], fix="check the path")
    try:
        opened = bundle.read(model)
    except EvaluationError as error:
        name = str(model) if isinstance(model, str | Path) else "MLModel"
        faults = Faults(name)
        faults.add(": ".join([*error.where[1:], error.problem]), error.fix or "give the whole file, or convert again")
        return tuple(faults.found)
    faults = Faults(opened.name)
    _check(opened, faults)
    return tuple(faults.found)


def _check(opened: bundle.Bundle, faults: Faults) -> None:
    spec = opened.spec
    kind = spec.WhichOneof("Type")
    versions.check(spec, faults)
    interface.check(spec, faults)
    if kind == "mlProgram":
        program.check(spec, opened.weights, faults)
    elif kind in _NETWORKS:
        network.check(spec, faults)
    elif kind == "nonMaximumSuppression":
        suppression.check(spec, faults)
    elif kind in pipeline.KINDS:
        flow.check(spec, faults)
        members = pipeline.models(spec)
        for index, member in enumerate(members.models):
            place = flow.place(members, index)
            if member.WhichOneof("Type") is None:
                faults.at(model=place).add("holds no model of any type")
                continue
            _check(bundle.Bundle(place, member, opened.weights, 0), faults.at(model=place))

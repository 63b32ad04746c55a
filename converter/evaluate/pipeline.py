"""A pipeline: models that run one after the other, each fed from the pipeline's inputs and the outputs before it."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from converter.errors import EvaluationError
from converter.evaluate.bundle import Bundle
from converter.evaluate.not_finite import NotFinite

KINDS = ("pipeline", "pipelineClassifier", "pipelineRegressor")


class Member(Protocol):
    """What a pipeline asks of its models."""

    spec: Any

    def predict(self, data: Mapping[str, Any], *, outputs: Any = None) -> dict[str, Any]: ...

    def first_not_finite(self, data: Mapping[str, Any]) -> NotFinite | None: ...

    def value_names(self) -> set[str]: ...

    def activation_input(self, output: str) -> tuple[str, Any] | None: ...

    def op_types(self) -> Iterable[str]: ...


class Pipeline:
    """The models of a pipeline, opened; between them values are what Core ML hands on: arrays, images, labels."""

    def __init__(self, opened: Bundle, open_member: Callable[[Bundle], Member]) -> None:
        message = models(opened.spec)
        if not message.models:
            raise EvaluationError("the pipeline holds no model", fix="convert the model again")
        known = {feature.name for feature in opened.spec.description.input}
        self.members: list[Member] = []
        for index, spec in enumerate(message.models):
            name = message.names[index] if index < len(message.names) else str(index)
            place = f"model {index + 1} of {len(message.models)} ({name})"
            if spec.description.state:
                raise EvaluationError("a model with states cannot stand in a pipeline", where=[place])
            for feature in spec.description.input:
                if feature.name not in known and not feature.type.isOptional:
                    raise EvaluationError(f"reads {feature.name!r}, which nothing before it gives", where=[place])
            self.members.append(open_member(Bundle(place, spec, opened.weights, spec.ByteSize())))
            known |= {feature.name for feature in spec.description.output}
        for feature in opened.spec.description.output:
            if feature.name not in known:
                raise EvaluationError(f"no model of the pipeline gives the output {feature.name!r}")

    def run(self, data: Mapping[str, Any], wanted: Collection[str]) -> dict[str, Any]:
        """The `wanted` values: outputs of the models, or values within them (of the last model that has the name)."""
        features = dict(data)
        answer = {name: data[name] for name in wanted if name in data}
        for member in self.members:
            description = member.spec.description
            given = {f.name: features[f.name] for f in description.input if f.name in features}
            outputs = [feature.name for feature in description.output]
            inner = [name for name in wanted if name in member.value_names() and name not in outputs]
            given_back = member.predict(given, outputs=[*outputs, *inner])
            features |= {name: _handed_on(given_back[name]) for name in outputs}
            answer |= {name: value for name, value in given_back.items() if name in wanted}
        return answer

    def first_not_finite(self, data: Mapping[str, Any]) -> NotFinite | None:
        """Of the first model that gives such a value."""
        features = dict(data)
        for member in self.members:
            description = member.spec.description
            given = {f.name: features[f.name] for f in description.input if f.name in features}
            if (found := member.first_not_finite(given)) is not None:
                return found
            features |= {name: _handed_on(value) for name, value in member.predict(given).items()}
        return None

    def value_names(self) -> set[str]:
        """Every value that `run` can give."""
        return set().union(*(member.value_names() for member in self.members))

    def activation_input(self, output: str) -> tuple[str, Any] | None:
        """Of the last model that gives `output`."""
        for member in reversed(self.members):
            if any(feature.name == output for feature in member.spec.description.output):
                return member.activation_input(output)
        return None

    def op_types(self) -> Iterable[str]:
        """Of each model in order."""
        for member in self.members:
            yield from member.op_types()


def _handed_on(value: Any) -> Any:
    """What one model gives as the next one takes it: images are given with an alpha, and taken without."""
    return value.convert("RGB") if getattr(value, "mode", "") == "RGBA" else value


def models(spec: Any) -> Any:
    """The Pipeline message of a pipeline of any kind."""
    kind = spec.WhichOneof("Type")
    return spec.pipeline if kind == "pipeline" else getattr(spec, kind).pipeline

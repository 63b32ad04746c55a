"""A pipeline: what each of its models reads is given before it, in the same type."""

from collections import Counter
from typing import Any

from converter.evaluate import pipeline
from converter.evaluate.faults.fault import Faults
from converter.evaluate.proto import named


def place(message: Any, index: int) -> str:
    """How a pipeline's model is called in messages."""
    name = message.names[index] if index < len(message.names) else str(index)
    return f"model {index + 1} of {len(message.models)} ({name})"


def check(spec: Any, faults: Faults) -> None:
    """Add what is wrong between the models; the models themselves are checked one by one."""
    message = pipeline.models(spec)
    if not message.models:
        faults.add("the pipeline holds no model")
    if message.names and len(message.names) != len(message.models):
        faults.add(f"the pipeline has {len(message.names)} names for {len(message.models)} models")
    for name, count in Counter(message.names).items():
        if count > 1:
            faults.add(f"{count} models of the pipeline are called {name!r}")
    known = {feature.name: ("the pipeline", feature.type) for feature in spec.description.input}
    for index, member in enumerate(message.models):
        here = faults.at(model=place(message, index))
        if member.description.state:
            here.add("a model with states cannot stand in a pipeline")
        for feature in member.description.input:
            if feature.name in known:
                _compare(feature, *known[feature.name], here.at(op="input", name=feature.name))
            elif not feature.type.isOptional:
                here.at(op="input", name=feature.name).add(
                    f"nothing before it gives {feature.name!r}; given are {', '.join(known)}"
                )
        known |= {feature.name: (place(message, index), feature.type) for feature in member.description.output}
    for feature in spec.description.output:
        here = faults.at(op="output", name=feature.name)
        if feature.name not in known:
            here.add("no model of the pipeline gives it")
        else:
            _compare(feature, *known[feature.name], here)


def _compare(feature: Any, giver: str, given: Any, faults: Faults) -> None:
    asked, which = _words(feature.type), feature.type.WhichOneof("Type")
    if asked != _words(given):
        faults.add(f"is {asked}, but {giver} gives {_words(given)}")
    elif which == "multiArrayType":
        shapes = [list(kind.multiArrayType.shape) for kind in (feature.type, given)]
        flexible = any(kind.multiArrayType.WhichOneof("ShapeFlexibility") for kind in (feature.type, given))
        if all(shapes) and not flexible and shapes[0] != shapes[1]:
            faults.add(f"has the shape {shapes[0]}, but {giver} gives {shapes[1]}")


def _words(kind: Any) -> str:
    """A type as far as it must be the same on both sides."""
    which = kind.WhichOneof("Type")
    if which == "multiArrayType":
        return f"an array of {named(kind.multiArrayType.ArrayDataType, kind.multiArrayType.dataType)}"
    if which == "imageType":
        image = kind.imageType
        size = "of flexible size" if image.WhichOneof("SizeFlexibility") else f"of {image.width} x {image.height}"
        return f"an image ({named(image.ColorSpace, image.colorSpace)}) {size}"
    if which == "dictionaryType":
        return f"a dictionary with {kind.dictionaryType.WhichOneof('KeyType')}"
    return f"of type {which}"

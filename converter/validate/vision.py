"""An image classifier asked as Apple's sample app asks it: MLModel, VNCoreMLModel, VNCoreMLRequest, a picture file.

The pictures are the stored samples, which have the model's size already, so that every crop option hands over the same
pixels. Therefore each is asked a second time with as much again at its sides, of which only `centerCrop` gives the
sample back; and, to know that this is so, a third time stretched.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from converter.errors import EvaluationError, ValidationError
from converter.model import Crop, ImageInput, Interface, SeenPicture
from converter.validate import metrics, xcrun
from converter.validate.check import activated
from converter.validate.compiled import is_default
from converter.validate.references import Candidate, References

_SOURCE = Path(__file__).with_name("classify.swift")
_OTHER_CROP: Crop = "scaleFill"


def program(folder: Path, *, timeout_s: float) -> Path:
    """The Swift program, compiled into `folder`. Raises EvaluationError with the compiler's words."""
    built = folder / _SOURCE.stem
    xcrun.run(["xcrun", "swiftc", "-O", _SOURCE, "-o", built], timeout_s=timeout_s)
    return built


def seen_image(interface: Interface) -> ImageInput | None:
    """The input of a model that Vision takes for an image classifier."""
    only = interface.inputs[0]
    return only if interface.classifier and len(interface.inputs) == 1 and isinstance(only, ImageInput) else None


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A picture file of a sample, and the option it is handed over with; a `control` is expected to be misread."""

    sample: int
    name: str
    file: Path
    crop: Crop
    control: bool = False


@dataclass(frozen=True, kw_only=True)
class _Given:
    """The classes that share the highest confidence, as Vision orders them."""

    identifiers: tuple[str, ...]
    confidence: float


def look(
    built: Path, compiled: Path, references: References, candidate: Candidate, folder: Path, *, timeout_s: float
) -> tuple[tuple[SeenPicture, ...], tuple[str, ...]]:
    """What Vision names the stored pictures with the compiled model, and what weakens that; pictures go to `folder`.

    Raises EvaluationError where Vision gives no answer, and ValidationError where there is nothing to ask.
    """
    image = seen_image(references.interface)
    assert image is not None
    asked = list(_pictures(image, references, folder))
    if not asked:
        raise ValidationError("no stored sample has the model's own size, so there is no picture to show")
    given = _answers(built, compiled, asked, timeout_s)
    pairs = list(zip(asked, given, strict=True))
    pictures = tuple(_judged(one, answer, references, candidate) for one, answer in pairs if not one.control)
    return pictures, tuple(_doubts(pairs))


def _pictures(image: ImageInput, references: References, folder: Path) -> Iterator[_Asked]:
    flexible = bool(image.enumerated or image.ranges)  # then it is Vision that chooses a size
    for index, sample in enumerate(references.reference.samples):
        pixels = sample.inputs[image.name]
        if not is_default(image, pixels.shape):
            continue
        own, wide = folder / f"{index}.png", folder / f"{index}-wide.png"
        Image.fromarray(pixels).save(own)
        yield _Asked(sample=index, name=sample.name, file=own, crop=image.crop)
        if not flexible:
            Image.fromarray(widened(pixels)).save(wide)
            yield _Asked(sample=index, name=f"{sample.name}, widened", file=wide, crop=image.crop)
            yield _Asked(sample=index, name=sample.name, file=wide, crop=_OTHER_CROP, control=True)


def widened(pixels: np.ndarray) -> np.ndarray:
    """A picture twice as wide that holds this one in its middle, to the pixel; its sides are this one's negative."""
    border = (pixels.shape[1] + 1) // 2
    negative = 255 - pixels
    return np.concatenate([negative[:, :border], pixels, negative[:, -border:]], axis=1)


def _answers(built: Path, compiled: Path, asked: Sequence[_Asked], timeout_s: float) -> list[_Given]:
    arguments = [argument for one in asked for argument in (one.crop, one.file)]
    lines = xcrun.run([built, compiled, *arguments], timeout_s=timeout_s).splitlines()
    if len(lines) != len(asked):
        raise EvaluationError(f"Vision has answered to {len(lines)} of {len(asked)} pictures")
    return [_read(line, one.file) for line, one in zip(lines, asked, strict=True)]


def _read(line: str, file: Path) -> _Given:
    try:
        said: Mapping[str, object] = json.loads(line)
        identifiers, confidence = said["identifiers"], said["confidence"]
        if said["picture"] == str(file) and isinstance(identifiers, list) and isinstance(confidence, int | float):
            return _Given(identifiers=(str(identifiers[0]), *map(str, identifiers[1:])), confidence=float(confidence))
    except (ValueError, KeyError, IndexError, TypeError):
        pass
    raise EvaluationError(f"what came for {file.name} is no answer: {line[:200]!r}")


def _judged(asked: _Asked, given: _Given, references: References, candidate: Candidate) -> SeenPicture:
    """By the rule of check.py for an engine that does not reach the scores: probabilities, and near ties excused."""
    interface, reference, gates = references.interface, references.reference, references.gates
    classifier, output = interface.classifier, interface.outputs[0]
    assert classifier is not None
    scores = reference.outputs[asked.sample][output.name]
    activation = classifier.activation or reference.scores_activation
    expected = activated(scores, activation) if activation else scores
    drift = metrics.allowed_drift(expected, gates.psnr_limit_db(candidate.precision, output), gates.max_abs_error)
    first = classifier.labels[metrics.top(expected, 1)[0]]
    named = first if first in given.identifiers else given.identifiers[0]
    tied = named in classifier.labels and (
        metrics.top1_agreement(expected, classifier.labels.index(named), drift) == "near tie"
    )
    return SeenPicture(sample=asked.name, expected=first, given=named, confidence=given.confidence, near_tie=tied)


def _doubts(pairs: Sequence[tuple[_Asked, _Given]]) -> Iterator[str]:
    """A picture whose class does not depend on how it is cropped does not show how it was."""
    own = {one.sample: given for one, given in pairs if not one.control}
    controls = [(one, given) for one, given in pairs if one.control]
    if not controls:
        yield "the model takes several sizes, so nothing was shown that has to be cropped"
    elif all(given.identifiers[0] in own[one.sample].identifiers for one, given in controls):
        yield f"the widened pictures are named the same with {_OTHER_CROP}, so they do not show what was cropped"

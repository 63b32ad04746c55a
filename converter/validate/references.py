"""NAME.references.npz: what the models were asked, what the source answered, and what the evaluator answered to it.

With it the same check runs later with numpy and Pillow alone, under Core ML for example. The member `check.json` says
what the arrays are:

    inputs/SAMPLE/NAME       labelled/NAME            the labelled set along a first axis, where all shapes are equal
    outputs/SAMPLE/NAME      labelled_scores          the source's answers
    answers/FILE/SAMPLE/...  values/NAME, scores      the answers of the engine that checked FILE first
    truth/NAME               predictions/NAME         a labelled set's masks or boxes, and what the source sees there
    answers/FILE/labelled/NAME                        what that engine saw there

Along their first axis the last three hold all samples; where these differ in length, `NAME lengths` tells them apart.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import ValidationError
from converter.model import Activation, ComputeUnits, Interface, LabelledTask, Precision, Reference, Sample, Tensors
from converter.plain import from_plain, to_plain
from converter.validate.check import Answers
from converter.validate.engines import Answer
from converter.validate.gates import Gates

VERSION = 1
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that zip can say

# A labelled set above this stays out of the file: it is the user's data set, and he has it.
LABELLED_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One saved model, by its flat file name in dist, what it computes in, and what it answered."""

    file: str
    precision: Precision
    answers: Answers


@dataclass(frozen=True, kw_only=True)
class References:
    """All that a later check of one model's files needs."""

    model: str
    interface: Interface
    gates: Gates
    reference: Reference
    candidates: tuple[Candidate, ...]
    compute_units_required: tuple[ComputeUnits, ...] = ()


def write_references(path: Path, references: References) -> None:
    """Write the file; the same references give the same bytes."""
    arrays, described = _flatten(references)
    with zipfile.ZipFile(path, "w") as archive:
        text = json.dumps(described, ensure_ascii=False, indent=1, sort_keys=True)
        _member(archive, "check.json", text.encode())
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(arrays[name], order="C"), allow_pickle=False)
            _member(archive, f"{name}.npy", buffer.getvalue())


def read_references(path: Path) -> References:
    """Read the file back. Raises ValidationError where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            described = json.loads(archive.read("check.json"))
            if described["version"] != VERSION:
                raise ValueError(f"version {described['version']}, this release reads {VERSION}")
            arrays = {
                name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
                if name.endswith(".npy")
            }
        return _restore(described, arrays)
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
        raise ValidationError(
            f"the references cannot be read: {error}",
            where=(str(path),),
            fix="convert the model again, or fetch the file again",
        ) from error


def _member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o100644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


def _flatten(references: References) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    reference = references.reference
    arrays: dict[str, np.ndarray] = {}
    for index, (sample, outputs) in enumerate(zip(reference.samples, reference.outputs, strict=True)):
        arrays |= {f"inputs/{index}/{name}": array for name, array in sample.inputs.items()}
        arrays |= {f"outputs/{index}/{name}": array for name, array in outputs.items()}
    labelled = _stacked(reference.labelled)
    if labelled:
        arrays |= {f"labelled/{name}": array for name, array in labelled.items()}
        arrays |= _packed("truth/", [sample.truth for sample in reference.labelled])
        arrays |= _packed("predictions/", reference.labelled_predictions)
        if reference.labelled_scores is not None:
            arrays["labelled_scores"] = reference.labelled_scores
    for candidate in references.candidates:
        for index, answer in enumerate(candidate.answers.samples):
            place = f"answers/{candidate.file}/{index}"
            arrays |= {f"{place}/values/{name}": array for name, array in answer.values.items()}
            if answer.scores is not None:
                arrays[f"{place}/scores"] = answer.scores
        if labelled or not reference.labelled:  # without what was asked the answers say nothing
            arrays |= _packed(f"answers/{candidate.file}/labelled/", candidate.answers.predictions)
    described = {
        "version": VERSION,
        "model": references.model,
        "interface": to_plain(references.interface),
        "gates": to_plain(references.gates),
        "compute_units_required": to_plain(references.compute_units_required),
        "engine": reference.engine,
        "scores_activation": reference.scores_activation,
        "task": to_plain(reference.task),
        "samples": [sample.name for sample in reference.samples],
        "labelled": [{"name": s.name, "label": s.label} for s in reference.labelled] if labelled else [],
        "candidates": [
            {
                "file": candidate.file,
                "precision": candidate.precision,
                "engine": candidate.answers.engine,
                "samples": [{"label": a.label, "activation": a.activation} for a in candidate.answers.samples],
                "labelled": candidate.answers.labelled,
            }
            for candidate in references.candidates
        ],
    }
    return arrays, described


def _stacked(labelled: Sequence[Sample]) -> dict[str, np.ndarray]:
    """The labelled set as one array per input; empty where the shapes differ or it is too large to travel."""
    if not labelled:
        return {}
    shapes = {
        tuple((name, array.shape) for name, array in (*sample.inputs.items(), *_fixed(sample.truth)))
        for sample in labelled
    }
    size_bytes = sum(a.nbytes for sample in labelled for a in (*sample.inputs.values(), *sample.truth.values()))
    if len(shapes) > 1 or size_bytes > LABELLED_LIMIT_BYTES:
        return {}
    return {name: np.stack([sample.inputs[name] for sample in labelled]) for name in labelled[0].inputs}


def _fixed(truth: Tensors) -> list[tuple[str, np.ndarray]]:
    """What must have one shape in all samples: a mask, but not a number of boxes."""
    return [(name, array) for name, array in truth.items() if name == "mask"]


def _packed(place: str, several: Sequence[Tensors]) -> dict[str, np.ndarray]:
    """The arrays of many samples as one for each name, along the first axis."""
    arrays: dict[str, np.ndarray] = {}
    for name in several[0] if several else ():
        every = [one[name] for one in several]
        if len({array.shape for array in every}) == 1:
            arrays[f"{place}{name}"] = np.stack(every)
        elif len({array.shape[1:] for array in every}) == 1:
            arrays[f"{place}{name}"] = np.concatenate(every)
            arrays[f"{place}{name} lengths"] = np.array([len(array) for array in every])
    return arrays


def _unpacked(arrays: Mapping[str, np.ndarray]) -> tuple[Tensors, ...]:
    by_name = {}
    for name, array in arrays.items():
        lengths = arrays.get(f"{name} lengths")
        if not name.endswith(" lengths"):
            by_name[name] = list(array) if lengths is None else np.split(array, np.cumsum(lengths)[:-1])
    return tuple(dict(zip(by_name, one, strict=True)) for one in zip(*by_name.values(), strict=True))


def _restore(described: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> References:
    def below(place: str) -> dict[str, np.ndarray]:
        return {name[len(place) :]: array for name, array in arrays.items() if name.startswith(place)}

    labelled = below("labelled/")
    truths = _unpacked(below("truth/")) or ({},) * len(described["labelled"])
    activation: Activation | None = described["scores_activation"]
    return References(
        model=described["model"],
        interface=from_plain(Interface, described["interface"]),
        gates=from_plain(Gates, described["gates"]),
        compute_units_required=from_plain(
            tuple[ComputeUnits, ...], described.get("compute_units_required", [])
        ),  # files of earlier releases have none
        reference=Reference(
            samples=tuple(
                Sample(name=name, inputs=below(f"inputs/{index}/")) for index, name in enumerate(described["samples"])
            ),
            outputs=tuple(below(f"outputs/{index}/") for index in range(len(described["samples"]))),
            labelled=tuple(
                Sample(
                    name=one["name"],
                    label=one["label"],
                    inputs={name: array[i] for name, array in labelled.items()},
                    truth=truths[i],
                )
                for i, one in enumerate(described["labelled"])
            ),
            labelled_scores=arrays.get("labelled_scores"),
            engine=described["engine"],
            seconds=0.0,
            scores_activation=activation,
            task=from_plain(LabelledTask, described.get("task", {})),
            labelled_predictions=_unpacked(below("predictions/")),
        ),
        candidates=tuple(
            Candidate(
                file=one["file"],
                precision=one["precision"],
                answers=Answers(
                    engine=one["engine"],
                    samples=tuple(
                        Answer(
                            values=below(f"answers/{one['file']}/{index}/values/"),
                            scores=arrays.get(f"answers/{one['file']}/{index}/scores"),
                            activation=answer["activation"],
                            label=answer["label"],
                        )
                        for index, answer in enumerate(one["samples"])
                    ),
                    labelled=tuple(one["labelled"]),
                    predictions=_unpacked(below(f"answers/{one['file']}/labelled/")),
                ),
            )
            for one in described["candidates"]
        ),
    )

"""The labelled set, on which a converted model has to be as accurate as its source."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from converter.errors import SourceError
from converter.manifest.labelled_csv import CsvError, Row, box, read_rows
from converter.model import ImageInput, Interface, LabelledTask, Sample, Tensors
from converter.validate.detection import boxes_of
from converter.validate.pictures import fit_boxes, fit_mask, fit_picture, read_picture
from converter.validate.samples import PICTURES, array_samples, picture_sample, read_arrays
from converter.validate.segmentation import LAST_CLASS

_CLASSIFICATION = LabelledTask()


def labelled(interface: Interface, path: Path, task: LabelledTask = _CLASSIFICATION) -> tuple[Sample, ...]:
    """The labelled set: an .npz (arrays by input name, and what is right), a .csv, or a folder of pictures per class.

    A classifier's labels are indices or names; a folder has its class's name. Raises SourceError where the set does not
    fit the task, or the model's inputs or labels.
    """
    if path.is_dir():
        read = _folder(interface, path, task)
    elif path.suffix.lower() == ".csv":
        read = _csv(interface, path, task)
    else:
        read = _arrays(interface, path, task)
    found = tuple(read)
    if not found:
        raise SourceError(
            "the labelled set is empty",
            where=(str(path),),
            fix="put pictures into one folder per class, or arrays and `labels` into an .npz",
        )
    for sample in found:
        if "mask" in sample.truth:
            _require_classes(sample, task, path)
    if task.kind != "classification" and not any(_counts(sample.truth, task) for sample in found):
        raise SourceError(
            f"no sample of the labelled set has {'a box' if task.kind == 'detection' else 'a pixel that counts'}",
            where=(str(path),),
            fix="label something that the model is to find",
        )
    return found


def _require_classes(sample: Sample, task: LabelledTask, path: Path) -> None:
    mask = sample.truth["mask"]
    counted = mask if task.ignore is None else mask[mask != task.ignore]
    for number in (counted.min(initial=0), counted.max(initial=0)):
        if not 0 <= number <= LAST_CLASS:
            raise SourceError(
                f"the mask of {sample.name} holds {number}, which is no class number from 0 to {LAST_CLASS}",
                where=(str(path),),
                fix=f"if such pixels are not to count, write `ignore: {number}` under `segmentation`",
            )


def _counts(truth: Tensors, task: LabelledTask) -> bool:
    return bool(len(truth["boxes"])) if task.kind == "detection" else bool((truth["mask"] != task.ignore).any())


def _arrays(interface: Interface, path: Path, task: LabelledTask) -> Iterator[Sample]:
    beside = {
        "classification": ["labels"],
        "segmentation": ["masks"],
        "detection": ["boxes", "labels", "samples"],
    }[task.kind]
    arrays = read_arrays(path, [*(spec.name for spec in interface.inputs), *beside])
    found = list(array_samples(interface, arrays, path, batched=True))
    if task.kind == "segmentation":
        yield from _masked(found, arrays["masks"], path)
        return
    if task.kind == "detection":
        yield from _boxed(found, arrays, path)
        return
    labels = arrays["labels"]
    if labels.shape != (len(found),) or labels.dtype.kind not in "iuU":
        raise SourceError(
            f"`labels` is {labels.dtype} {list(labels.shape)} for {len(found)} samples",
            where=(str(path),),
            fix="give one index or one name per sample",
        )
    for sample, label in zip(found, labels.tolist(), strict=True):
        yield Sample(name=sample.name, inputs=sample.inputs, label=_label(interface, label, path))


def _masked(found: Sequence[Sample], masks: np.ndarray, path: Path) -> Iterator[Sample]:
    if masks.ndim != 3 or len(masks) != len(found) or masks.dtype.kind not in "iu":
        raise SourceError(
            f"`masks` is {masks.dtype} {list(masks.shape)} for {len(found)} samples",
            where=(str(path),),
            fix="give class numbers, [samples, height, width]",
        )
    for sample, mask in zip(found, masks, strict=True):
        yield Sample(name=sample.name, inputs=sample.inputs, truth={"mask": mask.astype(np.int32)})


def _boxed(found: Sequence[Sample], arrays: dict[str, np.ndarray], path: Path) -> Iterator[Sample]:
    boxes, labels, owners = (arrays[name] for name in ("boxes", "labels", "samples"))
    fits = boxes.ndim == 2 and boxes.shape[1] == 4 and labels.shape == owners.shape == (len(boxes),)
    whole = labels.dtype.kind in "iu" and owners.dtype.kind in "iu"
    if not fits or not whole or (len(owners) and not 0 <= owners.min() <= owners.max() < len(found)):
        shapes = ", ".join(f"`{name}` is {arrays[name].dtype} {list(arrays[name].shape)}" for name in arrays)
        raise SourceError(
            f"{shapes}: these are no boxes of {len(found)} samples",
            where=(str(path),),
            fix="give `boxes` [N, 4] (x1, y1, x2, y2 in pixels of the input), `labels` [N] (class numbers) and "
            "`samples` [N] (the sample of each box, from 0)",
        )
    for index, sample in enumerate(found):
        own = owners == index
        truth = boxes_of({"boxes": boxes[own], "classes": labels[own]})
        yield Sample(name=sample.name, inputs=sample.inputs, truth=truth)


def _folder(interface: Interface, path: Path, task: LabelledTask) -> Iterator[Sample]:
    only = _picture_input(interface, path, "a folder of pictures")
    if task.kind != "classification":
        raise SourceError(
            f"a folder of pictures per class says nothing of a {task.kind}",
            where=(str(path),),
            fix="give a .csv or an .npz",
        )
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        label = _label(interface, folder.name, path)
        for file in sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in PICTURES):
            sample = picture_sample(only, file, only.size, label)
            yield Sample(name=f"{folder.name}/{sample.name}", inputs=sample.inputs, label=label)


def _csv(interface: Interface, path: Path, task: LabelledTask) -> Iterator[Sample]:
    only = _picture_input(interface, path, "a .csv of pictures")
    try:
        rows = read_rows(path, task.kind)
    except CsvError as error:
        raise SourceError(error.problem, where=(str(path),), fix=error.fix) from error
    by_picture: dict[str, list[Row]] = {}
    for row in rows:
        by_picture.setdefault(row.picture, []).append(row)
    for name, own in by_picture.items():
        place = (str(path), f"line {own[0].line}")
        if len(own) > 1 and task.kind != "detection":
            raise SourceError(
                f"{name} stands in the lines {', '.join(str(row.line) for row in own)}",
                where=(str(path),),
                fix="give each picture one line",
            )
        try:
            yield _row_sample(interface, only, path, name, own, task)
        except SourceError as error:
            error.where = place
            raise


def _row_sample(
    interface: Interface, only: ImageInput, path: Path, name: str, own: Sequence[Row], task: LabelledTask
) -> Sample:
    picture = read_picture(path.parent / name)
    size = (picture.height, picture.width)
    inputs = {only.name: fit_picture(picture, only)}
    if task.kind == "classification":
        return Sample(name=name, inputs=inputs, label=_label(interface, own[0].cells[1], path))
    if task.kind == "segmentation":
        mask = _mask(path.parent / own[0].cells[1], size)
        return Sample(name=name, inputs=inputs, truth={"mask": fit_mask(mask, only, task.ignore)})
    known = [(corners, int(row.cells[1])) for row in own if (corners := box(row))]
    boxes, kept = fit_boxes(np.array([corners for corners, _ in known], np.float32).reshape(-1, 4), size, only)
    classes = np.array([label for _, label in known], np.int32)[kept]
    return Sample(name=name, inputs=inputs, truth=boxes_of({"boxes": boxes, "classes": classes}))


def _mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Class numbers [H, W]: the grey values of a picture, or the indices of one with a palette."""
    try:
        with Image.open(path) as picture:
            picture.load()
            mask, mode = np.asarray(picture), picture.mode
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SourceError(
            f"the mask {path.name} cannot be read: {str(error).replace(str(path), path.name)}",
            fix="give a PNG whose pixels are class numbers",
        ) from error
    if mask.ndim != 2 or mask.dtype.kind not in "iub":
        raise SourceError(
            f"the mask {path.name} holds colours ({mode}), not class numbers",
            fix="save it as a grey picture, or one with a palette, whose pixels are class numbers",
        )
    if mask.shape != size:
        raise SourceError(
            f"the mask {path.name} has {mask.shape[0]} × {mask.shape[1]} pixels, its picture {size[0]} × {size[1]} "
            "(height × width)",
            fix="give picture and mask the same size; a picture is turned upright first, by its EXIF orientation",
        )
    return mask.astype(np.int32)


def _picture_input(interface: Interface, path: Path, what: str) -> ImageInput:
    only = interface.inputs[0]
    if len(interface.inputs) != 1 or not isinstance(only, ImageInput):
        raise SourceError(
            f"{what} needs a model whose only input is an image",
            where=(str(path),),
            fix="give an .npz with arrays by input name and `labels`",
        )
    return only


def _label(interface: Interface, label: int | str, path: Path) -> str:
    known = interface.classifier.labels if interface.classifier else None
    if isinstance(label, str) and path.suffix.lower() == ".csv" and label.isdecimal() and label not in (known or ()):
        label = int(label)  # in a .csv an index is a text, too
    if isinstance(label, int):
        if known is None:
            return str(label)
        if 0 <= label < len(known):
            return known[label]
        problem = f"label {label} is outside the model's {len(known)} classes"
    elif known is None:
        problem = f"label {label!r} is a name, but the model has no labels"
    elif label in known:
        return label
    else:
        problem = f"label {label!r} is none of the model's {len(known)} labels"
    raise SourceError(
        problem, where=(str(path),), fix="label the set with the model's own classes, or with their indices"
    )

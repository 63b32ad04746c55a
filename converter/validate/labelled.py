"""The labelled set, on which a converted model has to be as accurate as its source."""

from collections.abc import Iterator
from pathlib import Path

from converter.errors import SourceError
from converter.model import ImageInput, Interface, Sample
from converter.validate.samples import PICTURES, array_samples, picture_sample, read_arrays


def labelled(interface: Interface, path: Path) -> tuple[Sample, ...]:
    """The labelled set: an .npz (arrays by input name, and `labels`) or a folder of pictures per class.

    Labels are indices or names; a folder has its class's name.

    Raises SourceError where it does not fit the model's inputs or labels.
    """
    found = tuple(_labelled_folder(interface, path) if path.is_dir() else _labelled_arrays(interface, path))
    if not found:
        raise SourceError(
            "the labelled set is empty",
            where=(str(path),),
            fix="put pictures into one folder per class, or arrays and `labels` into an .npz",
        )
    return found


def _labelled_arrays(interface: Interface, path: Path) -> Iterator[Sample]:
    arrays = read_arrays(path, [*(spec.name for spec in interface.inputs), "labels"])
    found = list(array_samples(interface, arrays, path, batched=True))
    labels = arrays["labels"]
    if labels.shape != (len(found),) or labels.dtype.kind not in "iuU":
        raise SourceError(
            f"`labels` is {labels.dtype} {list(labels.shape)} for {len(found)} samples",
            where=(str(path),),
            fix="give one index or one name per sample",
        )
    for sample, label in zip(found, labels.tolist(), strict=True):
        yield Sample(name=sample.name, inputs=sample.inputs, label=_label(interface, label, path))


def _labelled_folder(interface: Interface, path: Path) -> Iterator[Sample]:
    only = interface.inputs[0]
    if len(interface.inputs) != 1 or not isinstance(only, ImageInput):
        raise SourceError(
            "a folder of pictures needs a model whose only input is an image",
            where=(str(path),),
            fix="give an .npz with arrays by input name and `labels`",
        )
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        label = _label(interface, folder.name, path)
        for file in sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in PICTURES):
            sample = picture_sample(only, file, only.size, label)
            yield Sample(name=f"{folder.name}/{sample.name}", inputs=sample.inputs, label=label)


def _label(interface: Interface, label: int | str, path: Path) -> str:
    known = interface.classifier.labels if interface.classifier else None
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

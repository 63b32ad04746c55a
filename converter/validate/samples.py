"""What the model is asked: the manifest's sample files or seeded inputs."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
from PIL import Image

from converter.errors import SourceError
from converter.model import ImageInput, Interface, Range, Sample, TensorInput
from converter.validate.pictures import fit_picture, read_picture, seeded_picture

ARRAYS = (".npy", ".npz")
_SEED = "seed "
PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def samples(interface: Interface, files: Sequence[Path] = (), *, seeds: int) -> tuple[Sample, ...]:
    """The sample inputs: one for each file (an .npz may hold several), else `seeds` seeded ones.

    Inputs with flexible shapes are asked once more at their smallest and their largest. Raises SourceError for a file
    that does not fit the model's inputs.
    """
    others = [s for s in _shapes(interface) if s != {i.name: _default(i) for i in interface.inputs}]
    if not files:
        shapes: list[Mapping[str, tuple[int, ...]]] = [{}] * seeds
        return tuple(_seeded(interface, seed, shape) for seed, shape in enumerate([*shapes, *others]))
    found = [sample for file in files for sample in _from_file(interface, file)]
    only = interface.inputs[0]
    if len(interface.inputs) == 1 and isinstance(only, ImageInput):
        pictures = [file for file in files if file.suffix.lower() in PICTURES]
        for shape in others if pictures else ():
            found.append(picture_sample(only, pictures[0], shape[only.name]))
        others = [] if pictures else others
    return (*found, *(_seeded(interface, seed, shape) for seed, shape in enumerate(others)))


def _default(spec: ImageInput | TensorInput) -> tuple[int, ...]:
    return spec.size if isinstance(spec, ImageInput) else spec.default_shape


def _shapes(interface: Interface) -> list[dict[str, tuple[int, ...]]]:
    """The shapes to ask for beside the default: of each input the smallest and the largest, or all enumerated ones."""
    by_input = []
    for spec in interface.inputs:
        ranges = (spec.ranges or ()) if isinstance(spec, ImageInput) else spec.shape
        if spec.enumerated:
            by_input.append([shape for shape in spec.enumerated if shape != _default(spec)])
        elif any(isinstance(d, Range) for d in ranges):
            smallest = tuple(d.lower if isinstance(d, Range) else d for d in ranges)
            largest = tuple(d.upper if isinstance(d, Range) else d for d in ranges)
            by_input.append([shape for shape in dict.fromkeys((smallest, largest)) if shape != _default(spec)])
        else:
            by_input.append([])
    return [
        {spec.name: shape or _default(spec) for spec, shape in zip(interface.inputs, shapes, strict=True)}
        for shapes in zip_longest(*by_input)
    ]


def is_seeded(sample: Sample) -> bool:
    """Whether a sample was made up; by its name, which is what is stored of it."""
    return sample.name.startswith(_SEED)


def _seeded(interface: Interface, seed: int, shapes: Mapping[str, tuple[int, ...]]) -> Sample:
    name = " ".join([f"{_SEED}{seed}", *("×".join(map(str, shape)) for shape in shapes.values())])
    inputs = {}
    for index, spec in enumerate(interface.inputs):
        shape = shapes.get(spec.name, _default(spec))
        if isinstance(spec, ImageInput):
            inputs[spec.name] = seeded_picture(seed, spec, (shape[0], shape[1]))
        else:
            inputs[spec.name] = _seeded_tensor(np.random.default_rng((seed, index)), spec, shape)
    return Sample(name=name, inputs=inputs)


def _seeded_tensor(random: np.random.Generator, spec: TensorInput, shape: tuple[int, ...]) -> np.ndarray:
    if spec.dtype != "int32":
        return random.standard_normal(shape).astype(spec.dtype)
    # Nothing is known of the vocabulary: small numbers are indices into nearly every table. Masks and token types
    # hold 0 and 1; a mask of zeros only would hide everything.
    switch = "mask" in spec.name.lower() or "type" in spec.name.lower()
    values = random.integers(0, 2 if switch else 10, shape).astype(np.int32)
    if switch and values.size:
        values.flat[0] = 1
    return values


def _from_file(interface: Interface, file: Path) -> Iterator[Sample]:
    only = interface.inputs[0]
    if file.suffix.lower() in ARRAYS:
        arrays = read_arrays(file, [spec.name for spec in interface.inputs])
        yield from array_samples(interface, arrays, file, batched=None)
    elif len(interface.inputs) == 1 and isinstance(only, ImageInput):
        yield picture_sample(only, file, only.size)
    else:
        names = ", ".join(spec.name for spec in interface.inputs)
        raise SourceError(
            f"a picture cannot be the sample of a model with the inputs {names}",
            where=(str(file),),
            fix=f"give an .npz with arrays named {names}",
        )


def picture_sample(spec: ImageInput, file: Path, size: tuple[int, ...], label: str | None = None) -> Sample:
    """A picture file as the sample of a model whose only input is an image, at `size` (height, width)."""
    name = file.name if size == spec.size else f"{file.name} {'×'.join(map(str, size))}"
    pixels = fit_picture(read_picture(file), spec, (size[0], size[1]))
    return Sample(name=name, inputs={spec.name: pixels}, label=label)


def read_arrays(file: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of an .npz, which must be `names` exactly, or of an .npy for one name. Raises SourceError."""
    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            if len(names) != 1:
                raise SourceError(
                    f"one array cannot fill the inputs {', '.join(names)}",
                    where=(str(file),),
                    fix="give an .npz with one array per input name",
                )
            return {names[0]: loaded}
        with loaded:
            arrays = {name: np.asarray(loaded[name]) for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"cannot be read as arrays: {error}",
            where=(str(file),),
            fix="write it with numpy.save or numpy.savez, without object arrays",
        ) from error
    missing, surplus = [n for n in names if n not in arrays], [n for n in arrays if n not in names]
    if missing or surplus:
        raise SourceError(
            f"holds the arrays {', '.join(arrays) or 'none'}; the model takes {', '.join(names)}",
            where=(str(file),),
            fix="name the arrays as the model's inputs" + (", and `labels`" if "labels" in names else ""),
        )
    return arrays


def array_samples(
    interface: Interface, arrays: Mapping[str, np.ndarray], file: Path, *, batched: bool | None
) -> Iterator[Sample]:
    """Samples from whole arrays; several, or (`batched` None) several where the rank is one more than the input's."""
    several = {}
    for spec in interface.inputs:
        array, rank = arrays[spec.name], _rank(spec)
        extra = array.ndim == rank + 1 if batched is None else batched
        several[spec.name] = array if extra else array[None]
        if several[spec.name].ndim != rank + 1:
            raise SourceError(
                f"{spec.name!r} has shape {list(array.shape)}; one sample of it has {_wanted(spec)}",
                where=(str(file),),
                fix="give one sample, or several along a new first axis",
            )
    counts = {name: len(array) for name, array in several.items()}
    if len(set(counts.values())) != 1:
        raise SourceError(
            f"the arrays hold different numbers of samples: {counts}",
            where=(str(file),),
            fix="give every input the same first axis",
        )
    count = next(iter(counts.values()))
    for index in range(count):
        name = file.name if count == 1 else f"{file.name}[{index}]"
        yield Sample(name=name, inputs={s.name: _fit(s, several[s.name][index], file) for s in interface.inputs})


def _rank(spec: ImageInput | TensorInput) -> int:
    if isinstance(spec, TensorInput):
        return len(spec.shape)
    return 2 if spec.color == "GRAYSCALE" else 3


def _wanted(spec: ImageInput | TensorInput) -> str:
    if isinstance(spec, ImageInput):
        return "uint8 [height, width]" if spec.color == "GRAYSCALE" else "uint8 [height, width, 3] (RGB)"
    if spec.enumerated:
        return f"{spec.dtype}, one of {[list(shape) for shape in spec.enumerated]}"
    sides = (f"{d.lower}..{d.upper}" if isinstance(d, Range) else str(d) for d in spec.shape)
    return f"{spec.dtype} [{', '.join(sides)}]"


def _fit(spec: ImageInput | TensorInput, array: np.ndarray, file: Path) -> np.ndarray:
    """One sample of one input in the model's type; a picture of another size is resized like a picture file."""
    if isinstance(spec, ImageInput):
        fits = array.dtype == np.uint8 and (spec.color == "GRAYSCALE" or array.shape[-1] == 3) and array.size > 0
        if fits:
            return array if _permits_size(spec, array.shape[:2]) else fit_picture(Image.fromarray(array), spec)
    elif _permits_shape(spec, array.shape) and np.can_cast(array.dtype, spec.dtype, casting="same_kind"):
        narrow = array.astype(spec.dtype)
        if array.dtype.kind not in "iu" or np.array_equal(narrow, array):
            return narrow
    raise SourceError(
        f"{spec.name!r} is {array.dtype} {list(array.shape)}; the model takes {_wanted(spec)}",
        where=(str(file),),
        fix="write the array in the model's own type and shape",
    )


def _permits_size(spec: ImageInput, size: tuple[int, ...]) -> bool:
    if spec.ranges:
        return all(r.lower <= side <= r.upper for r, side in zip(spec.ranges, size, strict=True))
    return size in (spec.size, *spec.enumerated)


def _permits_shape(spec: TensorInput, shape: tuple[int, ...]) -> bool:
    if spec.enumerated:
        return shape in spec.enumerated
    return len(shape) == len(spec.shape) and all(
        d.lower <= side <= d.upper if isinstance(d, Range) else d == side
        for d, side in zip(spec.shape, shape, strict=True)
    )

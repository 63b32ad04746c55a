"""What the app sees, from the manifest and from what the source says of itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from converter.errors import SourceError
from converter.load.torchvision import Preset
from converter.manifest.schema import Image, Input, Model, Normalize
from converter.model import ImageInput, Normalization, Output, Range, Resize, TensorInput

IMAGENET = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
DType = Literal["float32", "float16", "int32"]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """An input as the source itself has it; a size that it leaves open is its name, or None."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None


def inputs(
    model: Model, *, features: Sequence[Feature] = (), preset: Preset | None = None, notes: list[str]
) -> tuple[ImageInput | TensorInput, ...]:
    """The inputs in the source's order.

    `features` are the source's own inputs, where it knows them; they are matched by name, else by position. `preset`
    fills what an image leaves open. Raises SourceError, with every complaint, where something stays open or disagrees.
    """
    said = list(model.inputs)
    if not said:
        said = [Input(name="image", image=Image())] if preset else []
    if not said and not features:
        raise SourceError(
            "nothing is said about the model's inputs", fix="describe them under `inputs`, in the order of forward()"
        )
    paired = _pair(said, features)
    complaints: list[str] = []
    found = [_input(given, feature, preset, complaints, notes) for given, feature in paired]
    complaints += [c for spec, (_, f) in zip(found, paired, strict=True) if spec and f for c in _disagreements(spec, f)]
    if complaints:
        raise SourceError("\n  ".join(complaints), fix="correct the model's `inputs` in the manifest")
    return tuple(spec for spec in found if spec is not None)


def outputs(model: Model, names: Sequence[str], are_integers: Sequence[bool]) -> tuple[Output, ...]:
    """The outputs in the source's order; `names` are the source's own, empty where it has none.

    Outputs that the manifest does not name keep the source's name; without one they are `output`, or `output_1`,
    `output_2`, ..., and a classifier's scores have the name of its probabilities.
    """
    said = list(model.outputs)
    known = {output.name: output for output in said}
    by_name = bool(said) and all(name in names for name in known)
    if said and not by_name and len(said) != len(names):
        raise SourceError(
            f"the model gives {len(names)} outputs{_listed(names)}, the manifest names {len(said)}: {', '.join(known)}",
            fix="name all of them under `outputs`, in the model's order, or none",
        )
    found: list[Output] = []
    for index, (name, is_integer) in enumerate(zip(names, are_integers, strict=True)):
        given = (known.get(name) if by_name else said[index]) if said else None
        if given:
            found.append(Output(name=given.name, dtype=given.dtype, color=given.image, description=given.description))
            continue
        own = name or ("output" if len(names) == 1 else f"output_{index + 1}")
        if index == 0 and model.classifier:
            own = model.classifier.probabilities_name
        taken = [*(output.name for output in found), *(o.name for o in said), *(i.name for i in model.inputs)]
        found.append(Output(name=_valid(own, taken), dtype="int32" if is_integer else "float32"))
    return tuple(found)


def _pair(said: list[Input], features: Sequence[Feature]) -> list[tuple[Input | None, Feature | None]]:
    if not features:
        return [(given, None) for given in said]
    if not said:
        return [(None, feature) for feature in features]
    own = {_valid(feature.name, ()): feature for feature in features}
    if {given.name for given in said} <= set(own):
        by_name = {given.name: given for given in said}
        return [(by_name.get(name), feature) for name, feature in own.items()]
    if len(said) != len(features):
        raise SourceError(
            f"the model takes {len(features)} inputs ({', '.join(f.name for f in features)}), "
            f"the manifest describes {len(said)}: {', '.join(given.name for given in said)}",
            fix="describe all of them under `inputs`, by their own names or in their order",
        )
    return list(zip(said, features, strict=True))


def _input(
    given: Input | None, feature: Feature | None, preset: Preset | None, complaints: list[str], notes: list[str]
) -> ImageInput | TensorInput | None:
    if given and given.image:
        return _image(given, given.image, feature, preset, complaints)
    if given and given.tensor:
        tensor = given.tensor
        return TensorInput(
            name=given.name,
            description=given.description,
            shape=tensor.dimensions,
            dtype=tensor.dtype,
            enumerated=tensor.enumerated,
        )
    if feature is None:
        complaints.append(f"input {given.name if given else '?'}: neither image nor tensor is said")
        return None
    return _own(feature, given, complaints, notes)


def _own(feature: Feature, given: Input | None, complaints: list[str], notes: list[str]) -> TensorInput | None:
    """A tensor as the source itself has it."""
    shape = list(feature.shape or ())
    if shape and not isinstance(shape[0], int):
        notes.append(f"input {feature.name}: its open first dimension is taken to be a batch of 1")
        shape[0] = 1
    fixed = tuple(size for size in shape if isinstance(size, int) and size > 0)
    if not shape or len(fixed) != len(shape):
        sizes = [size if size else "?" for size in feature.shape] if feature.shape else "unknown"
        complaints.append(
            f"input {feature.name} has the shape {sizes}, and Core ML needs bounds: "
            "give it as a tensor whose open sizes are {lower, upper}"
        )
        return None
    return TensorInput(
        name=given.name if given else _valid(feature.name, ()),
        description=given.description if given else "",
        shape=fixed,
        dtype=_dtype(feature.dtype),
    )


def _dtype(dtype: str) -> DType:
    if dtype == "float16":
        return "float16"
    return "float32" if dtype.startswith(("float", "bfloat")) else "int32"


def _image(
    given: Input, image: Image, feature: Feature | None, preset: Preset | None, complaints: list[str]
) -> ImageInput | None:
    size = image.height_width or (preset.size if preset else None) or _sides(feature)
    if size is None:
        complaints.append(f"input {given.name}: its size is not said, and the source does not know it")
    normalization = _normalization(image, preset)
    channels = 1 if image.color == "GRAYSCALE" else 3
    if normalization is None:
        complaints.append(
            f"input {given.name}: `normalize` is not said, and the source does not know it "
            "(imagenet, unit, none, or mean and std)"
        )
    elif len(normalization.mean) != channels:
        complaints.append(
            f"input {given.name}: {image.color} has {channels} channels, mean and std have {len(normalization.mean)}"
        )
    if size is None or normalization is None:
        return None
    return ImageInput(
        name=given.name,
        description=given.description,
        color=image.color,
        size=size,
        normalization=normalization,
        enumerated=tuple(other for other in image.enumerated if other != size),
        ranges=_ranges(image, size),
        resize=_resize(image, size, preset),
    )


def _normalization(image: Image, preset: Preset | None) -> Normalization | None:
    channels = 1 if image.color == "GRAYSCALE" else 3
    said = image.normalize
    if isinstance(said, Normalize):
        widen = channels if len(said.mean) == 1 else 1
        return Normalization(scale=1 / 255, mean=said.mean * widen, std=said.std * widen)
    if said in ("none", "unit"):
        return Normalization(scale=1.0 if said == "none" else 1 / 255, mean=(0.0,) * channels, std=(1.0,) * channels)
    known = IMAGENET if said == "imagenet" else preset
    if known is None:
        return None
    # Known in R, G, B order; a BGR model has them the other way round.
    step = -1 if image.color == "BGR" else 1
    return Normalization(scale=1 / 255, mean=known.mean[::step], std=known.std[::step])


def _ranges(image: Image, size: tuple[int, int]) -> tuple[Range, Range] | None:
    if image.range is None:
        return None
    height, width = (
        Range(lower=lower, upper=upper, default=side)
        for (lower, upper), side in zip((image.range.height, image.range.width), size, strict=True)
    )
    return height, width


def _resize(image: Image, size: tuple[int, int], preset: Preset | None) -> Resize | None:
    """The weights' own resize belongs to their own crop: for another size it is not known."""
    own = preset if preset and preset.size == size else None
    shorter_side = image.resize or (own.shorter_side if own else None)
    interpolation = image.interpolation or (preset.interpolation if preset else None)
    if shorter_side is None:
        return Resize(shorter_side=min(size), interpolation=interpolation) if interpolation else None
    return Resize(shorter_side=shorter_side, interpolation=interpolation or "bilinear")


def _sides(feature: Feature | None) -> tuple[int, int] | None:
    """Height and width of a source's own [N, C, H, W]."""
    if feature is None or feature.shape is None or len(feature.shape) != 4:
        return None
    height, width = feature.shape[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _disagreements(spec: ImageInput | TensorInput, feature: Feature) -> list[str]:
    """Where the manifest promises a size that the source itself rules out."""
    promised: list[tuple[int, ...]]
    if isinstance(spec, ImageInput):
        sides = [spec.size, *spec.enumerated]
        if spec.ranges:
            sides += [(spec.ranges[0].lower, spec.ranges[1].lower), (spec.ranges[0].upper, spec.ranges[1].upper)]
        promised = [(1, spec.channels, *size) for size in sides]
        if not feature.dtype.startswith("float"):
            return [f"input {spec.name} is an image, but the source takes {feature.dtype} there, not float32"]
    else:
        promised = [spec.default_shape, *spec.enumerated]
        if any(isinstance(d, Range) for d in spec.shape):
            promised.append(tuple(d.lower if isinstance(d, Range) else d for d in spec.shape))
            promised.append(tuple(d.upper if isinstance(d, Range) else d for d in spec.shape))
    own = feature.shape
    if own is None:
        return []
    wrong = [
        shape
        for shape in dict.fromkeys(promised)
        if len(shape) != len(own) or any(isinstance(o, int) and o != s for s, o in zip(shape, own, strict=True))
    ]
    takes = [size if size else "?" for size in own]
    return [f"input {spec.name} would be {list(shape)}, but the source takes {takes}" for shape in wrong]


def _valid(name: str, taken: Sequence[str]) -> str:
    """A name that Core ML takes, from any other: https://apple.github.io/coremltools (ML Program identifiers)."""
    base = re.sub(r"[^A-Za-z0-9_]", "_", name)
    base = base if re.match(r"[A-Za-z_]", base) else f"_{base}"
    found, number = base, 2
    while found in taken:
        found, number = f"{base}_{number}", number + 1
    return found


def _listed(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if all(names) else ""

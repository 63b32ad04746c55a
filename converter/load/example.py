"""Inputs that a source model takes, for a trial run, a trace or an export."""

import torch

from converter.model import ImageInput, Interface, TensorInput

Size = tuple[int, ...]  # (height, width) of an image, the whole shape of a tensor


def example_inputs(
    interface: Interface, *, seed: int = 0, sizes: tuple[Size | None, ...] = ()
) -> tuple[torch.Tensor, ...]:
    """One set of inputs in the interface's order, seeded, as a torch module takes them.

    An image is random pixels, normalised, float32 [1, C, H, W]; a tensor is normally distributed float32 (float16 too:
    modules are float32), or, for int32, zeros and ones as int64, because torch's indices are int64.
    `sizes` replaces default sizes, None leaves them.
    """
    generator = torch.Generator().manual_seed(seed)
    wanted = sizes or (None,) * len(interface.inputs)
    return tuple(_example(spec, size, generator) for spec, size in zip(interface.inputs, wanted, strict=True))


def sizes_to_try(interface: Interface) -> tuple[tuple[Size | None, ...], ...]:
    """The sets of sizes that the interface promises: the default, then all enumerated ones or both bounds."""
    by_input = [_further_sizes(spec) for spec in interface.inputs]
    longest = max(len(sizes) for sizes in by_input)
    return (
        (None,) * len(by_input),
        *(tuple(sizes[i] if i < len(sizes) else None for sizes in by_input) for i in range(longest)),
    )


def _further_sizes(spec: ImageInput | TensorInput) -> list[Size]:
    if spec.enumerated:
        return [tuple(size) for size in spec.enumerated]
    dimensions = (spec.ranges or ()) if isinstance(spec, ImageInput) else spec.shape
    if all(isinstance(d, int) for d in dimensions):
        return []
    return [
        tuple(d if isinstance(d, int) else d.lower for d in dimensions),
        tuple(d if isinstance(d, int) else d.upper for d in dimensions),
    ]


def _example(spec: ImageInput | TensorInput, size: Size | None, generator: torch.Generator) -> torch.Tensor:
    if isinstance(spec, ImageInput):
        height, width = size or spec.size
        pixels = torch.randint(0, 256, (1, spec.channels, height, width), generator=generator).float()
        mean, std = (
            torch.tensor(values).reshape(1, -1, 1, 1) for values in (spec.normalization.mean, spec.normalization.std)
        )
        return (pixels * spec.normalization.scale - mean) / std
    shape = size or spec.default_shape
    if spec.dtype != "int32":
        return torch.randn(shape, generator=generator)
    numbers = torch.randint(0, 2, shape, generator=generator)
    numbers[..., :1] = 1  # a mask of zeros only gives NaN
    return numbers

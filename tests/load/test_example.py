import pytest
import torch

from converter.load.example import example_inputs, sizes_to_try
from converter.model import ImageInput, Interface, Normalization, Range, TensorInput

FLEXIBLE = Range(lower=2, upper=4, default=3)
PLAIN = Normalization(scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
IMAGENET = Normalization(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def image(**said: object) -> ImageInput:
    return ImageInput(**{"name": "image", "color": "RGB", "size": (4, 6), "normalization": PLAIN, **said})


def interface(*inputs: ImageInput | TensorInput) -> Interface:
    return Interface(inputs=inputs, outputs=())


def test_an_image_is_random_pixels_normalised_per_channel() -> None:
    (pixels,) = example_inputs(interface(image()))
    (normalised,) = example_inputs(interface(image(normalization=IMAGENET)))
    assert pixels.shape == (1, 3, 4, 6)
    assert torch.equal(pixels, pixels.round().clamp(0, 255))
    mean, std = torch.tensor(IMAGENET.mean), torch.tensor(IMAGENET.std)
    expected = ((pixels[0].permute(1, 2, 0) / 255 - mean) / std).permute(2, 0, 1)[None]
    torch.testing.assert_close(normalised, expected)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float32", torch.float32), ("float16", torch.float32), ("int32", torch.int64)]
)
def test_a_tensor_has_the_type_that_torch_modules_take(dtype: str, expected: torch.dtype) -> None:
    (found,) = example_inputs(
        interface(TensorInput(name="x", shape=(1, Range(lower=2, upper=9, default=5)), dtype=dtype))
    )
    assert found.dtype == expected
    assert found.shape == (1, 5)


def test_a_mask_is_never_all_zeros() -> None:
    spec = TensorInput(name="mask", shape=(64, 3), dtype="int32")
    assert all(bool(example_inputs(interface(spec), seed=s)[0].any(-1).all()) for s in range(5))


def test_a_seed_says_everything() -> None:
    both = interface(image(), TensorInput(name="x", shape=(2, 3), dtype="float32"))
    first, again, other = example_inputs(both), example_inputs(both), example_inputs(both, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([image()], [(None,)]),
        ([image(enumerated=((8, 8), (9, 9)))], [(None,), ((8, 8),), ((9, 9),)]),
        (
            [image(ranges=(Range(lower=2, upper=8, default=4), Range(lower=3, upper=9, default=6)))],
            [(None,), ((2, 3),), ((8, 9),)],
        ),
        (
            [image(enumerated=((8, 8),)), TensorInput(name="x", shape=(1, FLEXIBLE), dtype="int32")],
            [(None, None), ((8, 8), (1, 2)), (None, (1, 4))],
        ),
    ],
)
def test_every_promised_size_is_tried(inputs: list[ImageInput | TensorInput], expected: list[object]) -> None:
    assert list(sizes_to_try(interface(*inputs))) == expected


def test_a_size_replaces_the_default() -> None:
    (found,) = example_inputs(interface(image()), sizes=((8, 9),))
    assert found.shape == (1, 3, 8, 9)

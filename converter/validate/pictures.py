"""Pictures as the app would hand them over: upright, resized, cropped, in the model's colours; and seeded ones."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from converter.errors import SourceError
from converter.model import ImageInput, Resize

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def read_picture(path: Path) -> Image.Image:
    """A picture file, turned upright by its EXIF orientation. Raises SourceError where it is none."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return ImageOps.exif_transpose(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow's plug-ins raise SyntaxError and ValueError for broken files.
        raise SourceError(
            f"{path.name} cannot be read as a picture: {str(error).replace(str(path), path.name)}",
            where=(str(path),),
            fix="give a picture that Pillow can open (PNG, JPEG, WebP, ...)",
        ) from error


def fit_picture(picture: Image.Image, image: ImageInput, size: tuple[int, int] | None = None) -> np.ndarray:
    """Resize and crop as the interface says; uint8 [H, W, 3] (RGB) or [H, W] (grayscale).

    The shorter side goes to `resize.shorter_side`, then the centre is cropped, as torchvision's presets do; without
    `resize` the picture is scaled until it covers the model's size, which is what Vision's centerCrop does. `size`
    (height, width) is another permitted size; the shorter side then grows or shrinks with it.
    """
    size = size or image.size
    picture = _flatten(picture).convert("L" if image.color == "GRAYSCALE" else "RGB")
    if (picture.height, picture.width) != size:
        picture = _crop(_scale(picture, image.resize, image.size, size), size)
    return np.asarray(picture, dtype=np.uint8)


def fit_mask(mask: np.ndarray, image: ImageInput, ignore: int | None) -> np.ndarray:
    """Class numbers [H, W] where `fit_picture` puts their pixels, by the nearest; beyond it `ignore`, or 0."""
    (height, width), (upper, left) = _placed((mask.shape[0], mask.shape[1]), image)
    rows, columns = upper + np.arange(image.size[0]), left + np.arange(image.size[1])
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    sources = (
        np.clip((at + 0.5) * here / there, 0, here - 1).astype(int)
        for at, here, there in ((rows, mask.shape[0], height), (columns, mask.shape[1], width))
    )
    return np.where(inside, mask[np.ix_(*sources)], 0 if ignore is None else ignore).astype(np.int32)


def fit_boxes(boxes: np.ndarray, size: tuple[int, int], image: ImageInput) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [N, 4] (x1, y1, x2, y2) of a picture of `size` (height, width) where `fit_picture` puts them.

    Returns those of which something is left, clipped, and their indices.
    """
    (height, width), (upper, left) = _placed(size, image)
    factors = np.array([width / size[1], height / size[0]] * 2)
    inside = np.clip(boxes.astype(np.float64), 0, [size[1], size[0]] * 2)
    moved = inside * factors - [left, upper, left, upper]
    clipped = np.clip(moved, 0, [image.size[1], image.size[0]] * 2)
    kept = np.flatnonzero((clipped[:, 2:] - clipped[:, :2] > 0).all(axis=1))
    return clipped[kept].astype(np.float32), kept


def _placed(size: tuple[int, int], image: ImageInput) -> tuple[tuple[int, int], tuple[int, int]]:
    """What `fit_picture` does to a picture of `size`: the size it is scaled to, and where the crop begins in that."""
    if size == image.size:
        return size, (0, 0)
    width, height = _scaled_size(size, image.resize, image.size, image.size)
    # a smaller picture lies in the middle of black borders, as `_crop` has it
    begins = (
        round((scaled - wanted) / 2) if scaled >= wanted else -((wanted - scaled) // 2)
        for scaled, wanted in zip((height, width), image.size, strict=True)
    )
    return (height, width), (next(begins), next(begins))


def _flatten(picture: Image.Image) -> Image.Image:
    """Transparency on white, as a viewer shows it; deep grey scaled to 8 bits, which `convert` would clip."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        upper = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", upper.size, "white"), upper)
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return picture


def _scale(picture: Image.Image, resize: Resize | None, default: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    target = _scaled_size((picture.height, picture.width), resize, default, size)
    interpolation = _RESAMPLING[resize.interpolation.lower()] if resize else Image.Resampling.BILINEAR
    return picture.resize(target, interpolation)


def _scaled_size(
    here: tuple[int, int], resize: Resize | None, default: tuple[int, int], size: tuple[int, int]
) -> tuple[int, int]:
    """The (width, height) to which a picture of (height, width) is scaled; sides are truncated, as torchvision does."""
    height, width = here
    if resize is None:
        factor = max(size[0] / height, size[1] / width)
        return max(size[1], int(width * factor)), max(size[0], int(height * factor))
    shorter = round(resize.shorter_side * min(size) / min(default))
    return (shorter, int(shorter * height / width)) if width <= height else (int(shorter * width / height), shorter)


def _crop(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The centre; a picture that is smaller gets black borders, as torchvision's CenterCrop gives it."""
    height, width = size
    padding = (max(width - picture.width, 0), max(height - picture.height, 0))
    if any(padding):
        left, upper = padding[0] // 2, padding[1] // 2
        canvas = Image.new(picture.mode, (picture.width + padding[0], picture.height + padding[1]))
        canvas.paste(picture, (left, upper))
        picture = canvas
    left, upper = round((picture.width - width) / 2.0), round((picture.height - height) / 2.0)
    return picture.crop((left, upper, left + width, upper + height))


def seeded_picture(seed: int, image: ImageInput, size: tuple[int, int] | None = None) -> np.ndarray:
    """A picture drawn from a seed: by turns blobs, a gradient, stripes and smooth noise, all in strong colours.

    Pure noise alone would prove little: to a network every noise is the same picture.
    """
    height, width = size or image.size
    random = np.random.default_rng(seed)
    kind = (_blobs, _gradient, _stripes, _smooth_noise)[seed % 4]
    rgb = kind(random, height, width)
    # A little grain everywhere, so that no two pixels tie.
    rgb = np.clip(rgb + random.normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(rgb).convert("L")) if image.color == "GRAYSCALE" else rgb


def _colors(random: np.random.Generator, count: int) -> np.ndarray:
    return random.uniform(0, 255, (count, 3))


def _gradient(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    corners = _colors(random, 4)
    weights = np.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], axis=-1)
    return np.asarray(weights @ corners)


def _stripes(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    angle, period = random.uniform(0, np.pi), random.uniform(0.08, 0.4) * max(height, width)
    wave = (np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period) + 1) / 2
    first, second = _colors(random, 2)
    return np.asarray(wave[..., None] * first + (1 - wave[..., None]) * second)


def _blobs(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    background, *colors = _colors(random, 7)
    picture = Image.new("RGB", (width, height), tuple(int(c) for c in background))
    draw = ImageDraw.Draw(picture)
    for index, color in enumerate(colors):
        x, y = random.uniform(0, width), random.uniform(0, height)
        half_w, half_h = random.uniform(0.08, 0.3, 2) * (width, height)
        shape = draw.ellipse if index % 2 else draw.rectangle
        shape((x - half_w, y - half_h, x + half_w, y + half_h), fill=tuple(int(c) for c in color))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(min(height, width) / 100)), dtype=np.float64)


def _smooth_noise(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    coarse = random.uniform(0, 255, (max(2, height // 16), max(2, width // 16), 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)

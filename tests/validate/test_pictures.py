from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as torchvision

from converter.errors import SourceError
from converter.model import ImageInput, Normalization, Resize
from converter.validate.pictures import fit_boxes, fit_mask, fit_picture, read_picture, seeded_picture

PLAIN = Normalization(scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)


def image(size=(224, 224), color="RGB", resize=None):
    return ImageInput(name="image", color=color, size=size, normalization=PLAIN, resize=resize)


@pytest.fixture(scope="module")
def photos():
    return [Image.fromarray(photo) for photo in load_sample_images().images]  # 640 x 427


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("size", "shorter_side", "interpolation"),
    [
        ((224, 224), 256, "bilinear"),
        ((224, 224), 232, "bicubic"),
        ((299, 299), 342, "bilinear"),
        ((240, 240), 255, "lanczos"),
        ((32, 48), 48, "nearest"),
        ((101, 67), 133, "bilinear"),
        ((64, 64), 50, "bilinear"),  # smaller than the crop: black borders
    ],
)
def test_a_picture_is_resized_and_cropped_as_torchvision_does(photos, turned, size, shorter_side, interpolation):
    for photo in photos:
        photo = photo.transpose(Image.Transpose.ROTATE_90) if turned else photo
        expected = torchvision.resize(photo, [shorter_side], InterpolationMode(interpolation))
        expected = torchvision.center_crop(expected, list(size))
        fitted = fit_picture(photo, image(size, resize=Resize(shorter_side=shorter_side, interpolation=interpolation)))
        np.testing.assert_array_equal(fitted, np.asarray(expected))


@pytest.mark.parametrize(
    ("size", "shorter_side"), [((100, 100), 100), ((224, 224), 224), ((64, 90), 64), ((90, 50), 90)]
)
def test_a_picture_without_resize_covers_the_size_and_loses_its_sides(photos, size, shorter_side):
    expected = torchvision.center_crop(torchvision.resize(photos[0], [shorter_side]), list(size))
    np.testing.assert_array_equal(fit_picture(photos[0], image(size)), np.asarray(expected))


def test_a_picture_of_the_models_size_is_left_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fit_picture(Image.fromarray(pixels), image((20, 30))), pixels)


def test_another_permitted_size_crops_the_same_part(photos):
    spec = image((224, 224), resize=Resize(shorter_side=256, interpolation="bilinear"))
    small = Image.fromarray(fit_picture(photos[0], spec, (112, 112)))
    halved = Image.fromarray(fit_picture(photos[0], spec)).resize((112, 112))
    assert np.abs(np.asarray(small, int) - np.asarray(halved, int)).mean() < 3


@pytest.mark.parametrize(
    ("mode", "color", "shape"),
    [
        ("RGB", "RGB", (8, 8, 3)),
        ("RGB", "BGR", (8, 8, 3)),
        ("RGB", "GRAYSCALE", (8, 8)),
        ("L", "RGB", (8, 8, 3)),
        ("L", "GRAYSCALE", (8, 8)),
        ("P", "RGB", (8, 8, 3)),
        ("1", "GRAYSCALE", (8, 8)),
        ("CMYK", "RGB", (8, 8, 3)),
        ("RGBA", "RGB", (8, 8, 3)),
        ("LA", "GRAYSCALE", (8, 8)),
        ("I;16", "GRAYSCALE", (8, 8)),
    ],
)
def test_every_mode_of_picture_becomes_the_models(mode, color, shape):
    fitted = fit_picture(Image.new(mode, (16, 16)), image((8, 8), color))
    assert fitted.shape == shape
    assert fitted.dtype == np.uint8


def test_transparency_lies_on_white():
    assert fit_picture(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), image((8, 8))).min() == 255


def test_sixteen_bits_are_scaled_to_eight():
    deep = Image.fromarray(np.full((8, 8), 0x8000, np.uint16))
    assert np.unique(fit_picture(deep, image((8, 8), "GRAYSCALE"))).tolist() == [0x80]


def test_a_picture_is_turned_upright(tmp_path: Path):
    picture = Image.new("RGB", (40, 20), "black")
    picture.paste("white", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    picture.save(tmp_path / "turned.png", exif=exif)
    upright = read_picture(tmp_path / "turned.png")
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5)) == (255, 255, 255)
    assert upright.getpixel((10, 35)) == (0, 0, 0)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, None])
def test_a_file_that_is_no_picture_is_refused(tmp_path: Path, content):
    path = tmp_path / "photo.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=r"photo\.png cannot be read as a picture"):
        read_picture(path)


@pytest.mark.parametrize("color", ["RGB", "GRAYSCALE"])
def test_seeded_pictures_repeat_and_differ(color):
    spec = image((48, 64), color)
    pictures = [seeded_picture(seed, spec) for seed in range(6)]
    for seed, picture in enumerate(pictures):
        np.testing.assert_array_equal(picture, seeded_picture(seed, spec))
        assert picture.shape == ((48, 64) if color == "GRAYSCALE" else (48, 64, 3))
        assert picture.dtype == np.uint8
    differences = [np.abs(a.astype(int) - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(differences) > 10


def test_seeded_pictures_have_structure_that_noise_lacks():
    for seed in range(4):
        picture = seeded_picture(seed, image((64, 64))).astype(float)
        neighbours = np.abs(np.diff(picture, axis=1)).mean()
        assert (
            neighbours
            < np.abs(picture - np.random.default_rng(0).permutation(picture.ravel()).reshape(64, 64, 3)).mean()
        )


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2)])
def test_seeded_pictures_may_be_tiny(size):
    for seed in range(4):
        assert seeded_picture(seed, image(size)).shape == (*size, 3)


FITS = pytest.mark.parametrize(
    ("size", "wanted", "resize"),
    [
        ((40, 60), (20, 20), None),
        ((60, 40), (20, 30), None),
        ((37, 61), (24, 24), Resize(shorter_side=32, interpolation="nearest")),
        ((61, 37), (24, 20), Resize(shorter_side=27, interpolation="nearest")),
        ((20, 30), (28, 28), Resize(shorter_side=24, interpolation="nearest")),  # smaller: black borders
        ((12, 9), (25, 31), Resize(shorter_side=9, interpolation="nearest")),
        ((24, 24), (24, 24), Resize(shorter_side=32, interpolation="nearest")),  # the model's size already
    ],
)


@FITS
def test_a_mask_goes_where_its_picture_goes(size, wanted, resize):
    spec = image(wanted, "GRAYSCALE", resize)
    pixels = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((20, 20)))[: size[0], : size[1]].astype(np.uint8)
    fitted = fit_picture(Image.fromarray(pixels), spec)
    mask = fit_mask(pixels.astype(np.int32), spec, 255)
    assert mask.shape == wanted
    if resize:
        np.testing.assert_array_equal(np.where(mask == 255, 0, mask), fitted)
    else:  # a picture is smoothed
        assert np.mean(mask == fitted) > 0.8


@FITS
def test_a_box_goes_where_its_picture_goes(size, wanted, resize):
    spec = image(wanted, "GRAYSCALE", resize)
    pixels = np.zeros(size, np.uint8)
    y1, x1, y2, x2 = size[0] // 4, size[1] // 4, 3 * size[0] // 4, 3 * size[1] // 4
    pixels[y1:y2, x1:x2] = 200
    boxes, kept = fit_boxes(np.array([[x1, y1, x2, y2], [-9, -9, -1, -1]]), size, spec)
    rows, columns = np.nonzero(fit_picture(Image.fromarray(pixels), spec) > 100)
    painted = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(boxes, [painted], atol=1)
    assert kept.tolist() == [0]

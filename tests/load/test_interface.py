from collections.abc import Callable
from typing import Any

import pytest

from converter.errors import SourceError
from converter.load import interface as app
from converter.load.interface import Feature
from converter.load.torchvision import Preset
from converter.model import ImageInput, Normalization, Output, Range, Resize, TensorInput

PRESET = Preset(size=(224, 224), shorter_side=232, interpolation="bicubic", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
ZEROS, ONES = (0.0,) * 3, (1.0,) * 3
SOURCE = {"factory": "net.py:build"}


@pytest.fixture
def inputs(model: Callable[..., Any]) -> Callable[..., Any]:
    def run(said: list[Any], **known: Any) -> tuple[ImageInput | TensorInput, ...]:
        return app.inputs(model(source=SOURCE, inputs=said), notes=known.pop("notes", []), **known)

    return run


def image(**said: Any) -> dict[str, Any]:
    return {"name": "image", "image": said}


def test_everything_comes_from_the_weights_where_nothing_is_said(inputs: Callable[..., Any]) -> None:
    expected = ImageInput(
        name="image",
        color="RGB",
        size=(224, 224),
        normalization=Normalization(scale=1 / 255, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)),
        resize=Resize(shorter_side=232, interpolation="bicubic"),
    )
    assert inputs([], preset=PRESET) == (expected,)
    assert inputs([image()], preset=PRESET) == (expected,)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"normalize": "none"}, (1.0, ZEROS, ONES)),
        ({"normalize": "unit"}, (1 / 255, ZEROS, ONES)),
        ({"normalize": "imagenet"}, (1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))),
        ({"normalize": "imagenet", "color": "BGR"}, (1 / 255, (0.406, 0.456, 0.485), (0.225, 0.224, 0.229))),
        ({"normalize": {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.6]}}, (1 / 255, (0.1, 0.2, 0.3), (0.5, 0.5, 0.6))),
        (
            {"normalize": {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.6]}, "color": "BGR"},
            (1 / 255, (0.1, 0.2, 0.3), (0.5, 0.5, 0.6)),
        ),
        ({"normalize": {"mean": [0.5], "std": [0.25]}}, (1 / 255, (0.5,) * 3, (0.25,) * 3)),
        ({"normalize": "unit", "color": "GRAYSCALE"}, (1 / 255, (0.0,), (1.0,))),
        ({"normalize": {"mean": [0.5], "std": [0.25]}, "color": "GRAYSCALE"}, (1 / 255, (0.5,), (0.25,))),
    ],
)
def test_normalisation_is_per_channel_in_the_models_order(
    said: dict[str, Any], expected: Any, inputs: Callable[..., Any]
) -> None:
    (found,) = inputs([image(size=32, **said)])
    scale, mean, std = expected
    assert found.normalization == Normalization(scale=scale, mean=mean, std=std)


def test_a_bgr_image_has_the_weights_normalisation_the_other_way_round(inputs: Callable[..., Any]) -> None:
    (found,) = inputs([image(color="BGR")], preset=PRESET)
    assert found.normalization.mean == (0.3, 0.2, 0.1)
    assert found.normalization.std == (0.6, 0.5, 0.4)


@pytest.mark.parametrize(
    ("said", "preset", "expected"),
    [
        ({"size": 224}, PRESET, Resize(shorter_side=232, interpolation="bicubic")),
        ({"size": 256}, PRESET, Resize(shorter_side=256, interpolation="bicubic")),
        ({"size": [200, 300], "resize": 320}, PRESET, Resize(shorter_side=320, interpolation="bicubic")),
        ({"size": 9, "interpolation": "nearest"}, PRESET, Resize(shorter_side=9, interpolation="nearest")),
        ({"size": 224, "resize": 256, "normalize": "unit"}, None, Resize(shorter_side=256, interpolation="bilinear")),
        ({"size": 224, "normalize": "unit"}, None, None),
    ],
)  # fmt: skip
def test_the_resize_belongs_to_its_crop(
    said: dict[str, Any], preset: Preset | None, expected: Resize | None, inputs: Callable[..., Any]
) -> None:
    assert inputs([image(**said)], preset=preset)[0].resize == expected


def test_flexible_sizes_are_handed_on(inputs: Callable[..., Any]) -> None:
    (ranged,) = inputs([image(range={"height": [128, 512], "width": [64, 256]})], preset=PRESET)
    assert ranged.ranges == (Range(lower=128, upper=512, default=224), Range(lower=64, upper=256, default=224))
    (listed,) = inputs([image(enumerated=[[32, 32], [48, 64]], normalize="unit")])
    assert (listed.size, listed.enumerated) == ((32, 32), ((48, 64),))
    (tokens,) = inputs(
        [{"name": "t", "tensor": {"shape": [1, {"lower": 1, "upper": 9, "default": 4}], "dtype": "int32"}}]
    )
    assert tokens == TensorInput(name="t", shape=(1, Range(lower=1, upper=9, default=4)), dtype="int32")
    (shapes,) = inputs([{"name": "t", "tensor": {"enumerated": [[1, 4], [1, 8]]}}])
    assert shapes == TensorInput(name="t", shape=(1, 4), dtype="float32", enumerated=((1, 4), (1, 8)))


def feature(name: str, *shape: int | str | None, dtype: str = "float32") -> Feature:
    return Feature(name=name, dtype=dtype, shape=shape)


def test_a_source_that_knows_its_inputs_needs_none_said(inputs: Callable[..., Any]) -> None:
    notes: list[str] = []
    own = [feature("input.1", "N", 3), feature("ids", 1, 4, dtype="int64"), feature("half", 2, dtype="float16")]
    assert inputs([], features=own, notes=notes) == (
        TensorInput(name="input_1", shape=(1, 3), dtype="float32"),
        TensorInput(name="ids", shape=(1, 4), dtype="int32"),
        TensorInput(name="half", shape=(2,), dtype="float16"),
    )
    assert notes == ["input input.1: its open first dimension is taken to be a batch of 1"]


@pytest.mark.parametrize("names", [("b", "a"), ("first", "second"), ("b",)])
def test_inputs_are_matched_by_name_else_by_position_and_stay_in_the_sources_order(
    names: tuple[str, ...], inputs: Callable[..., Any]
) -> None:
    own = [feature("a", 1, 3), feature("b", 1, 4)]
    shapes = {"a": [1, 3], "b": [1, 4], "first": [1, 3], "second": [1, 4]}
    found = inputs([{"name": n, "tensor": {"shape": shapes[n]}} for n in names], features=own)
    expected = ("first", "second") if names == ("first", "second") else ("a", "b")
    assert tuple(spec.name for spec in found) == expected
    assert [spec.shape for spec in found] == [(1, 3), (1, 4)]


def test_an_image_takes_its_size_from_the_graph(inputs: Callable[..., Any]) -> None:
    (found,) = inputs([image(normalize="none")], features=[feature("image", "N", 3, 32, 48)])
    assert found.size == (32, 48)


UNIT = image(size=8, normalize="unit")
LISTED = image(enumerated=[[8, 8], [9, 9]], normalize="unit")
BOUNDED = {"name": "t", "tensor": {"shape": [1, {"lower": 1, "upper": 9}]}}


def own(*features: Feature) -> dict[str, Any]:
    return {"features": features}


@pytest.mark.parametrize(
    ("said", "known", "words"),
    [
        ([], {}, ["nothing is said about the model's inputs"]),
        ([image()], {}, ["its size is not said", "`normalize` is not said"]),
        ([image(size=8, color="GRAYSCALE")], {"preset": PRESET}, ["GRAYSCALE has 1 channels, mean and std have 3"]),
        (
            [],
            own(feature("ids", "batch", "n"), feature("x", None, None)),
            ["ids has the shape ['batch', 'n']", "x has"],
        ),
        ([UNIT], own(feature("x", 1, 3, 32, 32)), ["would be [1, 3, 8, 8], but the source takes [1, 3, 32, 32]"]),
        ([UNIT], own(feature("x", 1, 8, 8, 3)), ["but the source takes [1, 8, 8, 3]"]),
        ([UNIT], own(feature("x", 1, 3)), ["but the source takes [1, 3]"]),
        ([UNIT], own(feature("x", 1, 3, 8, 8, dtype="int64")), ["takes int64 there"]),
        ([LISTED], own(feature("x", 1, 3, 8, 8)), ["[1, 3, 9, 9]"]),
        ([BOUNDED], own(feature("t", 1, 5)), ["[1, 1]", "[1, 9]"]),
        ([UNIT], own(feature("a", 1), feature("b", 1)), ["takes 2 inputs (a, b), the manifest describes 1: image"]),
    ],
)
def test_what_stays_open_or_disagrees_is_said_at_once(
    said: list[Any], known: dict[str, Any], words: list[str], inputs: Callable[..., Any]
) -> None:
    with pytest.raises(SourceError) as caught:
        inputs(said, **known)
    assert all(word in caught.value.problem for word in words), caught.value.problem


@pytest.mark.parametrize(
    ("said", "classifier", "names", "expected"),
    [
        ([], None, [""], ["output"]),
        ([], None, ["", ""], ["output_1", "output_2"]),
        ([], None, ["out", "aux"], ["out", "aux"]),
        ([], None, ["var.1", "var:1", "1x"], ["var_1", "var_1_2", "_1x"]),
        ([], {}, ["", ""], ["classLabelProbs", "output_2"]),
        ([], {"probabilities_name": "scores"}, ["logits"], ["scores"]),
        (["a", "b"], None, ["", ""], ["a", "b"]),
        (["aux"], None, ["out", "aux"], ["out", "aux"]),
        (["logits"], {}, ["logits", "features"], ["logits", "features"]),
    ],
)
def test_outputs_are_named(
    said: list[str], classifier: Any, names: list[str], expected: list[str], model: Callable[..., Any]
) -> None:
    made = model(source=SOURCE, outputs=[{"name": n} for n in said], classifier=classifier)
    assert [output.name for output in app.outputs(made, names, [False] * len(names))] == expected


def test_outputs_keep_what_the_manifest_says_of_them(model: Callable[..., Any]) -> None:
    said = [{"name": "picture", "image": "RGB", "description": "painted"}, {"name": "half", "dtype": "float16"}]
    assert app.outputs(model(source=SOURCE, outputs=said), ["", ""], [False, False]) == (
        Output(name="picture", color="RGB", description="painted"),
        Output(name="half", dtype="float16"),
    )
    assert app.outputs(model(source=SOURCE), [""], [True]) == (Output(name="output", dtype="int32"),)


def test_another_number_of_outputs_is_refused(model: Callable[..., Any]) -> None:
    made = model(source=SOURCE, outputs=[{"name": "a"}, {"name": "b"}, {"name": "c"}])
    with pytest.raises(SourceError, match=r"gives 2 outputs \(out, aux\), the manifest names 3: a, b, c"):
        app.outputs(made, ["out", "aux"], [False, False])

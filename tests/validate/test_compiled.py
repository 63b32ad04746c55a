"""metadata.json as Xcode's compiler writes it, held against what was promised."""

import copy
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from converter.convert import convert
from converter.errors import EvaluationError
from converter.model import (
    Classifier,
    ImageInput,
    Interface,
    Metadata,
    Normalization,
    Output,
    Range,
    Reference,
    Sample,
    Source,
    Target,
    TensorInput,
)
from converter.validate.compiled import differences
from converter.validate.gates import Gates
from converter.validate.references import References

PLAIN = Normalization(scale=1 / 255, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.2))
GRAY = Normalization(scale=1 / 255, mean=(0.5,), std=(0.2,))


def image(**changes) -> ImageInput:
    return ImageInput(**{"name": "image", "color": "RGB", "size": (24, 32), "normalization": PLAIN, **changes})


def references(inputs, outputs, classifier=None, answered=()) -> References:
    """Those of a model that was asked once, and answered in the shapes `answered`."""
    asked = {i.name: np.zeros((*i.size, 3) if isinstance(i, ImageInput) else i.default_shape, np.uint8) for i in inputs}
    shapes = dict(answered)
    return References(
        model="net",
        interface=Interface(inputs=tuple(inputs), outputs=tuple(outputs), classifier=classifier),
        gates=Gates(),
        reference=Reference(
            samples=(Sample(name="seed 0", inputs=asked),),
            outputs=({o.name: np.zeros(shapes.get(o.name, (1, 2))) for o in outputs},),
            labelled=(),
            labelled_scores=None,
            engine="torch",
            seconds=0.0,
        ),
        candidates=(),
    )


LABELS = Classifier(labels=("cat", "dog", "newt"), activation="softmax")
CLASSIFIER = references([image()], [Output(name="scores")], LABELS)
# in the form of what Xcode's compiler has made of an image classifier, a NeuralNetwork
COMPILED_CLASSIFIER = {
    "metadataOutputVersion": "3.0",
    "storagePrecision": "Float32",
    "outputSchema": [
        {
            "isOptional": "0",
            "keyType": "String",
            "formattedType": "Dictionary (String → Double)",
            "type": "Dictionary",
            "name": "classLabelProbs",
            "shortDescription": "Probability of each class.",
        },
        {
            "isOptional": "0",
            "formattedType": "String",
            "type": "String",
            "name": "classLabel",
            "shortDescription": "The most likely class.",
        },
    ],
    "modelParameters": [],
    "specificationVersion": 4,
    "computePrecision": "Float16",
    "isUpdatable": "0",
    "stateSchema": [],
    "availability": {"macOS": "10.15", "iOS": "13.0"},
    "modelType": {"name": "MLModelType_neuralNetworkClassifier"},
    "inputSchema": [
        {
            "height": "24",
            "colorspace": "RGB",
            "isOptional": "0",
            "width": "32",
            "isColor": "1",
            "formattedType": "Image (Color 32 × 24)",
            "hasSizeFlexibility": "0",
            "type": "Image",
            "shortDescription": "",
            "name": "image",
        }
    ],
    "classLabels": ["cat", "dog", "newt"],
    "generatedClassName": "net",
    "userDefinedMetadata": {},
    "neuralNetworkLayerTypeHistogram": {"Convolution": 1, "Softmax": 1},
    "method": "predict",
}
FLEXIBLE = references(
    [
        image(name="photo", color="BGR", ranges=(Range(16, 64, 24), Range(32, 96))),
        TensorInput(name="x", shape=(1, Range(2, 8, 4)), dtype="float16"),
        TensorInput(name="ids", shape=(1, 4), dtype="int32", enumerated=((1, 4), (1, 9))),
    ],
    [Output(name="y"), Output(name="picture", color="GRAYSCALE")],
    answered={"y": (1, 7), "picture": (1, 1, 24, 32)}.items(),
)
# and of an ML Program with sizes that vary
COMPILED_FLEXIBLE = {
    "metadataOutputVersion": "3.0",
    "inputSchema": [
        {
            "formattedType": "Image (Color 32 × 24)",
            "hasSizeFlexibility": "1",
            "shortDescription": "",
            "sizeRange": "[[32, 96], [16, 64]]",
            "width": "32",
            "type": "Image",
            "isColor": "1",
            "height": "24",
            "sizeFlexibility": "32...96 × 16...64",
            "colorspace": "BGR",
            "name": "photo",
            "isOptional": "0",
        },
        {
            "dataType": "Float16",
            "hasShapeFlexibility": "1",
            "isOptional": "0",
            "shapeFlexibility": "1 × 2...8",
            "shapeRange": "[[1, 1], [2, 8]]",
            "formattedType": "MultiArray (Float16 1 × 4)",
            "type": "MultiArray",
            "shape": "[1, 4]",
            "name": "x",
            "shortDescription": "",
        },
        {
            "dataType": "Int32",
            "hasShapeFlexibility": "1",
            "isOptional": "0",
            "shapeFlexibility": "1 × 4 | 1 × 9",
            "enumeratedShapes": "[[1, 4], [1, 9]]",
            "formattedType": "MultiArray (Int32 1 × 4)",
            "type": "MultiArray",
            "shape": "[1, 4]",
            "name": "ids",
            "shortDescription": "",
        },
    ],
    "outputSchema": [
        {
            "hasShapeFlexibility": "0",
            "isOptional": "0",
            "dataType": "Float32",
            "formattedType": "MultiArray (Float32 1 × 7)",
            "shortDescription": "",
            "shape": "[1, 7]",
            "name": "y",
            "type": "MultiArray",
        },
        {
            "height": "24",
            "colorspace": "Grayscale",
            "isOptional": "0",
            "width": "32",
            "isColor": "0",
            "formattedType": "Image (Grayscale 32 × 24)",
            "hasSizeFlexibility": "0",
            "type": "Image",
            "shortDescription": "",
            "name": "picture",
        },
    ],
    "mlProgramOperationTypeHistogram": {"Ios16.relu": 1},
    "generatedClassName": "net",
    "method": "predict",
}


def found(folder: Path, compiled, promised: References, format="mlpackage"):
    (folder / "metadata.json").write_text(json.dumps([compiled], ensure_ascii=False), encoding="utf-8")
    return differences(folder / "metadata.json", promised, format)


def test_a_compiled_model_as_it_was_promised_has_no_differences(tmp_path):
    assert found(tmp_path, COMPILED_CLASSIFIER, CLASSIFIER, "mlmodel") == ()
    assert found(tmp_path, COMPILED_FLEXIBLE, FLEXIBLE) == ()


def says(subject: str, words: str) -> str:
    return f"the {subject}: the compiled model says {words}"


IMAGE, PHOTO, X, IDS = "input 'image'", "input 'photo'", "input 'x'", "input 'ids'"
PROBABILITIES, LABEL, Y, PICTURE = "output 'classLabelProbs'", "output 'classLabel'", "output 'y'", "output 'picture'"
ANY = "16 to 64 × 32 to any, not 16 to 64 × 32 to 96"
LISTED = "8 × 16 or 24 × 32, not 16 to 64 × 32 to 96"
# where something changes in COMPILED_CLASSIFIER, to what, and the words
IN_CLASSIFIER = [
    (("inputSchema", 0, "width"), "33", [says(IMAGE, "size 24 × 33, not 24 × 32")]),
    (("inputSchema", 0, "colorspace"), "BGR", [says(IMAGE, "color layout BGR, not RGB")]),
    (("inputSchema", 0, "type"), "Double", [says(IMAGE, "Double, not Image")]),
    (
        ("inputSchema", 0, "name"),
        "data",
        [
            "the compiled model lacks the input 'image'; it has 'data'",
            "the compiled model has the input 'data', which was not promised",
        ],
    ),
    (("classLabels", 1), "cow", ["class label 1: the compiled model says 'cow', not 'dog'"]),
    (("classLabels",), ["cat", "dog"], ["the compiled model has 2 class labels, not 3"]),
    (("classLabels",), ["dog", "cat", "newt"], ["class label 0: the compiled model says 'dog', not 'cat'"]),
    (("outputSchema", 0, "keyType"), "Int64", [says(PROBABILITIES, "keys Int64, not String")]),
    (("outputSchema", 1, "type"), "Int64", [says(LABEL, "Int64, not String")]),
    (("outputSchema",), [], [f"the compiled model lacks the {name}; it has none" for name in (LABEL, PROBABILITIES)]),
]
# and in COMPILED_FLEXIBLE
IN_FLEXIBLE = [
    (("inputSchema", 0, "sizeRange"), "[[32, -1], [16, 64]]", [says(PHOTO, f"other sizes {ANY}")]),
    (("inputSchema", 0, "hasSizeFlexibility"), "0", [says(PHOTO, "other sizes none, not 16 to 64 × 32 to 96")]),
    (("inputSchema", 0, "enumeratedSizes"), "[[32, 24], [16, 8]]", [says(PHOTO, f"other sizes {LISTED}")]),
    (("inputSchema", 1, "dataType"), "Float32", [says(X, "dtype Float32, not Float16")]),
    (("inputSchema", 1, "shape"), "[1, 2]", [says(X, "shape 1 × 2, not 1 × 4")]),
    (("inputSchema", 1, "shape"), "[]", [says(X, "shape none, not 1 × 4")]),
    (("inputSchema", 2, "enumeratedShapes"), "[[1, 9], [1, 4]]", []),
    (("inputSchema", 2, "enumeratedShapes"), "[[1, 4]]", [says(IDS, "other shapes 1 × 4, not 1 × 4 or 1 × 9")]),
    (("outputSchema", 0, "shape"), "[7]", [says(Y, "shape 7, not 1 × 7")]),
    (("outputSchema", 0, "shape"), "[]", []),
    (("outputSchema", 0, "dataType"), "Double", [says(Y, "dtype Double, not Float32")]),
    (("outputSchema", 1, "colorspace"), "RGB", [says(PICTURE, "color layout RGB, not Grayscale")]),
    (("outputSchema", 1, "height"), "23", [says(PICTURE, "size 23 × 32, not 24 × 32")]),
]


def changed(compiled, path, value):
    result = copy.deepcopy(compiled)
    place = result
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return result


@pytest.mark.parametrize(("path", "value", "said"), IN_CLASSIFIER)
def test_every_difference_of_a_classifier_is_said(path, value, said, tmp_path):
    compiled = changed(COMPILED_CLASSIFIER, path, value)
    assert sorted(found(tmp_path, compiled, CLASSIFIER, "mlmodel")) == sorted(said)


@pytest.mark.parametrize(("path", "value", "said"), IN_FLEXIBLE)
def test_every_difference_of_sizes_shapes_and_types_is_said(path, value, said, tmp_path):
    assert sorted(found(tmp_path, changed(COMPILED_FLEXIBLE, path, value), FLEXIBLE)) == sorted(said)


def test_labels_that_the_compiled_model_does_not_list_are_not_compared(tmp_path):
    without = {key: value for key, value in COMPILED_CLASSIFIER.items() if key != "classLabels"}
    assert found(tmp_path, without, CLASSIFIER, "mlmodel") == ()


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "[{}]", "[1, 2]", '[{"inputSchema": [1], "outputSchema": []}]', "\N{SNOWMAN}",
     '[{"inputSchema": [{"name": "x", "type": "MultiArray", "dataType": "Int32", "shape": "4"}], "outputSchema": []}]'],
)  # fmt: skip
def test_what_is_no_metadata_is_an_error(text, tmp_path):
    (tmp_path / "metadata.json").write_text(text, encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"the compiled model's metadata\.json cannot be read: \w+Error"):
        differences(tmp_path / "metadata.json", CLASSIFIER, "mlmodel")


class Scores(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(channels, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(self.conv(x).mean((2, 3)))


class Picture(nn.Module):
    def forward(self, x):
        return torch.clamp(x * 50 + 100, 0, 255), x.mean()


class Sums(nn.Module):
    def forward(self, a, b):
        return a * 2 + b.float(), b + 1


SCORES, PICTURES = (Output(name="scores"),), (Output(name="seen", color="RGB"), Output(name="mean"))
SUMS = (Output(name="y"), Output(name="z", dtype="int32"))
RANGES = image(color="BGR", ranges=(Range(16, 64, 24), Range(16, 96, 32)))
SIZES = image(color="GRAYSCALE", normalization=GRAY, enumerated=((32, 48), (16, 16)))
SEQUENCE = (
    TensorInput(name="a", shape=(1, Range(2, 8, 4)), dtype="float32"),
    TensorInput(name="b", shape=(1, Range(2, 8, 4)), dtype="int32"),
)
SHAPES = TensorInput(name="a", shape=(1, 4), dtype="float32", enumerated=((1, 4), (3, 4)))
HALVES = TensorInput(name="a", shape=(1, 4), dtype="float16"), Output(name="y", dtype="float16")
# a format, a model, and the interface that it is converted with
CONVERTED = {
    "an image classifier as mlmodel": ("mlmodel", Scores(3), (image(),), SCORES, LABELS),
    "an image classifier as mlpackage": ("mlpackage", Scores(3), (image(),), SCORES, LABELS),
    "ranges of sizes": ("mlpackage", Scores(3), (RANGES,), SCORES, None),
    "enumerated sizes": ("mlmodel", Scores(1), (SIZES,), SCORES, None),
    "an image output": ("mlpackage", Picture(), (image(),), PICTURES, None),
    "integers and ranges as mlmodel": ("mlmodel", Sums(), SEQUENCE, SUMS, None),
    "integers and ranges as mlpackage": ("mlpackage", Sums(), SEQUENCE, SUMS, None),
    "enumerated shapes": ("mlpackage", nn.Linear(4, 2), (SHAPES,), SCORES, None),
    "halves": ("mlpackage", nn.Linear(4, 2), HALVES[:1], HALVES[1:], None),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_what_we_convert_is_what_we_promise(name, tmp_path):
    """The description that the compiler copies is the real one, of a real conversion."""
    format, module, inputs, outputs, classifier = CONVERTED[name]
    shapes = [(1, i.channels, *i.size) if isinstance(i, ImageInput) else i.default_shape for i in inputs]
    dtypes = [torch.int32 if getattr(i, "dtype", "") == "int32" else torch.float32 for i in inputs]
    example = [torch.zeros(shape, dtype=dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    answered = module.eval()(*example)
    answered = answered if isinstance(answered, tuple) else (answered,)
    promised = references(
        inputs, outputs, classifier, [(o.name, tuple(a.shape)) for o, a in zip(outputs, answered, strict=True)]
    )
    source = Source(
        name="net",
        place="models.yml:1:1 net",
        description="a net",
        interface=promised.interface,
        metadata=Metadata(),
        files=(),
        module=module,
        example=tuple(example),
    )
    target = Target(
        format=format, deployment_target="iOS14" if format == "mlmodel" else "iOS16", compute_precision="float32"
    )
    made = convert(source, "direct", target, tmp_path)
    stand_in = runpy.run_path(str(Path(__file__).parent / "stand_in" / "xcode.py"))
    (compiled,) = stand_in["metadata"](made.path)
    assert found(tmp_path, compiled, promised, format) == ()

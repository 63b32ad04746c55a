import json
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tree_sitter
import tree_sitter_swift
from PIL import Image

from converter.errors import ConverterError
from converter.model import (
    Classifier,
    ImageInput,
    Interface,
    Normalization,
    Output,
    Range,
    Reference,
    Sample,
    SeenPicture,
    TensorInput,
    VisionCheck,
)
from converter.validate import vision
from converter.validate.check import Answers
from converter.validate.gates import Gates
from converter.validate.pictures import fit_picture, seeded_picture
from converter.validate.references import Candidate, References

IMAGE = ImageInput(
    name="image", color="RGB", size=(4, 6), normalization=Normalization(scale=1 / 255, mean=(0.0,), std=(1.0,))
)
CLASSIFIER = Classifier(labels=("cat", "dog", "newt"), activation="softmax")
INTERFACE = Interface(inputs=(IMAGE,), outputs=(Output(name="scores"),), classifier=CLASSIFIER)
# What the source answers to three pictures: cat by far, newt by far, and dog by so little that a near tie is excused.
SCORES = [[9.0, 0.0, 1.0], [0.0, 1.0, 9.0], [2.0, 2.001, 0.0]]
EXPECTED = ["cat", "newt", "dog"]


def references(interface=INTERFACE, gates=None, sizes=((4, 6),) * 3) -> References:
    shapes = [(*size, 3) if interface.inputs[0].color != "GRAYSCALE" else size for size in sizes]
    random = np.random.default_rng(0)
    return References(
        model="net",
        interface=interface,
        gates=gates or Gates(),
        reference=Reference(
            samples=tuple(
                Sample(name=f"seed {i}", inputs={"image": random.integers(0, 256, shape).astype(np.uint8)})
                for i, shape in enumerate(shapes)
            ),
            outputs=tuple({"scores": np.array([row], np.float32)} for row in SCORES),
            labelled=(),
            labelled_scores=None,
            engine="torch",
            seconds=0.0,
        ),
        candidates=(),
    )


CANDIDATE = Candidate(file="net.mlpackage", precision="float16", answers=Answers(engine="", samples=()))
PROGRAM = """#!{python}
import json, sys
from pathlib import Path
answers = json.loads(Path(__file__).with_name("answers.json").read_text())
assert sys.argv[1].endswith(".mlmodelc")
for option, picture in zip(sys.argv[2::2], sys.argv[3::2], strict=True):
    assert Path(picture).is_file()
    named = answers[option + " " + Path(picture).name]
    print(json.dumps({{"picture": picture, "identifiers": named, "confidence": 0.5}}))
"""


NINE = "for i in 1 2 3 4 5 6 7 8 9; do echo '{}'; done"


@pytest.fixture
def looked(tmp_path: Path):
    """What comes of answers by option and picture; all are right, and wrong for stretched pictures, unless said."""
    program, folder = tmp_path / "classify", tmp_path / "pictures"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o700)
    folder.mkdir()

    def look(answers=(), stored=None, timeout_s=60):
        usual = {f"centerCrop {i}{kind}.png": [label] for i, label in enumerate(EXPECTED) for kind in ("", "-wide")}
        usual |= {f"scaleFill {i}-wide.png": ["dog" if i != 2 else "cat"] for i in range(3)}
        (tmp_path / "answers.json").write_text(json.dumps({**usual, **dict(answers)}))
        compiled = tmp_path / "net.mlmodelc"
        return vision.look(program, compiled, stored or references(), CANDIDATE, folder, timeout_s=timeout_s)

    look.program, look.folder = program, folder
    return look


def check(pictures, **changes) -> VisionCheck:
    return VisionCheck(model="net", file="net/net.mlpackage.zip", crop="centerCrop", pictures=pictures, **changes)


def test_every_sample_is_shown_as_it_is_and_widened(looked):
    pictures, notes = looked()
    assert [p.sample for p in pictures] == [f"seed {i}{kind}" for i in range(3) for kind in ("", ", widened")]
    assert [(p.expected, p.given) for p in pictures[::2]] == [(label, label) for label in EXPECTED]
    assert check(pictures).passed
    assert notes == ()
    stored = references().reference.samples[0].inputs["image"]
    assert (np.asarray(Image.open(looked.folder / "0.png")) == stored).all()


@pytest.mark.parametrize("color", ["RGB", "GRAYSCALE"])
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (7, 5), (6, 3), (1, 1), (2, 9)])
def test_of_a_widened_picture_only_the_middle_is_the_sample(size, color):
    """By the oracle that makes the samples: scale until it covers, crop the centre."""
    image = replace(IMAGE, size=size, color=color)
    pixels = seeded_picture(3, image)
    wide = Image.fromarray(vision.widened(pixels))
    assert wide.width >= 2 * pixels.shape[1]
    assert (fit_picture(wide, image) == pixels).all()
    stretched = np.asarray(wide.resize(size[::-1], Image.Resampling.BILINEAR))
    assert (stretched != pixels).any()


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        ({"centerCrop 0.png": ["newt"]}, ["seed 0 is 'newt', not 'cat'"]),
        ({"centerCrop 1-wide.png": ["cat"]}, ["seed 1, widened is 'cat', not 'newt'"]),
        ({"centerCrop 0.png": ["no label of this model"]}, ["seed 0 is 'no label of this model', not 'cat'"]),
        ({"centerCrop 2.png": ["newt"]}, ["seed 2 is 'newt', not 'dog'"]),
    ],
)
def test_another_class_fails_the_check(answers, wrong, looked):
    found = check(looked(answers)[0])
    assert not found.passed
    assert found.words.splitlines() == wrong


def test_a_near_tie_is_excused_and_marked(looked):
    pictures, _ = looked({"centerCrop 2.png": ["cat"]})
    assert check(pictures).passed
    assert [p for p in pictures if p.near_tie] == [
        SeenPicture(sample="seed 2", expected="dog", given="cat", confidence=0.5, near_tie=True)
    ]


def test_a_near_tie_is_none_where_the_gate_allows_no_drift(looked):
    pictures, _ = looked({"centerCrop 2.png": ["cat"]}, references(gates=Gates(max_abs_error=1e-6)))
    assert check(pictures).words == "seed 2 is 'cat', not 'dog'"


def test_a_class_that_is_as_confident_as_the_first_is_the_first(looked):
    """Half precision saturates at 1, and Vision has to put one of them first."""
    pictures, _ = looked({"centerCrop 0.png": ["newt", "cat"]})
    assert pictures[0] == SeenPicture(sample="seed 0", expected="cat", given="cat", confidence=0.5)


def test_the_share_that_has_to_agree_is_the_manifests(looked):
    pictures, _ = looked({"centerCrop 0.png": ["newt"]})
    assert not check(pictures, top1_limit=0.9).passed
    assert check(pictures, top1_limit=0.8).passed
    assert not check((), top1_limit=0.0).passed


def test_pictures_that_no_crop_changes_are_said_to_prove_less(looked):
    _, notes = looked({f"scaleFill {i}-wide.png": [label] for i, label in enumerate(EXPECTED)})
    assert notes == ("the widened pictures are named the same with scaleFill, so they do not show what was cropped",)


@pytest.mark.parametrize(
    "flexible", [{"enumerated": ((8, 8),)}, {"ranges": (Range(2, 8, 4), Range(2, 8, 6))}], ids=["listed", "ranges"]
)
def test_a_model_of_several_sizes_is_shown_its_default_size_alone(flexible, looked):
    interface = replace(INTERFACE, inputs=(replace(IMAGE, **flexible),))
    pictures, notes = looked(stored=references(interface, sizes=((4, 6), (8, 8), (4, 6))))
    assert [p.sample for p in pictures] == ["seed 0", "seed 2"]
    assert notes == ("the model takes several sizes, so nothing was shown that has to be cropped",)


def test_a_gray_picture_stays_gray(looked):
    gray = replace(INTERFACE, inputs=(replace(IMAGE, color="GRAYSCALE"),))
    looked(stored=references(gray))
    with Image.open(looked.folder / "0.png") as own, Image.open(looked.folder / "0-wide.png") as wide:
        assert (own.mode, wide.mode) == ("L", "L")


def test_without_a_picture_of_the_models_size_nothing_is_promised(looked):
    with pytest.raises(ConverterError, match="no stored sample has the model's own size"):
        looked(stored=references(sizes=((8, 8),) * 3))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Vision has answered to 0 of 9 pictures"),
        ("echo '{}'", "Vision has answered to 1 of 9 pictures"),
        (NINE.format("{"), r"what came for 0\.png is no answer: '\{'"),
        (
            NINE.format('{"picture": "other", "identifiers": ["cat"], "confidence": 1}'),
            "what came for 0.png is no answer",
        ),
        ("echo 'Error: no Metal' >&2; exit 1", r"classify ended with exit code 1\n    Error: no Metal"),
        ("kill -ABRT $$", r"classify was ended by SIGABRT"),
        ("sleep 3600", r"classify: no answer within 1 s"),
    ],
)
def test_what_is_no_answer_is_an_error_in_words(text, said, looked):
    looked.program.write_text(f"#!/bin/sh\n{text}\n")
    with pytest.raises(ConverterError, match=said):
        looked(timeout_s=1 if "sleep" in text else 60)


@pytest.mark.parametrize("identifiers", [[], "cat", None, {}])
def test_an_answer_without_a_class_is_an_error(identifiers, looked):
    with pytest.raises(ConverterError, match=r"what came for 1\.png is no answer"):
        looked({"centerCrop 1.png": identifiers})


@pytest.mark.parametrize(
    ("interface", "seen"),
    [
        (INTERFACE, IMAGE),
        (replace(INTERFACE, classifier=None), None),
        (replace(INTERFACE, inputs=(IMAGE, IMAGE)), None),
        (replace(INTERFACE, inputs=(TensorInput(name="x", shape=(1,), dtype="float32"),)), None),
    ],
    ids=["an image classifier", "no classifier", "two images", "a tensor"],
)
def test_vision_is_asked_where_it_gives_classes_for_an_image(interface, seen):
    assert vision.seen_image(interface) == seen


def test_every_file_of_the_package_that_is_no_module_is_installed_with_it():
    root = Path(vision.__file__).parents[2]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["converter"]
    installed = {path for pattern in patterns for path in (root / "converter").glob(pattern)}
    others = {
        path for path in (root / "converter").rglob("*.*") if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert root / "converter/validate/classify.swift" in others
    assert others <= installed


@pytest.mark.parametrize(("more", "broken"), [(b"", False), (b"func (", True), (b"let x = [1, ", True)])
def test_the_swift_program_is_swift(more, broken):
    """By a grammar, as no Swift compiler is needed to develop."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))
    program = Path(vision.__file__).with_name("classify.swift").read_bytes()
    assert parser.parse(program + more).root_node.has_error is broken

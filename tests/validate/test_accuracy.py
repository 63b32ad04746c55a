"""Labelled sets of each kind, from the saved file's answers to words, held against counting by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from converter.errors import SourceError, ValidationError
from converter.model import (
    Attachments,
    Classifier,
    Interface,
    LabelledTask,
    Metadata,
    Output,
    OutputLimits,
    Sample,
    Source,
    TensorInput,
)
from converter.validate import reference_of
from converter.validate.accuracy import share
from converter.validate.check import answers, judge
from converter.validate.engines import Engine
from converter.validate.gates import Gates
from converter.validate.reference import reference
from converter.validate.references import Candidate, References, read_references, write_references

SEGMENTATION = LabelledTask(kind="segmentation")
DETECTION = LabelledTask(kind="detection", boxes="boxes", scores="scores", classes="classes")
GRID = TensorInput(name="x", shape=(1, 3, 6, 8), dtype="float32")


class Alike(nn.Module):
    """Gives a segmentation's input as its scores."""

    def forward(self, x):
        return x + 0.0


class Boxes(nn.Module):
    """A detector whose input is already what it answers: four numbers, a score and a class for each box."""

    def forward(self, x):
        return x[:, :4] + 0.0, x[:, 4] + 0.0, x[:, 5] + 0.0


def source_of(module, spec, outputs, **further) -> Source:
    interface = Interface(inputs=(spec,), outputs=tuple(Output(name=name) for name in outputs), **further)
    return Source(
        name="net", place="models.yml:1:1 net", description="", interface=interface, metadata=Metadata(), files=(),
        module=module.eval(),
    )  # fmt: skip


class Saved:
    """Answers as a saved file of the source would, `spoil` having changed what it was given."""

    def __init__(self, source, spoil):
        self.source, self.spoil = source, spoil

    def activation_input(self, output):
        return None

    def predict(self, inputs, *, outputs=None):
        given = torch.from_numpy(self.spoil(np.array(inputs["x"])))
        with torch.no_grad():
            found = self.source.module(given)
        found = found if isinstance(found, tuple) else (found,)
        named = {o.name: v.numpy() for o, v in zip(self.source.interface.outputs, found, strict=True)}
        classifier = self.source.interface.classifier
        if classifier:
            scores = next(iter(named.values())).ravel()
            named |= {"classLabelProbs": dict(zip(classifier.labels, scores.tolist(), strict=True))}
            named["classLabel"] = classifier.labels[int(scores.argmax())]
        return named


def engine(source, spoil=lambda x: x):
    return Engine(name="stand-in", load=lambda path: Saved(source, spoil))


LOOSE = Gates(psnr_db=-100)


def checked(source, asked, spoil=lambda x: x, gates=LOOSE):
    given = answers(Path("net.mlmodel"), asked, source.interface, engine(source, spoil))
    return judge(given, asked, interface=source.interface, precision="float32", gates=gates), given


def scenes(count=12):
    """Scores whose best class is the mask's nearly everywhere."""
    random = np.random.default_rng(4)
    for index in range(count):
        mask = random.integers(0, 3, (6, 8)).astype(np.int32)
        scores = np.eye(3, dtype=np.float32)[mask].transpose(2, 0, 1)[None].copy()
        wrong = random.random((6, 8)) < 0.1
        scores[0, :, wrong] = random.random((int(wrong.sum()), 3))
        mask[0, index % 8] = 255
        yield Sample(name=f"{index}", inputs={"x": scores}, truth={"mask": mask})


@pytest.fixture
def segmented():
    source = source_of(Alike(), GRID, ["scores"])
    asked = list(scenes())
    return source, reference(source, asked[:3], asked, SEGMENTATION)


def iou_by_hand(samples, map_of):
    each = []
    for label in range(3):
        both = either = 0
        for sample in samples:
            mask, given = sample.truth["mask"], map_of(sample.inputs["x"])
            counts = mask != 255
            both += int(((mask == label) & (given == label) & counts).sum())
            either += int((((mask == label) | (given == label)) & counts).sum())
        each.append(both / either)
    return np.mean(each)


def shift(x):
    return np.roll(x, 1, axis=3)


def test_a_segmentation_is_held_to_its_masks(segmented):
    source, asked = segmented
    same, _ = checked(source, asked)
    worse, _ = checked(source, asked, shift, Gates(psnr_db=-100, min_mean_iou=0.9, max_mean_iou_drop=0.01))
    (right,), (moved,) = same.accuracies, worse.accuracies
    assert right.value == pytest.approx(iou_by_hand(asked.labelled, lambda x: x[0].argmax(0)))
    assert moved.value == pytest.approx(iou_by_hand(asked.labelled, lambda x: shift(x)[0].argmax(0)))
    assert moved.reference == right.reference == right.value
    assert right.interval == right.reference_interval
    assert right.interval[0] < right.value < right.interval[1]
    assert (right.p_value, moved.p_value < 0.05) == (1.0, True)
    assert [gate.name for gate in worse.gates if not gate.passed] == ["min_mean_iou", "max_mean_iou_drop"]
    assert same.accuracy is None
    assert right.words.endswith("both are equal")
    assert "is significant, p = 0.002" in moved.words


def test_seeing_the_source_in_the_place_of_the_saved_file_would_show(segmented):
    """The candidate's figure comes from its own answers, the source's from its own, on the same masks."""
    source, asked = segmented
    worse, _ = checked(source, asked, shift)
    swapped = replace(
        asked,
        labelled_predictions=tuple({"mask": shift(p["mask"][None, None])[0, 0]} for p in asked.labelled_predictions),
    )
    better, _ = checked(source, swapped)
    assert better.accuracies[0].value == worse.accuracies[0].reference
    assert better.accuracies[0].reference == worse.accuracies[0].value


@pytest.fixture
def detected():
    random = np.random.default_rng(6)
    source = source_of(Boxes(), TensorInput(name="x", shape=(8, 6), dtype="float32"), ["boxes", "scores", "classes"])
    asked = []
    for index in range(14):
        count = index % 4
        corners = random.uniform(0, 50, (8, 2))
        rows = np.concatenate([corners, corners + random.uniform(10, 30, (8, 2)), np.zeros((8, 2))], axis=1)
        rows[:count, 4], rows[:, 5] = np.linspace(0.9, 0.5, 8)[:count], random.integers(1, 3, 8)
        truth = {"boxes": rows[:count, :4].astype(np.float32), "classes": rows[:count, 5].astype(np.int32)}
        asked.append(Sample(name=f"{index}", inputs={"x": rows.astype(np.float32)}, truth=truth))
    return source, reference(source, asked[1:3], asked, DETECTION)


def widen(x):
    """Boxes half as wide again: IoU is 2/3, above the first four thresholds of ten."""
    x[:, 2] += (x[:, 2] - x[:, 0]) / 2
    return x


def test_a_detection_is_held_to_its_boxes(detected):
    source, asked = detected
    same, _ = checked(source, asked)
    worse, _ = checked(source, asked, widen, Gates(psnr_db=-100, max_map_drop=0.5, max_map50_drop=0.0))
    assert [(a.metric, a.value, a.reference) for a in same.accuracies] == [("map", 1, 1), ("map50", 1, 1)]
    assert [round(a.value, 9) for a in worse.accuracies] == [0.4, 1.0]
    assert [gate.name for gate in worse.gates if not gate.passed] == ["max_map_drop"]
    assert worse.accuracies[0].p_value < 0.01 < worse.accuracies[1].p_value


@pytest.mark.parametrize("kind", ["segmented", "detected"])
def test_stored_sets_are_judged_as_fresh_ones_were(kind, request, tmp_path: Path):
    source, asked = request.getfixturevalue(kind)
    fresh, given = checked(source, asked, lambda x: x * np.float32(1.01))
    kept = References(
        model="net",
        interface=source.interface,
        gates=Gates(psnr_db=-100, outputs={"scores": OutputLimits(top1=0.5)}, skip={"top1": "for a test"}),
        reference=asked,
        candidates=(Candidate(file="net.mlmodel", precision="float32", answers=given),),
    )
    write_references(tmp_path / "1.npz", kept)
    found = read_references(tmp_path / "1.npz")
    write_references(tmp_path / "2.npz", found)
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    assert (found.gates, found.reference.task) == (kept.gates, asked.task)
    again, _ = checked(source, found.reference, lambda x: x * np.float32(1.01))
    by_record = judge(
        found.candidates[0].answers, found.reference, interface=source.interface, precision="float32", gates=LOOSE
    )
    assert fresh.accuracies == again.accuracies == by_record.accuracies


def classifier_of(classes=8):
    labels = tuple(f"class {index}" for index in range(classes))
    spec = TensorInput(name="x", shape=(1, classes), dtype="float32")
    return source_of(Alike(), spec, ["scores"], classifier=Classifier(labels=labels))


def scored(source, ranks):
    """Samples whose label the source ranks so, from 0."""
    random = np.random.default_rng(7)
    for index, rank in enumerate(ranks):
        scores = random.permutation(8).astype(np.float32)[None]
        label = source.interface.classifier.labels[int(np.argsort(-scores[0])[rank])]
        yield Sample(name=f"{index}", inputs={"x": scores}, label=label)


def test_a_classifier_is_held_to_the_first_class_and_to_the_first_five():
    source = classifier_of()
    ranks = [0] * 20 + [3] * 6 + [4] * 3 + [5] * 2 + [7]
    labelled = list(scored(source, ranks))
    asked = reference(source, labelled[:4], labelled)
    backwards, _ = checked(source, asked, np.negative, Gates(psnr_db=-100, top1=0, max_top5_drop=0.1))
    first, five = backwards.accuracies
    assert (first.metric, first.samples, first.reference, first.value) == ("top1", 32, 20 / 32, 1 / 32)
    # from behind: ranks 3, 4, 5 and 7 are 4, 3, 2 and 0
    assert (five.metric, five.reference, five.value) == ("top5", 29 / 32, 12 / 32)
    assert (backwards.accuracy, backwards.reference_accuracy) == (first.value, first.reference)
    assert [gate.name for gate in backwards.gates if not gate.passed] == ["max_top5_drop"]


def test_the_words_of_an_accuracy_are_those_of_a_report():
    right = np.arange(360) < 351
    said = share("top1", np.roll(np.arange(360) < 350, 1), right).words
    assert said == (
        "top-1 accuracy is 97.2 % (95 % CI 95.0 to 98.5) on 360 samples, the source's is 97.5 %; the difference is not "
        "significant, p = 1"
    )
    assert share("top1", right, right).words.endswith("the source's is 97.5 %; both are equal")


def test_a_record_without_the_five_first_classes_still_has_its_accuracy():
    source = classifier_of()
    labelled = list(scored(source, [0, 0, 1, 0]))
    asked = reference(source, labelled, labelled)
    _, given = checked(source, asked)
    old = judge(replace(given, predictions=()), asked, interface=source.interface, precision="float32", gates=Gates())
    assert [(a.metric, a.value) for a in old.accuracies] == [("top1", 0.75)]
    asked_more = judge(
        replace(given, predictions=()),
        asked,
        interface=source.interface,
        precision="float32",
        gates=Gates(min_top5=0.5),
    )
    assert "top-5 accuracy is not checked here: the answers do not tell it" in asked_more.notes


def test_a_limit_that_every_model_holds_is_refused():
    with pytest.raises(ValidationError, match="the first 5 of 5 classes are always right"):
        reference_of(classifier_of(5), Attachments(), seeds=2, gates=Gates(max_top5_drop=0.1))
    assert reference_of(classifier_of(6), Attachments(), seeds=2, gates=Gates(max_top5_drop=0.1)).samples


SKIPS = {"scores": "the app does not read them", "min_mean_iou": "the masks are drafts"}


def test_what_is_skipped_is_measured_and_said_and_does_not_fail(segmented):
    source, asked = segmented
    strict = Gates(min_mean_iou=0.99, max_mean_iou_drop=1)
    held, _ = checked(source, asked, shift, strict)
    let_pass, _ = checked(source, asked, shift, replace(strict, skip=SKIPS))
    assert {gate.name for gate in held.gates if not gate.passed} == {"psnr_db", "min_mean_iou"}
    assert [gate.name for gate in let_pass.gates] == ["max_mean_iou_drop"]
    assert let_pass.passed
    assert let_pass.metrics == held.metrics
    said = [note for note in let_pass.notes if "skipped" in note]
    assert [note.partition(":")[0] for note in said] == [
        "psnr_db is skipped (the app does not read them); it would fail",
        "min_mean_iou is skipped (the masks are drafts); it would fail",
    ]


def test_an_output_that_cannot_be_compared_may_be_skipped(detected):
    source, asked = detected
    fewer = dict.fromkeys(("boxes", "scores", "classes"), "their number differs")
    with pytest.raises(ValidationError, match="the source answers with shape"):
        checked(source, asked, lambda x: x[:6])
    validation, _ = checked(source, asked, lambda x: x[:6], Gates(min_map=0.9, skip=fewer))
    assert validation.passed
    assert [gate.name for gate in validation.gates] == ["min_map"]
    assert "boxes is skipped (their number differs), and cannot be compared: the source answers" in " ".join(
        validation.notes
    )


def test_a_reason_to_skip_what_was_not_to_be_held_is_said_too(segmented):
    source, asked = segmented
    validation, _ = checked(
        source, asked, gates=Gates(skip={"max_abs_error": "it saturates", "min_mean_iou": "drafts"})
    )
    assert [note for note in validation.notes if "skipped" in note] == [
        "max_abs_error is skipped (it saturates), and was not to be held",
        "min_mean_iou is skipped (drafts), and was not to be held",
    ]


def test_a_model_of_which_everything_is_skipped_is_refused(segmented):
    source, asked = segmented
    with pytest.raises(ValidationError, match="every gate is skipped, so nothing would be promised"):
        checked(source, asked, gates=Gates(skip={"psnr_db": "no reason"}))


def test_an_output_of_scores_may_have_a_gate_of_its_own_for_its_classes(detected):
    source, asked = detected
    validation, _ = checked(
        source, asked, np.negative, Gates(psnr_db=-100, outputs={"classes": OutputLimits(psnr_db=60, top1=0.75)})
    )
    limits = {gate.words.split()[2]: gate.limit for gate in validation.gates if gate.name == "psnr_db"}
    assert limits == {"boxes": -100, "scores": -100, "classes": 60}
    assert [gate.name for gate in validation.gates if not gate.passed] == ["psnr_db", "top1"]


@pytest.mark.parametrize(
    ("task", "gates", "words"),
    [
        (LabelledTask(kind="segmentation", output="mask"), Gates(), "held against mask, which the model does not have"),
        (replace(DETECTION, boxes="box", scores="score"), Gates(), "held against box, score, classes"),
        (SEGMENTATION, Gates(skip={"min_map": "none"}), "`skip` names min_map"),
    ],
)
def test_names_that_the_model_does_not_have_are_refused_before_anything_is_asked(task, gates, words):
    source = source_of(Alike(), GRID, ["scores"])
    with pytest.raises(ValidationError, match=words) as refused:
        reference_of(source, Attachments(), seeds=2, task=task, gates=gates)
    assert refused.value.where == ("models.yml:1:1 net", "validate")


def test_a_source_whose_output_is_no_label_map_is_refused_with_its_sample():
    source = source_of(Alike(), TensorInput(name="x", shape=(2, 5), dtype="float32"), ["scores"])
    asked = [
        Sample(name="first", inputs={"x": np.full((2, 5), 0.5, np.float32)}, truth={"mask": np.zeros((2, 5), int)})
    ]
    with pytest.raises(ValidationError, match=r"net > validate > sample first: .* holds fractions"):
        reference(source, asked, asked, SEGMENTATION)


def test_a_labelled_set_of_a_segmentation_is_read_from_arrays(tmp_path: Path):
    source = source_of(Alike(), GRID, ["scores"])
    asked = list(scenes(5))
    inputs = np.stack([sample.inputs["x"] for sample in asked])
    np.savez(tmp_path / "held.npz", x=inputs, masks=np.stack([sample.truth["mask"] for sample in asked]))
    found = reference_of(source, Attachments(labelled=tmp_path / "held.npz"), seeds=2, task=SEGMENTATION)
    validation, _ = checked(source, found)
    assert validation.accuracies[0].value == pytest.approx(iou_by_hand(asked, lambda x: x[0].argmax(0)))
    with pytest.raises(SourceError, match="the model takes x, labels"):
        reference_of(source, Attachments(labelled=tmp_path / "held.npz"), seeds=2)

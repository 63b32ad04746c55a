import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import box_convert, box_iou

from converter.errors import ValidationError
from converter.model import LabelledTask
from converter.validate.detection import MOST_BOXES, Matches, detections, iou

CASES = json.loads((Path(__file__).parent / "oracles/expected.json").read_text())["detections"]
TASK = LabelledTask(kind="detection", boxes="b", scores="s", classes="c")


def arrays(entry):
    # unequal pictures come in any order of their scores; `detections` sorts them, as COCO does
    return {
        "b": np.array(entry["boxes"]).reshape(-1, 4),
        "s": np.array(entry.get("scores", [])),
        "c": np.array(entry["classes"]),
    }


def matches(case):
    given = [detections(arrays(entry), TASK, None) for entry in case["answers"]]
    truths = [
        {"boxes": np.array(t["boxes"], np.float32).reshape(-1, 4), "classes": np.array(t["classes"], np.int32)}
        for t in case["truths"]
    ]
    return Matches(given, truths)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_mean_average_precision_is_that_of_cocos_own_code(case):
    found = matches(case)
    once, repeated = np.ones((1, len(case["truths"]))), np.array([case["repeats"]])
    for weights, expected in ((once, case["expected"]), (repeated, case["expected_repeated"])):
        by_threshold = found.mean_ap(weights)[0]
        assert [by_threshold.mean(), by_threshold[0]] == pytest.approx(expected, abs=1e-6)


def test_what_is_there_is_found_by_a_detector_that_answers_with_it():
    truth = {"boxes": np.array([[0, 0, 9, 9], [5, 5, 30, 20]], np.float32), "classes": np.array([1, 2])}
    given = {**truth, "scores": np.array([0.9, 0.8])}
    assert Matches([given], [truth]).mean_ap(np.ones((1, 1)))[0].mean() == pytest.approx(1)
    nothing = {name: array[:0] for name, array in given.items()}
    assert Matches([nothing], [truth]).mean_ap(np.ones((1, 1)))[0].mean() == 0


def test_only_a_hundred_boxes_a_picture_and_class_count():
    truth = {"boxes": np.array([[0, 0, 9, 9]], np.float32), "classes": np.array([1])}

    def ap(wrong):
        boxes = np.array([*([[50, 50, 60, 60]] * wrong), [0, 0, 9, 9]], np.float32)
        given = {"boxes": boxes, "scores": np.linspace(1, 0.5, wrong + 1), "classes": np.ones(wrong + 1, int)}
        return Matches([given], [truth]).mean_ap(np.ones((1, 1)))[0].mean()

    assert ap(MOST_BOXES - 1) == pytest.approx(1 / MOST_BOXES)
    assert ap(MOST_BOXES) == 0


def test_overlap_is_torchvisions():
    random = np.random.default_rng(0)
    corners = random.uniform(0, 50, (2, 12, 2))
    boxes, others = np.concatenate([corners, corners + random.uniform(1, 40, (2, 12, 2))], axis=2)
    np.testing.assert_allclose(
        iou(boxes, others), box_iou(torch.tensor(boxes), torch.tensor(others)).numpy(), rtol=1e-6
    )


@pytest.mark.parametrize("form", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("normalized", [False, True])
def test_boxes_are_read_in_the_form_that_the_manifest_says(form, normalized):
    corners = torch.tensor([[10.0, 4.0, 30.0, 12.0], [1.0, 2.0, 3.0, 8.0]])
    given = box_convert(corners, "xyxy", form).numpy() / ([40, 20, 40, 20] if normalized else 1)
    task = LabelledTask(kind="detection", boxes="b", scores="s", classes="c", box_format=form, normalized=normalized)
    values = {"b": given[None], "s": np.array([[0.5, 0.9]]), "c": np.array([[1.0, 3.0]])}
    found = detections(values, task, (20, 40))
    np.testing.assert_allclose(found["boxes"], corners.numpy()[::-1], rtol=1e-6)
    assert (found["classes"].tolist(), found["scores"].tolist()) == ([3, 1], pytest.approx([0.9, 0.5]))


def test_without_classes_each_box_takes_its_best_score():
    task = LabelledTask(kind="detection", boxes="b", scores="s", min_score=0.1)
    values = {"b": np.zeros((3, 4)), "s": np.array([[0.1, 0.7], [0.6, 0.2], [0.05, 0.1]])}
    found = detections(values, task, None)
    assert found["classes"].tolist() == [1, 0]  # the third is only padding


@pytest.mark.parametrize(
    "values",
    [
        {"b": np.zeros((3, 5)), "s": np.zeros(3), "c": np.zeros(3)},
        {"b": np.zeros((3, 4)), "s": np.zeros(2), "c": np.zeros(3)},
        {"b": np.zeros((3, 4)), "s": np.zeros(3), "c": np.zeros(1)},
        {"b": np.zeros(4), "s": np.zeros(4), "c": np.zeros(4)},
    ],
)
def test_outputs_that_do_not_belong_together_are_refused(values):
    with pytest.raises(ValidationError, match="these outputs are no boxes with scores and classes"):
        detections(values, TASK, None)

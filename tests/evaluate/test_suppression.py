"""Non-maximum suppression, held to torchvision and to boxes counted by hand."""

import numpy as np
import pytest
import torch
import torchvision
from coremltools.proto import FeatureTypes_pb2, Model_pb2

from converter.errors import EvaluationError
from converter.evaluate import load_model

DOUBLE = FeatureTypes_pb2.ArrayFeatureType.DOUBLE


def feature(container, name, rows=None, columns=0):
    added = container.add(name=name)
    added.type.multiArrayType.dataType = DOUBLE
    if rows is not None:
        sizes = added.type.multiArrayType.shapeRange.sizeRanges
        sizes.add(lowerBound=rows[0], upperBound=rows[1])
        sizes.add(lowerBound=columns, upperBound=columns)


def saved(folder, *, per_class=False, rows=None, classes=2):
    spec = Model_pb2.Model(specificationVersion=3)
    message = spec.nonMaximumSuppression
    message.pickTop.perClass = per_class
    message.iouThreshold, message.confidenceThreshold = 0.5, 0.25
    message.confidenceInputFeatureName, message.coordinatesInputFeatureName = "raw_confidence", "raw_coordinates"
    message.iouThresholdInputFeatureName = "iouThreshold"
    message.confidenceThresholdInputFeatureName = "confidenceThreshold"
    message.confidenceOutputFeatureName, message.coordinatesOutputFeatureName = "confidence", "coordinates"
    feature(spec.description.input, "raw_confidence")
    feature(spec.description.input, "raw_coordinates")
    for name in ("iouThreshold", "confidenceThreshold"):
        added = spec.description.input.add(name=name)
        added.type.doubleType.SetInParent()
        added.type.isOptional = True
    feature(spec.description.output, "confidence", rows, classes)
    feature(spec.description.output, "coordinates", rows, 4)
    path = folder / "nms.mlmodel"
    path.write_bytes(spec.SerializeToString())
    return path


def detections(count=40, classes=3, seed=0):
    random = np.random.default_rng(seed)
    boxes = np.concatenate([random.uniform(0.2, 0.8, (count, 2)), random.uniform(0.1, 0.5, (count, 2))], 1)
    return {
        "raw_confidence": random.uniform(0, 1, (count, classes)).astype(np.float32),
        "raw_coordinates": boxes.astype(np.float32),
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("per_class", [False, True])
def test_the_boxes_kept_are_torchvisions(per_class, seed, tmp_path):
    given = detections(seed=seed)
    answer = load_model(saved(tmp_path, per_class=per_class)).predict(given)
    scores, labels = torch.from_numpy(given["raw_confidence"]).max(1)
    above = torch.nonzero(scores >= 0.25)[:, 0]
    corners = torchvision.ops.box_convert(torch.from_numpy(given["raw_coordinates"]), "cxcywh", "xyxy")[above]
    if per_class:
        kept = above[torchvision.ops.batched_nms(corners, scores[above], labels[above], 0.5)]
    else:
        kept = above[torchvision.ops.nms(corners, scores[above], 0.5)]
    assert 1 < len(kept) < 40
    np.testing.assert_array_equal(answer["confidence"], given["raw_confidence"][kept])
    np.testing.assert_array_equal(answer["coordinates"], given["raw_coordinates"][kept])


def test_thresholds_may_be_given_with_the_inputs(tmp_path):
    given, model = detections(), load_model(saved(tmp_path))
    every = model.predict({**given, "iouThreshold": 1.0, "confidenceThreshold": 0.0})
    assert len(every["confidence"]) == 40
    assert len(model.predict({**given, "confidenceThreshold": 2.0})["confidence"]) == 0


@pytest.mark.parametrize(("rows", "expected"), [((3, 3), 3), ((0, -1), 2), ((0, 1), 1), ((4, 9), 4)])
def test_the_outputs_shape_limits_and_fills_the_rows(rows, expected, tmp_path):
    given = {
        "raw_confidence": [[0.9, 0.1], [0.8, 0.0], [0.3, 0.6]],
        "raw_coordinates": [[0.5, 0.5, 0.2, 0.2], [0.51, 0.5, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1]],
    }
    answer = load_model(saved(tmp_path, rows=rows)).predict(given)
    wanted = [[0.9, 0.1], [0.3, 0.6], [0, 0], [0, 0]][:expected]
    np.testing.assert_allclose(answer["confidence"], wanted)
    assert answer["coordinates"].shape == (expected, 4)


def test_more_rows_than_memory_can_hold_are_refused(tmp_path):
    with pytest.raises(EvaluationError, match="are the most"):
        load_model(saved(tmp_path, rows=(2**40, 2**40), classes=3)).predict(detections())


def changed(path, change):
    spec = Model_pb2.Model.FromString(path.read_bytes())
    change(spec)
    path.write_bytes(spec.SerializeToString())
    return path


def test_an_output_that_is_no_suppressions_is_refused(tmp_path):
    path = changed(saved(tmp_path), lambda spec: feature(spec.description.output, "third"))
    with pytest.raises(EvaluationError, match="the output 'third' is computed nowhere"):
        load_model(path).predict(detections())


def test_boxes_may_be_called_an_optional_number_and_are_needed(tmp_path):
    def optional(spec):
        spec.description.input[1].type.doubleType.SetInParent()
        spec.description.input[1].type.isOptional = True

    given = detections()
    del given["raw_coordinates"]
    with pytest.raises(EvaluationError, match="the input 'raw_coordinates' is missing"):
        load_model(changed(saved(tmp_path), optional)).predict(given)


def test_boxes_and_confidences_must_belong_together(tmp_path):
    with pytest.raises(EvaluationError, match=r"got \[2, 2\] and \[3, 4\]"):
        load_model(saved(tmp_path)).predict({"raw_confidence": np.zeros((2, 2)), "raw_coordinates": np.zeros((3, 4))})

"""Writes expected.json beside it: what pycocotools, scipy and statsmodels make of seeded answers.

pip install numpy==2.4.6 pycocotools==2.0.11 scipy==1.17.1 statsmodels==0.15.0
python tests/validate/oracles/make.py
"""

import contextlib
import io
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint


def scene(seed):
    """Pictures with boxes that are there, and a detector's answers: moved, missed, doubled, wrong and made up."""
    random = np.random.default_rng(seed)
    truths, answers = [], []
    for _ in range(10):
        count = int(random.integers(0, 7))
        corners = random.uniform(0, 70, (count, 2))
        boxes = np.concatenate([corners, corners + random.uniform(8, 30, (count, 2))], axis=1).round(2)
        classes = random.integers(1, 5, count)
        truths.append({"boxes": boxes.tolist(), "classes": classes.tolist()})
        found = random.random(count) < 0.85
        given = np.repeat(boxes[found], 2, axis=0) + random.normal(0, 2.5, (2 * int(found.sum()), 4))
        named = np.repeat(classes[found], 2)
        named[random.random(len(named)) < 0.15] = 2
        made_up = random.uniform(0, 60, (3, 2))
        given = np.concatenate([given, np.concatenate([made_up, made_up + 20], axis=1)]).round(2)
        named = np.concatenate([named, random.integers(1, 5, 3)])
        scores = (np.arange(len(named)) * 0.037 + random.random()).round(3) % 1  # no two of a picture are equal
        answers.append({"boxes": given.tolist(), "scores": scores.tolist(), "classes": named.tolist()})
    return truths, answers


def sides(box):
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def coco(truths, answers, repeats):
    """COCO's mAP at 0.5:0.95 and at 0.5 of these pictures, each taken as often as `repeats` says."""
    pictures = [index for index, count in enumerate(repeats) for _ in range(count)]
    categories = [{"id": index} for index in range(1, 5)]
    boxes, found = [], []
    for number, index in enumerate(pictures, 1):
        for box, label in zip(truths[index]["boxes"], truths[index]["classes"], strict=True):
            area = sides(box)[2] * sides(box)[3]
            entry = {"image_id": number, "category_id": label, "bbox": sides(box), "area": area, "iscrowd": 0}
            boxes.append({"id": len(boxes) + 1, **entry})
        given = answers[index]
        for box, score, label in zip(given["boxes"], given["scores"], given["classes"], strict=True):
            found.append({"image_id": number, "category_id": label, "bbox": sides(box), "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {"images": [{"id": n + 1} for n in range(len(pictures))], "annotations": boxes}
        known.dataset["categories"] = categories
        known.createIndex()
        evaluated = COCOeval(known, known.loadRes(found), "bbox")
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    return evaluated.stats[:2].tolist()


def detections():
    for seed in range(6):
        truths, answers = scene(seed)
        repeats = np.random.default_rng(100 + seed).integers(0, 3, len(truths)).tolist()
        yield {
            "truths": truths,
            "answers": answers,
            "repeats": repeats,
            "expected": coco(truths, answers, [1] * len(truths)),
            "expected_repeated": coco(truths, answers, repeats),
        }


def main():
    wilson = []
    for right, count in [(0, 1), (1, 1), (0, 20), (20, 20), (5, 10), (353, 360), (81, 263), (4999, 5000), (1, 50000)]:
        ours = proportion_confint(right, count, alpha=0.05, method="wilson")
        exact = binomtest(right, count).proportion_ci(0.95, method="wilson")
        assert np.allclose(ours, (exact.low, exact.high), atol=1e-12)
        wilson.append({"right": right, "count": count, "expected": [exact.low, exact.high]})
    pairs = []
    for lost, won in [(0, 0), (1, 0), (5, 0), (6, 0), (2, 9), (9, 2), (7, 7), (8, 7), (30, 12), (800, 690), (1500, 1)]:
        table = mcnemar([[11, lost], [won, 3]], exact=True).pvalue
        if lost + won:
            assert np.isclose(table, binomtest(lost, lost + won).pvalue, rtol=1e-9, atol=1e-300)
        pairs.append({"lost": lost, "won": won, "expected": 1.0 if lost + won == 0 else float(table)})
    versions = {name: version(name) for name in ("numpy", "pycocotools", "scipy", "statsmodels")}
    found = {"versions": versions, "wilson": wilson, "mcnemar": pairs, "detections": list(detections())}
    text = json.dumps(found, separators=(",", ":"))
    for key in ('"wilson"', '"mcnemar"', '"detections"', '{"truths"', '"answers"'):
        text = text.replace(key, f"\n{key}")
    Path(__file__).with_name("expected.json").write_text(text + "\n")


main()

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from coremltools.converters.mil.mil import Builder as mb

DISTINCT = np.random.default_rng(3).permutation(24).astype(np.float32).reshape(2, 3, 4)
INDICES = np.array([[0, 3], [2, 1]], np.int32)
CENTERS = np.array(
    [[[5, 5, 4, 4], [5.5, 5, 4, 4], [1, 1, 2, 2], [9, 9, 2, 2], [9, 8.5, 2, 2], [5, 1, 1, 1]]], np.float32
)
SCORES = np.array([[[0.9, 0.1], [0.8, 0.1], [0.1, 0.7], [0.6, 0.2], [0.1, 0.65], [0.05, 0.02]]], np.float32)


def suppressed(boxes, scores, per_class, size=4):
    """torchvision's answer in MIL's shape."""
    corners = torchvision.ops.box_convert(boxes[0], "cxcywh", "xyxy")
    best, label = scores[0].max(1)
    classes = label if per_class else torch.zeros_like(label)
    kept = torchvision.ops.batched_nms(corners, best, classes, 0.5)
    kept = kept[best[kept] > 0.25][:size]
    fill = size - len(kept)
    return [
        F.pad(boxes[0, kept], (0, 0, 0, fill))[None],
        F.pad(scores[0, kept], (0, 0, 0, fill))[None],
        F.pad(kept, (0, fill), value=-1)[None].int(),
        torch.tensor([len(kept)], dtype=torch.int32),
    ]


def suppression(per_class):
    return lambda x, y: mb.non_maximum_suppression(
        boxes=x, scores=y, iou_threshold=0.5, score_threshold=0.25, max_boxes=4, per_class_suppression=per_class
    )


CASES = [
    ("argsort", 15, lambda x: mb.argsort(x=x, axis=1), lambda x: x.argsort(1, descending=True), DISTINCT),
    ("argsort ascending", 15, lambda x: mb.argsort(x=x, ascending=True), lambda x: x.argsort(-1), DISTINCT),
    ("band_part", 15, lambda x: mb.band_part(x=x, lower=1, upper=0), lambda x: x.tril() - x.tril(-2), (2, 4, 5)),
    ("band_part upper", 15, lambda x: mb.band_part(x=x, lower=0, upper=-1), torch.triu, (2, 4, 5)),
    (
        "concat of values without axes",
        15,
        lambda x: mb.concat(values=[mb.gather(x=x, indices=i, axis=0) for i in (2, 0)], axis=0),
        lambda x: x[[2, 0]],
        (4,),
    ),
    ("concat", 15, lambda x, y: mb.concat(values=(x, y), axis=1), lambda x, y: torch.cat([x, y], 1), (2, 3), (2, 2)),
    (
        "concat interleaved",
        15,
        lambda x, y: mb.concat(values=(x, y), axis=-2, interleave=True),
        lambda x, y: torch.stack([x, y], 1).reshape(6, 2),
        (3, 2),
        (3, 2),
    ),
    ("cumsum", 15, lambda x: mb.cumsum(x=x, axis=1), lambda x: x.cumsum(1), (2, 5)),
    (
        "cumsum exclusive, reversed",
        15,
        lambda x: mb.cumsum(x=x, axis=1, exclusive=True, reverse=True),
        lambda x: x.flip(1).cumsum(1).roll(1, 1).flip(1) * torch.tensor([1, 1, 1, 0.0]),
        (2, 4),
    ),
    (
        "cumsum exclusive of what drowns its neighbours",
        15,
        lambda x: mb.cumsum(x=x, axis=0, exclusive=True),
        lambda x: torch.tensor([0, 0.5, 60000.5, torch.inf]),
        np.array([0.5, 60000, np.inf, 1], np.float32),
    ),
    ("fill", 15, lambda: mb.fill(shape=[2, 3], value=0.5), lambda: torch.full((2, 3), 0.5)),
    ("fill integers", 15, lambda: mb.fill(shape=[2, 3], value=7), lambda: torch.full((2, 3), 7)),
    ("fill_like", 16, lambda x: mb.fill_like(ref_tensor=x, value=2.0), lambda x: torch.full_like(x, 2), (2, 3)),
    ("flatten2d", 15, lambda x: mb.flatten2d(x=x, axis=-1), lambda x: x.reshape(6, 4), (2, 3, 4)),
    ("flatten2d axis 1", 15, lambda x: mb.flatten2d(x=x), lambda x: x.reshape(2, 12), (2, 3, 4)),
    ("identity", 15, lambda x: mb.identity(x=x), lambda x: x, (2, 3)),
    ("non_maximum_suppression", 15, suppression(False), lambda x, y: suppressed(x, y, False), CENTERS, SCORES),
    (
        "non_maximum_suppression with boxes of negative size",
        15,
        suppression(False),
        lambda x, y: suppressed(x, y, False),
        CENTERS * [1, 1, -1, 1],
        SCORES,
    ),
    ("non_maximum_suppression per class", 15, suppression(True), lambda x, y: suppressed(x, y, True), CENTERS, SCORES),
    (
        "non_maximum_suppression_17",
        17,
        lambda x, y: mb.non_maximum_suppression(boxes=x, scores=y, iou_threshold=0.5, max_boxes=3),
        lambda x, y: [
            a.mT if a.dim() == 3 else a for a in suppressed(x.mT.contiguous(), y.mT.contiguous(), False, 3)[:3]
        ],
        CENTERS.transpose(0, 2, 1),
        SCORES.transpose(0, 2, 1),
    ),
    ("non_zero", 15, lambda x: mb.non_zero(x=x), torch.nonzero, np.array([[0, 2], [3, 0]], np.int32)),
    ("one_hot", 15, lambda x: mb.one_hot(indices=x, one_hot_vector_size=4), lambda x: F.one_hot(x.long(), 4), INDICES),
    (
        "one_hot in front, with values",
        15,
        lambda x: mb.one_hot(indices=x, one_hot_vector_size=4, axis=0, on_value=2.0, off_value=0.5),
        lambda x: F.one_hot(x.long(), 4).permute(2, 0, 1) * 1.5 + 0.5,
        INDICES,
    ),
    (
        "pad constant",
        15,
        lambda x: mb.pad(x=x, pad=[1, 0, 2, 3], mode="constant", constant_val=0.5),
        lambda x: F.pad(x, (2, 3, 1, 0), value=0.5),
        (2, 3, 4),
    ),
    (
        "pad reflect",
        15,
        lambda x: mb.pad(x=x, pad=[1, 2, 3, 0], mode="reflect"),
        lambda x: F.pad(x, (3, 0, 1, 2), mode="reflect"),
        (1, 2, 3, 4),
    ),
    (
        "pad replicate",
        15,
        lambda x: mb.pad(x=x, pad=[1, 2, 3, 0], mode="replicate"),
        lambda x: F.pad(x, (3, 0, 1, 2), mode="replicate"),
        (1, 2, 3, 4),
    ),
    (
        "range_1d",
        15,
        lambda x: mb.range_1d(start=1, end=mb.squeeze(x=x), step=3),
        lambda x: torch.arange(1, 12, 3),
        np.array([12], np.int32),
    ),
    (
        "range_1d downwards, in halves",
        15,
        lambda x: mb.range_1d(start=mb.squeeze(x=x), end=0.0, step=-0.5),
        lambda x: torch.arange(2.25, 0, -0.5),
        np.array([2.25], np.float32),
    ),
    ("shape", 15, lambda x: mb.shape(x=x), lambda x: torch.tensor([2, 3, 4]), (2, 3, 4)),
    ("split evenly", 15, lambda x: mb.split(x=x, num_splits=2, axis=1), lambda x: x.split(3, 1), (2, 6)),
    (
        "split sizes",
        15,
        lambda x: mb.split(x=x, split_sizes=[1, 4, 1], axis=-1),
        lambda x: x.split([1, 4, 1], 1),
        (2, 6),
    ),
    ("stack", 15, lambda x, y: mb.stack(values=(x, y), axis=1), lambda x, y: torch.stack([x, y], 1), (2, 3), (2, 3)),
    ("tile", 15, lambda x: mb.tile(x=x, reps=[2, 1, 3]), lambda x: x.tile(2, 1, 3), (1, 2, 2)),
    ("topk", 15, lambda x: mb.topk(x=x, k=2, axis=1), lambda x: list(x.topk(2, 1)), DISTINCT),
    (
        "topk ascending",
        16,
        lambda x: mb.topk(x=x, k=2, ascending=True),
        lambda x: list(x.topk(2, largest=False)),
        DISTINCT,
    ),
    (
        "topk without indices",
        16,
        lambda x: mb.topk(x=x, k=3, return_indices=False),
        lambda x: x.topk(3).values,
        DISTINCT,
    ),
    (
        "topk with uint16 indices",
        17,
        lambda x: mb.topk(x=x, k=2, output_indices_dtype="uint16"),
        lambda x: list(x.topk(2)),
        DISTINCT,
    ),
    (
        "cast there and back loses nothing of a small integer",
        17,
        lambda x: mb.cast(x=mb.cast(x=x, dtype="int16"), dtype="int32"),
        lambda x: x,
        np.array([-300, 0, 300], np.int32),
    ),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)

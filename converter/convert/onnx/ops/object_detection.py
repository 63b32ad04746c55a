"""https://onnx.ai/onnx/operators, chapter object_detection."""

import numpy as np

from converter.convert.onnx.builder import (
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    mb,
    shape_of,
    target_is,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.ops.tensor.sampling import Taps, elements, joined
from converter.convert.onnx.views import reshape, transpose

op = ai_onnx.op

_REJECTED = -3e38  # a score below all others


@op
def RoiAlign(
    X: Var,
    rois: Var,
    batch_indices: Var,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Var:
    return RoiAlign_16(
        X,
        rois,
        batch_indices,
        "output_half_pixel",
        mode,
        output_height,
        output_width,
        sampling_ratio,
        spatial_scale,
    )


@op
def RoiAlign_16(
    X: Var,
    rois: Var,
    batch_indices: Var,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Var:
    """Core ML's crop_resize reads all sampling points, an average pool joins them; boxes are kept in float32."""
    if sampling_ratio <= 0:
        raise Unsupported("sampling_ratio = 0 reads as many points as each box is large; give a fixed number of them")
    half_pixel = coordinate_transformation_mode == "half_pixel"
    if mode not in ("avg", "max") or not (half_pixel or coordinate_transformation_mode == "output_half_pixel"):
        raise Unsupported(f"mode = {mode!r} with {coordinate_transformation_mode!r} is not known")
    corners = mb.mul(x=cast(rois, "fp32"), y=spatial_scale)
    corners = mb.sub(x=corners, y=0.5) if half_pixel else corners
    first, last = mb.split(x=corners, num_splits=2, axis=1)
    size = mb.sub(x=last, y=first)
    size = size if half_pixel else mb.maximum(x=size, y=1.0)
    if mode == "max":
        return _max_of_weighted(X, first, size, batch_indices, (output_height, output_width), sampling_ratio)
    # The pixels at the edge once more around the image: beyond that a point is 0, between the two it is the edge.
    around = mb.pad(x=X, pad=[1, 1, 1, 1], mode="replicate")
    start = mb.add(x=first, y=1.5)  # half a pixel, as crop_resize takes it off, and one for the edge
    boxes = mb.concat(values=[start, mb.sub(x=mb.add(x=start, y=size), y=1.0)], axis=1)
    points = _cropped(around, boxes, batch_indices, output_height * sampling_ratio, output_width * sampling_ratio)
    ratio = [sampling_ratio, sampling_ratio]
    return mb.avg_pool(x=points, kernel_sizes=ratio, strides=ratio, pad_type="valid") if sampling_ratio > 1 else points


def _cropped(x: Var, boxes: Var, images: Var, height: int, width: int) -> Var:
    """Boxes [N, 4] as x1, y1, x2, y2 in pixels, each of its image: [N, C, height, width]."""
    named = {"target_height": height, "target_width": width, "box_coordinate_mode": "CORNERS_WIDTH_FIRST"}
    if target_is("iOS17"):
        return mb.crop_resize(x=x, boxes=boxes, box_indices=images, sampling_mode="UNALIGN_CORNERS", **named)
    if not target_is("iOS15"):
        raise Unsupported("a NeuralNetwork does not crop at half pixels")
    # There boxes and images are of one type; float16 holds places up to 2048 only.
    rows = mb.concat(values=[mb.expand_dims(x=cast(images, "fp32"), axes=[1]), boxes], axis=1)
    rois = mb.expand_dims(x=rows, axes=[1, 3, 4])
    crops = mb.crop_resize(x=cast(x, "fp32"), roi=rois, sampling_mode="UNALIGN_CORNERS", **named)
    return cast(mb.squeeze(x=crops, axes=[1]), dtype_name(x))


def _max_of_weighted(X: Var, first: Var, size: Var, images: Var, sides: tuple[int, int], ratio: int) -> Var:
    """The largest of the four weighted neighbours of all points, as the standard has it: not of their sums."""
    boxes = shape_of(first)[0]
    taps = [
        _points(
            mb.split(x=first, num_splits=2, axis=1)[at], mb.split(x=size, num_splits=2, axis=1)[at], count, ratio, n
        )
        for at, count, n in ((1, sides[0], shape_of(X)[2]), (0, sides[1], shape_of(X)[3]))
    ]
    rows, columns = sides
    # [boxes, rows, ratio, 1, 1, 2] beside [boxes, 1, 1, columns, ratio, 2], as points of one axis after another.
    vertical, horizontal = (
        Taps(_spread(t.index, rows * ratio, columns * ratio, at), _spread(t.weight, rows * ratio, columns * ratio, at))
        for t, at in zip(taps, (2, 1), strict=True)
    )
    places, weights = joined(X, reshape(images, (boxes, 1, 1)), [vertical, horizontal])
    read = elements(X, places)
    weighted = mb.mul(x=read, y=mb.expand_dims(x=cast(weights, dtype_name(X)), axes=[3]))
    channels = shape_of(X)[1]
    largest = mb.reduce_max(x=weighted, axes=[2], keep_dims=False)  # [boxes, points, C]
    by_row = reshape(largest, (boxes, rows, ratio, columns * ratio, channels))
    by_row = reshape(mb.reduce_max(x=by_row, axes=[2], keep_dims=False), (boxes, rows, columns, ratio, channels))
    return transpose(mb.reduce_max(x=by_row, axes=[3], keep_dims=False), (0, 3, 1, 2))


def _spread(x: Var, rows: int, columns: int, axis: int) -> Var:
    """[boxes, rows or columns, 2] for each point of the grid: [boxes, rows * columns, 2]."""
    boxes = shape_of(x)[0]
    repeats = [1, 1, columns, 1] if axis == 2 else [1, rows, 1, 1]
    return reshape(mb.tile(x=mb.expand_dims(x=x, axes=[axis]), reps=repeats), (boxes, rows * columns, 2))


def _points(first: Var, size: Var, count: int, ratio: int, side: int) -> Taps:
    """The neighbours of all points on one axis: [boxes, points, 2]; of what lies more than a pixel outside none."""
    steps = (np.arange(count * ratio) + 0.5) / (count * ratio)
    place = mb.add(x=first, y=mb.mul(x=size, y=const(steps[None])))
    inside = mb.logical_and(x=mb.greater_equal(x=place, y=-1.0), y=mb.less_equal(x=place, y=float(side)))
    place = mb.clip(x=place, alpha=0.0, beta=side - 1.0)
    low = mb.floor(x=place)
    high = mb.minimum(x=mb.add(x=low, y=1.0), y=side - 1.0)
    share = mb.sub(x=place, y=low)
    index = mb.stack(values=[low, high], axis=2)
    weight = mb.stack(values=[mb.sub(x=1.0, y=share), share], axis=2)
    weight = mb.mul(x=weight, y=mb.expand_dims(x=cast(inside, "fp32"), axes=[2]))
    return Taps(cast(index, "int32"), weight)


@op
def NonMaxSuppression(
    boxes: Var,
    scores: Var,
    max_output_boxes_per_class: int = 0,
    iou_threshold: float = 0.0,
    score_threshold: float | None = None,
    center_point_box: int = 0,
) -> Var:
    """[selected, 3]: image, class and box; as many as are selected, which only the running model knows.

    Core ML's own operation suppresses; each class is an image of its own to it.
    """
    images, classes, count = shape_of(scores)
    most = min(max_output_boxes_per_class, count)
    if most <= 0:
        raise Unsupported("max_output_boxes_per_class = 0 selects nothing")
    places = cast(boxes, "fp32")
    places = places if center_point_box else _centred(places)
    if classes > 1:
        places = mb.tile(x=mb.expand_dims(x=places, axes=[1]), reps=[1, classes, 1, 1])
        places = reshape(places, (images * classes, count, 4))
    wide = reshape(cast(scores, "fp32"), (images * classes, count, 1))
    if score_threshold is not None:
        wide = mb.select(cond=mb.greater(x=wide, y=score_threshold), a=wide, b=_REJECTED)
    named = {"iou_threshold": float(iou_threshold), "max_boxes": most}
    if target_is("iOS17"):
        by_box = (transpose(places, (0, 2, 1)), transpose(wide, (0, 2, 1)))
        _, best, chosen = mb.non_maximum_suppression(boxes=by_box[0], scores=by_box[1], **named)
    else:
        _, best, chosen, _ = mb.non_maximum_suppression(
            boxes=places, scores=wide, score_threshold=1.1 * _REJECTED, **named
        )
    best, chosen = (reshape(x, (images, classes, most)) for x in (best, chosen))
    # What is not filled has the index -1 (and the score 0).
    valid = mb.logical_and(x=mb.greater_equal(x=chosen, y=0), y=mb.greater(x=best, y=_REJECTED))
    found = mb.non_zero(x=cast(valid, "int32"))
    box = mb.expand_dims(x=mb.gather_nd(x=chosen, indices=found), axes=[1])
    image_and_class = mb.slice_by_index(
        x=found, begin=[0, 0], end=[0, 2], begin_mask=[True, True], end_mask=[True, False]
    )
    return mb.concat(values=[image_and_class, box], axis=1)


def _centred(boxes: Var) -> Var:
    """Two opposite corners y, x, y, x as center x, center y, width, height."""
    one, other = mb.split(x=boxes, num_splits=2, axis=2)
    center = mb.mul(x=mb.add(x=one, y=other), y=0.5)
    size = mb.abs(x=mb.sub(x=other, y=one))
    return mb.gather(x=mb.concat(values=[center, size], axis=2), indices=const(np.array([1, 0, 3, 2])), axis=2)

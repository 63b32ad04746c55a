"""https://onnx.ai/onnx/operators, chapter object_detection."""

import numpy as np

from converter.convert.onnx.builder import (
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    is_const,
    is_var,
    mb,
    shape_of,
    target_is,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.ops.tensor.taps import Taps, arithmetic, elements, joined
from converter.convert.onnx.views import reshape, transpose

op = ai_onnx.op

_REJECTED = -3e38  # a score below all others


@op
def RoiAlign(
    X: Var,
    rois: Operand,
    batch_indices: Operand,
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
    rois: Operand,
    batch_indices: Operand,
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
    do = arithmetic(rois)
    corners = do.mul(x=do.cast(x=rois, dtype="fp32"), y=spatial_scale)
    corners = do.sub(x=corners, y=0.5) if half_pixel else corners
    first, last = do.split(x=corners, num_splits=2, axis=1)
    size = do.sub(x=last, y=first)
    size = size if half_pixel else do.maximum(x=size, y=1.0)
    if mode == "max":
        return _max_of_weighted(X, first, size, batch_indices, (output_height, output_width), sampling_ratio)
    # The pixels at the edge once more around the image: beyond that a point is 0, between the two it is the edge.
    around = mb.pad(x=X, pad=[1, 1, 1, 1], mode="replicate")
    start = do.add(x=first, y=1.5)  # half a pixel, as crop_resize takes it off, and one for the edge
    boxes = do.concat(values=[start, do.sub(x=do.add(x=start, y=size), y=1.0)], axis=1)
    boxes = boxes if is_var(boxes) else const(boxes)
    points = _cropped(around, boxes, batch_indices, output_height * sampling_ratio, output_width * sampling_ratio)
    ratio = [sampling_ratio, sampling_ratio]
    return mb.avg_pool(x=points, kernel_sizes=ratio, strides=ratio, pad_type="valid") if sampling_ratio > 1 else points


def _cropped(x: Var, boxes: Var, images: Operand, height: int, width: int) -> Var:
    """Boxes [N, 4] as x1, y1, x2, y2 in pixels, each of its image: [N, C, height, width]."""
    named = {"target_height": height, "target_width": width, "box_coordinate_mode": "CORNERS_WIDTH_FIRST"}
    if target_is("iOS17"):
        chosen = images if is_var(images) else const(images)
        return mb.crop_resize(x=x, boxes=boxes, box_indices=chosen, sampling_mode="UNALIGN_CORNERS", **named)
    if not target_is("iOS15"):
        raise Unsupported("a NeuralNetwork does not crop at half pixels")
    # There boxes are of the image's type, and float16 holds places up to 2048 only. Each is cropped from all images.
    rois = mb.expand_dims(x=boxes, axes=[1, 3, 4]) if not is_const(boxes) else const(boxes.val[:, None, :, None, None])
    crops = cast(mb.crop_resize(x=cast(x, "fp32"), roi=rois, sampling_mode="UNALIGN_CORNERS", **named), dtype_name(x))
    if shape_of(x)[0] == 1:
        return mb.squeeze(x=crops, axes=[1])
    count = np.arange(shape_of(boxes)[0], dtype=np.int32)
    do = arithmetic(images)
    places = do.stack(values=[const(count) if is_var(images) else count, images], axis=1)
    return mb.gather_nd(x=crops, indices=places if is_var(places) else const(places))


def _max_of_weighted(X: Var, first: Operand, size: Operand, images: Operand, sides: tuple[int, int], ratio: int) -> Var:
    """The largest of the four weighted neighbours of all points, as the standard has it: not of their sums."""
    do, (rows, columns) = arithmetic(first), sides
    boxes, channels = first.shape[0], shape_of(X)[1]
    across, down = (do.split(x=x, num_splits=2, axis=1) for x in (first, size))
    vertical = _points(across[1], down[1], rows * ratio, shape_of(X)[2])
    horizontal = _points(across[0], down[0], columns * ratio, shape_of(X)[3])
    taps = [_spread(vertical, columns * ratio, 2), _spread(horizontal, rows * ratio, 1)]
    flat, weight = joined(X, arithmetic(images).reshape(x=images, shape=(boxes, 1, 1)), taps)
    weight = arithmetic(weight).expand_dims(x=weight, axes=[3])
    weight = cast(weight, dtype_name(X)) if is_var(weight) else const(weight, like=X)
    weighted = mb.mul(x=elements(X, flat), y=weight)
    largest = mb.reduce_max(x=weighted, axes=[2], keep_dims=False)  # [boxes, points, C]
    by_row = reshape(largest, (boxes, rows, ratio, columns * ratio, channels))
    by_row = reshape(mb.reduce_max(x=by_row, axes=[2], keep_dims=False), (boxes, rows, columns, ratio, channels))
    return transpose(mb.reduce_max(x=by_row, axes=[3], keep_dims=False), (0, 3, 1, 2))


def _points(first: Operand, size: Operand, count: int, side: int) -> Taps:
    """The neighbours of all points on one axis: [boxes, points, 2]; of what lies more than a pixel outside none."""
    do = arithmetic(first)
    steps = ((np.arange(count, dtype=np.float32) + 0.5) / count).astype(np.float32)[None]
    place = do.add(x=first, y=do.mul(x=size, y=steps))
    inside = do.logical_and(x=do.greater_equal(x=place, y=-1.0), y=do.less_equal(x=place, y=float(side)))
    place = do.clip(x=place, alpha=0.0, beta=side - 1.0)
    low = do.floor(x=place)
    share = do.sub(x=place, y=low)
    index = do.stack(values=[low, do.clip(x=do.add(x=low, y=1.0), alpha=0.0, beta=side - 1.0)], axis=2)
    weight = do.stack(values=[do.sub(x=1.0, y=share), share], axis=2)
    inside = do.expand_dims(x=do.cast(x=inside, dtype="fp32"), axes=[2])
    return Taps(do.cast(x=index, dtype="int32"), do.mul(x=weight, y=inside))


def _spread(taps: Taps, times: int, axis: int) -> Taps:
    """One axis' points for each of the other's: [boxes, points, 2] to [boxes, points * times, 2]."""
    do = arithmetic(taps.index)
    boxes, points, count = taps.index.shape
    repeats = [times if at == axis else 1 for at in range(4)]

    def spread(x: Operand) -> Operand:
        tiled = do.tile(x=do.expand_dims(x=x, axes=[axis]), reps=repeats)
        return do.reshape(x=tiled, shape=(boxes, points * times, count))

    return Taps(spread(taps.index), spread(taps.weight))


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

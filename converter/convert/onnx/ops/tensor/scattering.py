"""https://onnx.ai/onnx/operators, chapter tensor: updates written to places of a tensor."""

import numpy as np

from converter.convert.onnx.builder import (
    ElementTypes,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    is_bool,
    is_var,
    mb,
    normal_axis,
    prod,
    shape_of,
)
from converter.convert.onnx.integers import wrapped
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.ops.tensor.indexing import from_the_end
from converter.convert.onnx.sizes import size_of, vector
from converter.convert.onnx.views import reshape, transpose

op = ai_onnx.op

_MODES = {"none": "update", "add": "add", "mul": "mul", "max": "max", "min": "min"}


@op
def ScatterND(data: Var, indices: Operand, updates: Var, reduction: str = "none", *, types: ElementTypes) -> Var:
    """At places that occur twice every reduction sees all updates; without one the order is nobody's."""
    if is_var(indices):
        sizes = vector([size_of(data, axis) for axis in range(int(indices.shape[-1]))])
        places = mb.select(cond=mb.less(x=indices, y=0), a=mb.add(x=indices, y=sizes), b=indices)
    elif (indices < 0).any():
        places = const(np.where(indices < 0, indices + np.array(shape_of(data)[: indices.shape[-1]]), indices))
    else:
        places = const(indices)
    return _scattered(data, places, updates, reduction, types[0])


def _scattered(data: Var, places: Var, updates: Var, reduction: str, element_type: str) -> Var:
    if reduction not in _MODES:
        raise Unsupported(f"reduction = {reduction!r} is not known")
    if is_bool(data):
        numbers = _scattered(cast(data, "int32"), places, cast(updates, "int32"), reduction, element_type)
        return cast(numbers, "bool")
    return wrapped(mb.scatter_nd(data=data, indices=places, updates=updates, mode=_MODES[reduction]), element_type)


@op
def Scatter(data: Var, indices: Operand, updates: Var, axis: int = 0, *, types: ElementTypes) -> Var:
    return ScatterElements(data, indices, updates, axis, types=types)


@op
def ScatterElements(
    data: Var, indices: Operand, updates: Var, axis: int = 0, reduction: str = "none", *, types: ElementTypes
) -> Var:
    """As a list of places with all their coordinates: Core ML's own wants indices as large as the data."""
    shape = shape_of(indices) if is_var(indices) else indices.shape
    axis = normal_axis(axis, len(shape))
    grid = np.indices(shape).reshape(len(shape), -1).T
    if is_var(indices):
        along = reshape(from_the_end(indices, data, axis), (prod(shape), 1))
        parts = [const(grid[:, :axis])] * (axis > 0) + [along] + [const(grid[:, axis + 1 :])] * (axis < len(shape) - 1)
        places = mb.concat(values=parts, axis=1) if len(parts) > 1 else along
    else:
        grid[:, axis] = np.where(indices < 0, indices + shape_of(data)[axis], indices).reshape(-1)
        places = const(grid)
    return _scattered(data, places, reshape(updates, (prod(shape),)), reduction, types[0])


@op
def TensorScatter(
    past_cache: Var,
    update: Var,
    write_indices: Operand = None,
    axis: int = -2,
    mode: str = "linear",
    *,
    types: ElementTypes,
) -> Var:
    """Each sequence of a batch is written from a place of its own on, `circular` around the end."""
    if mode not in ("linear", "circular"):
        raise Unsupported(f"mode = {mode!r} is not known")
    shape, length = shape_of(past_cache), shape_of(update)[axis]
    axis = normal_axis(axis, len(shape))
    if axis == 0:
        raise Unsupported("axis = 0 is the batch")
    steps = np.arange(length)[None]
    batches = np.broadcast_to(np.arange(shape[0])[:, None], (shape[0], length))
    if is_var(write_indices):
        along = mb.add(x=mb.expand_dims(x=write_indices, axes=[1]), y=const(steps))
        along = mb.mod(x=along, y=shape[axis]) if mode == "circular" else along
        places = mb.stack(values=[const(batches), along], axis=2)
    else:
        along = steps + (0 if write_indices is None else write_indices.reshape(-1, 1))
        along = np.broadcast_to(along % shape[axis] if mode == "circular" else along, batches.shape)
        places = const(np.stack([batches, along], 2))
    order = [0, axis, *(a for a in range(1, len(shape)) if a != axis)]
    written = _scattered(transpose(past_cache, order), places, transpose(update, order), "none", types[0])
    return transpose(written, [order.index(a) for a in range(len(shape))])

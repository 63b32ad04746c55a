import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types

from converter.errors import EvaluationError
from converter.evaluate import load_model

POINTS = np.array([[0, 1], [1, -1], [0, 1]], np.int32)
ALONG = np.array([[0, 2, 1], [2, 2, -3]], np.int32)


def gathered(**more):
    return lambda x, y: mb.gather(x=x, indices=y, **more)


def scattered(op, **more):
    return lambda x, y, z: getattr(mb, op)(data=x, indices=y, updates=z, **more)


def looped(x, places, updates, mode):
    """`updates[i]` worked into x[places[i]], one after the other."""
    x = x.clone()
    for place, update in zip(places, updates, strict=True):
        old = x[place]
        x[place] = {
            "update": update,
            "add": old + update,
            "sub": old - update,
            "mul": old * update,
            "div": old / update,
            "max": torch.maximum(old, update),
            "min": torch.minimum(old, update),
        }[mode]
    return x


def along(x, indices, updates, mode="add"):
    x = x.clone()
    for row in range(indices.shape[0]):
        for column in range(indices.shape[1]):
            place = int(indices[row, column])
            x[row, place] = looped(x[row], [place], [updates[row, column]], mode)[place]
    return x


CASES = [
    ("gather", 15, gathered(), lambda x, y: x[y], (4, 3), np.array([2, 0, -1], np.int32)),
    ("gather axis", 15, gathered(axis=1), lambda x, y: x[:, y], (2, 4, 3), np.array([[0, 3], [1, 1]], np.int32)),
    ("gather one of a vector", 15, lambda x: mb.gather(x=x, indices=2, axis=0), lambda x: x[2], (4,)),
    ("gather one", 15, lambda x: mb.gather(x=x, indices=2, axis=-1), lambda x: x[..., 2], (2, 4, 3)),
    (
        "gather_16 in batches",
        16,
        gathered(axis=1, batch_dims=1),
        lambda x, y: torch.stack([x[i, y[i]] for i in range(2)]),
        (2, 4, 3),
        np.array([[0, 3, 2], [1, 1, 0]], np.int32),
    ),
    (
        "gather_17 in batches, further axis",
        17,
        gathered(axis=2, batch_dims=1),
        lambda x, y: torch.stack([x[i][:, y[i]] for i in range(2)]),
        (2, 4, 3),
        np.array([[0, 2], [1, 1]], np.int32),
    ),
    (
        "gather_along_axis",
        15,
        lambda x, y: mb.gather_along_axis(x=x, indices=y, axis=1),
        lambda x, y: torch.take_along_dim(x, y.long() % 4, 1),
        (2, 4),
        np.array([[0, 3, -1], [1, 1, 2]], np.int32),
    ),
    ("gather_nd one of a vector", 15, lambda x: mb.gather_nd(x=x, indices=[2]), lambda x: x[2], (4,)),
    ("gather_nd", 15, lambda x, y: mb.gather_nd(x=x, indices=y), lambda x, y: x[y[:, 0], y[:, 1]], (2, 4, 3), POINTS),
    (
        "gather_nd_16 in batches",
        16,
        lambda x, y: mb.gather_nd(x=x, indices=y, batch_dims=1),
        lambda x, y: torch.stack([x[i][y[i, :, 0]] for i in range(2)]),
        (2, 4, 3),
        np.array([[[0], [3]], [[1], [2]]], np.int32),
    ),
    *(
        (
            f"scatter {mode}",
            15,
            scattered("scatter", axis=0, mode=mode),
            lambda x, y, z, mode=mode: looped(x, y, z, mode),
            (4, 3),
            np.array([2, 0], np.int32),
            np.array([[0.5, 2, 4], [-1, -2, 8]], np.float32),
        )
        for mode in ("update", "add", "sub", "mul", "div", "max", "min")
    ),
    (
        "scatter at a place twice, on an inner axis",
        15,
        scattered("scatter", axis=1),
        lambda x, y, z: looped(x.mT, y, z.mT, "add").mT,
        (2, 4),
        np.array([2, 2, -1], np.int32),
        (2, 3),
    ),
    ("scatter_along_axis", 15, scattered("scatter_along_axis", axis=1), along, (2, 3), ALONG, (2, 3)),
    (
        "scatter_along_axis_17 max",
        17,
        scattered("scatter_along_axis", axis=1, mode="max"),
        lambda x, y, z: along(x, y, z, "max"),
        (2, 3),
        ALONG % 3,
        (2, 3),
    ),
    (
        "scatter_nd",
        15,
        scattered("scatter_nd"),
        lambda x, y, z: looped(x, [tuple(p) for p in y.tolist()], z, "add"),
        (2, 4, 3),
        POINTS,
        (3, 3),
    ),
    (
        "scatter_nd update, the last one stays",
        15,
        scattered("scatter_nd", mode="update"),
        lambda x, y, z: looped(x, [tuple(p) for p in y.tolist()], z, "update"),
        (2, 4, 3),
        POINTS,
        (3, 3),
    ),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)


def built(op, **given):
    def prog(x):
        return getattr(mb, op)(indices=x, **given)

    specs = [mb.TensorSpec(shape=(1, 1), dtype=types.int32)]
    return ct.convert(
        mb.program(input_specs=specs, opset_version=ct.target.iOS17)(prog),
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )


@pytest.mark.parametrize("index", [3, -4])  # coremltools adds the size to negative ones itself
@pytest.mark.parametrize("op", ["gather", "gather_along_axis", "gather_nd"])
def test_an_index_outside_is_refused_whether_the_program_asks_for_it_or_not(op, index):
    model = load_model(built(op, x=np.ones((3, 1), np.float32)))
    assert model.predict({"x": [[2]]})
    with pytest.raises(EvaluationError, match=f"{op} .*cannot be computed: (indices|index)"):
        model.predict({"x": [[index]]})

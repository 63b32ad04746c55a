import numpy as np
import torch
from coremltools.converters.mil.mil import Builder as mb

YES, NO = np.array([1], np.int32), np.array([0], np.int32)


def chosen(x, flag):
    return mb.cond(
        pred=mb.cast(x=mb.squeeze(x=flag), dtype="bool"),
        _true_fn=lambda: mb.add(x=x, y=1.0),
        _false_fn=lambda: mb.mul(x=x, y=2.0),
    )


def doubled_until_large(x):
    """Doubles x until its sum exceeds 100, and counts."""
    return mb.while_loop(
        _cond=lambda value, count: mb.less(x=mb.reduce_sum(x=value), y=100.0),
        _body=lambda value, count: (mb.mul(x=value, y=2.0), mb.add(x=count, y=[1])),
        loop_vars=(x, np.array([0], np.int32)),
    )


def torch_doubled(x):
    count = 0
    while x.sum() < 100:
        x, count = x * 2, count + 1
    return [x, torch.tensor([count])]


def grown(x):
    """coremltools' own example: a write out of bounds grows the list by zeros."""
    items = mb.make_list(init_length=2, elem_shape=(2,))
    first = mb.list_read(ls=items, index=0)
    items = mb.list_write(ls=items, index=4, value=x)
    return first, mb.list_gather(ls=items, indices=[4, 3])


def listed(x):
    items = mb.make_list(init_length=2, dynamic_length=True, elem_shape=(3,))
    items = mb.list_write(ls=items, index=1, value=x)
    items = mb.list_scatter(ls=items, indices=[0, 2], value=np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    return [
        mb.list_read(ls=items, index=1),
        mb.list_gather(ls=items, indices=[2, 0]),
        mb.expand_dims(x=mb.list_length(ls=items), axes=[0]),
    ]


CASES = [
    ("cond true", 15, chosen, lambda x, _: x + 1, (2, 3), YES),
    ("cond false", 15, chosen, lambda x, _: x * 2, (2, 3), NO),
    ("while_loop", 15, doubled_until_large, torch_doubled, np.array([0.5, 1.25], np.float32)),
    (
        "lists",
        15,
        listed,
        lambda x: [x, torch.tensor([[4.0, 5, 6], [1, 2, 3]]), torch.tensor([3])],
        np.array([7, 8, 9], np.float32),
    ),
    (
        "a list that grows",
        15,
        grown,
        lambda x: [torch.zeros(2), torch.stack([x, torch.zeros(2)])],
        np.array([2, 4], np.float32),
    ),
    (
        "select",
        15,
        lambda x, y: mb.select(cond=mb.greater(x=x, y=0.0), a=x, b=y),
        lambda x, y: torch.where(x > 0, x, y),
        (2, 3),
        (2, 3),
    ),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)

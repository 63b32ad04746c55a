import numpy as np
from coremltools.converters.mil.mil import Builder as mb

POSITIVE = np.linspace(0.25, 2, 24, dtype=np.float32).reshape(2, 3, 4)
INTEGERS = np.arange(-12, 12, dtype=np.int32).reshape(2, 3, 4)


def reduced(op, **more):
    return lambda x: getattr(mb, op)(x=x, **more)


CASES = [
    ("argmax", 15, reduced("reduce_argmax", axis=1), lambda x: x.argmax(1), (2, 5, 3)),
    ("argmax kept", 15, reduced("reduce_argmax", axis=-1, keep_dims=True), lambda x: x.argmax(-1, True), (2, 5)),
    ("argmax uint16", 17, reduced("reduce_argmax", axis=1, output_dtype="uint16"), lambda x: x.argmax(1), (2, 5, 3)),
    ("argmin", 15, reduced("reduce_argmin", axis=0), lambda x: x.argmin(0), (4, 3)),
    ("l1", 15, reduced("reduce_l1_norm", axes=[1]), lambda x: x.abs().sum(1), (2, 3, 4)),
    ("l2", 15, reduced("reduce_l2_norm", axes=[-1], keep_dims=True), lambda x: x.norm(dim=-1, keepdim=True), (2, 3, 4)),
    ("log_sum", 15, reduced("reduce_log_sum", axes=[0, 2]), lambda x: x.sum((0, 2)).log(), POSITIVE),
    ("log_sum_exp", 15, reduced("reduce_log_sum_exp", axes=[1]), lambda x: x.exp().sum(1).log(), (2, 3, 4)),
    ("max", 15, reduced("reduce_max", axes=[0, 1]), lambda x: x.amax((0, 1)), (2, 3, 4)),
    ("max of all", 15, reduced("reduce_max"), lambda x: x.max(), (2, 3, 4)),
    ("mean", 15, reduced("reduce_mean", axes=[2, 1], keep_dims=True), lambda x: x.mean((1, 2), True), (2, 3, 4)),
    ("min", 15, reduced("reduce_min", axes=[1]), lambda x: x.amin(1), (2, 3, 4)),
    ("min of integers", 15, reduced("reduce_min", axes=[1]), lambda x: x.amin(1), INTEGERS),
    ("prod", 15, reduced("reduce_prod", axes=[0, 2]), lambda x: x.prod(2).prod(0), POSITIVE),
    ("prod kept", 15, reduced("reduce_prod", axes=[-2], keep_dims=True), lambda x: x.prod(1, True), POSITIVE),
    ("sum", 15, reduced("reduce_sum", axes=[1]), lambda x: x.sum(1), (2, 3, 4)),
    ("sum of integers", 15, reduced("reduce_sum", axes=[1]), lambda x: x.sum(1), INTEGERS),
    ("sum_square", 15, reduced("reduce_sum_square", axes=[1]), lambda x: x.square().sum(1), (2, 3, 4)),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)

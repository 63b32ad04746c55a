import numpy as np
import torch
from coremltools.converters.mil.mil import Builder as mb

A = np.array([-7, -3, 4, 9, 2**31 - 1], np.int32)
B = np.array([2, -2, 3, -4, 1], np.int32)
F = np.array([-7.5, -3, 4, 9], np.float32)
G = np.array([2, -2, 3, -4], np.float32)
P = np.array([0.5, 1, 2, 3], np.float32)
C = np.array([True, True, False, False])
D = np.array([True, False, True, False])


def logical(op):
    return lambda: getattr(mb, op)(x=C, y=mb.logical_not(x=mb.const(val=~D)))


CASES = [
    ("add broadcast", 15, lambda x, y: mb.add(x=x, y=y), torch.add, (2, 1, 3), (4, 1)),
    ("add integers, which wrap", 15, lambda x, y: mb.add(x=x, y=y), torch.add, A, B),
    ("equal", 15, lambda x, y: mb.equal(x=x, y=y), torch.eq, A, A[::-1].copy()),
    ("floor_div", 15, lambda x, y: mb.floor_div(x=x, y=y), torch.floor_divide, F, G),
    ("floor_div of integers", 15, lambda x, y: mb.floor_div(x=x, y=y), torch.floor_divide, A, B),
    ("greater", 15, lambda x, y: mb.greater(x=x, y=y), torch.gt, F, G),
    ("greater_equal", 15, lambda x, y: mb.greater_equal(x=x, y=y), torch.ge, A, B),
    ("less", 15, lambda x, y: mb.less(x=x, y=y), torch.lt, F, G),
    ("less_equal", 15, lambda x, y: mb.less_equal(x=x, y=y), torch.le, A, B),
    ("logical_and", 15, logical("logical_and"), lambda: torch.from_numpy(C & D)),
    ("logical_or", 15, logical("logical_or"), lambda: torch.from_numpy(C | D)),
    ("logical_xor", 15, logical("logical_xor"), lambda: torch.from_numpy(C ^ D)),
    ("maximum", 15, lambda x, y: mb.maximum(x=x, y=y), torch.maximum, F, G),
    ("minimum", 15, lambda x, y: mb.minimum(x=x, y=y), torch.minimum, A, B),
    ("mod has the divisor's sign", 15, lambda x, y: mb.mod(x=x, y=y), torch.remainder, F, G),
    ("mod of integers", 15, lambda x, y: mb.mod(x=x, y=y), torch.remainder, A, B),
    ("mul", 15, lambda x, y: mb.mul(x=x, y=y), torch.mul, (3, 4), (4,)),
    ("not_equal", 15, lambda x, y: mb.not_equal(x=x, y=y), torch.ne, A, B),
    ("pow", 15, lambda x, y: mb.pow(x=x, y=y), torch.pow, P, G),
    ("real_div", 15, lambda x, y: mb.real_div(x=x, y=y), torch.div, F, G),
    ("sub", 15, lambda x, y: mb.sub(x=x, y=y), torch.sub, (3, 4), (3, 1)),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)

import numpy as np
import torch
from coremltools.converters.mil.mil import Builder as mb

INNER = np.linspace(-0.9, 0.9, 12, dtype=np.float32).reshape(3, 4)
POSITIVE = np.linspace(0.1, 4, 12, dtype=np.float32).reshape(3, 4)
HALVES = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)

CASES = [
    ("abs", 15, lambda x: mb.abs(x=x), torch.abs, (2, 3)),
    ("abs of integers", 15, lambda x: mb.abs(x=x), torch.abs, np.array([-3, 0, 4], np.int32)),
    ("acos", 15, lambda x: mb.acos(x=x), torch.acos, INNER),
    ("asin", 15, lambda x: mb.asin(x=x), torch.asin, INNER),
    ("atan", 15, lambda x: mb.atan(x=x), torch.atan, (2, 3)),
    ("atanh", 15, lambda x: mb.atanh(x=x), torch.atanh, INNER),
    ("cast to integers", 15, lambda x: mb.cast(x=x, dtype="int32"), lambda x: x.to(torch.int32), (5, 7)),
    ("cast to bool", 15, lambda x: mb.cast(x=x, dtype="bool"), torch.Tensor.bool, np.array([0, 2, -1], np.int32)),
    ("cast to uint8", 17, lambda x: mb.cast(x=x, dtype="uint8"), torch.Tensor.byte, np.array([0, 2, 255], np.int32)),
    ("ceil", 15, lambda x: mb.ceil(x=x), torch.ceil, (5, 7)),
    ("clip", 15, lambda x: mb.clip(x=x, alpha=-0.5, beta=0.25), lambda x: x.clamp(-0.5, 0.25), (5, 7)),
    ("cos", 15, lambda x: mb.cos(x=x), torch.cos, (2, 3)),
    ("cosh", 15, lambda x: mb.cosh(x=x), torch.cosh, (2, 3)),
    ("erf", 15, lambda x: mb.erf(x=x), torch.erf, (2, 3)),
    ("exp", 15, lambda x: mb.exp(x=x), torch.exp, (2, 3)),
    ("exp2", 15, lambda x: mb.exp2(x=x), torch.exp2, (2, 3)),
    ("floor", 15, lambda x: mb.floor(x=x), torch.floor, (5, 7)),
    ("inverse", 15, lambda x: mb.inverse(x=x, epsilon=0.5), lambda x: 1 / (x + 0.5), POSITIVE),
    ("log", 15, lambda x: mb.log(x=x), torch.log, POSITIVE),
    ("log with epsilon", 15, lambda x: mb.log(x=x, epsilon=0.25), lambda x: torch.log(x + 0.25), POSITIVE),
    ("round to even", 15, lambda x: mb.round(x=x), torch.round, HALVES),
    ("rsqrt", 15, lambda x: mb.rsqrt(x=x, epsilon=0.125), lambda x: torch.rsqrt(x + 0.125), POSITIVE),
    ("sign", 15, lambda x: mb.sign(x=x), torch.sign, (2, 3)),
    ("sin", 15, lambda x: mb.sin(x=x), torch.sin, (2, 3)),
    ("sinh", 15, lambda x: mb.sinh(x=x), torch.sinh, (2, 3)),
    ("sqrt", 15, lambda x: mb.sqrt(x=x), torch.sqrt, POSITIVE),
    ("square", 15, lambda x: mb.square(x=x), torch.square, (2, 3)),
    ("tan", 15, lambda x: mb.tan(x=x), torch.tan, INNER),
    ("tanh", 15, lambda x: mb.tanh(x=x), torch.tanh, (2, 3)),
    ("threshold", 15, lambda x: mb.threshold(x=x, alpha=0.5), lambda x: x.clamp(min=0.5), (5, 7)),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)

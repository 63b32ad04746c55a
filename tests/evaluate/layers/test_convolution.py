"""Against torch's convolutions on explicitly padded inputs."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from converter.errors import EvaluationError


def x(*shape):
    return torch.from_numpy(np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32))


def edges(top, bottom, left, right):
    sizes = [{"startEdgeSize": top, "endEdgeSize": bottom}, {"startEdgeSize": left, "endEdgeSize": right}]
    return {"paddingAmounts": {"borderAmounts": sizes}}


X = x(2, 4, 7, 9)
W = x(6, 4, 3, 2)
GROUPED = x(6, 2, 3, 3)
BIAS = x(6)
VALID = {"valid": {}}
SAME = {"same": {}}
TOP = {"same": {"asymmetryMode": "TOP_LEFT_HEAVY"}}


def fields(w, groups=1, **more):
    channels = {"outputChannels": w.shape[0], "kernelChannels": w.shape[1], "nGroups": groups}
    return channels | {"kernelSize": list(w.shape[2:]), "weights": w.numpy()} | more


def padded(top, bottom, left, right, value=X):
    return functional.pad(value, (left, right, top, bottom))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (fields(W, **VALID), functional.conv2d(X, W)),
        (fields(W), functional.conv2d(X, W)),
        (fields(W, hasBias=True, bias=BIAS.numpy(), **VALID), functional.conv2d(X, W, BIAS)),
        (fields(W, bias=BIAS.numpy(), **VALID), functional.conv2d(X, W)),
        (fields(W, stride=[2, 3], **VALID), functional.conv2d(X, W, stride=(2, 3))),
        (fields(W, dilationFactor=[2, 3], **VALID), functional.conv2d(X, W, dilation=(2, 3))),
        (fields(GROUPED, 2, **VALID), functional.conv2d(X, GROUPED, groups=2)),
        (fields(W, valid=edges(1, 1, 2, 2)), functional.conv2d(X, W, padding=(1, 2))),
        (fields(W, valid=edges(0, 2, 3, 1)), functional.conv2d(padded(0, 2, 3, 1), W)),
        # 7 x 9 by a kernel of 3 x 2 and a stride of 2: 4 x 5 outputs need 2 rows and 1 column of padding
        (fields(W, stride=[2, 2], **SAME), functional.conv2d(padded(1, 1, 0, 1), W, stride=2)),
        (fields(W, stride=[2, 2], **TOP), functional.conv2d(padded(1, 1, 1, 0), W, stride=2)),
        (fields(W, dilationFactor=[1, 2], **SAME), functional.conv2d(padded(1, 1, 1, 1), W, dilation=(1, 2))),
    ],
)
def test_convolution(same, parameters, expected):
    same("convolution", [X.numpy()], parameters, expected.numpy())


def test_leading_axes_are_batch(same):
    deep = x(2, 3, 4, 5, 6)
    expected = torch.stack([functional.conv2d(part, W) for part in deep])
    same("convolution", [deep.numpy()], fields(W), expected.numpy())


def test_weights_may_be_an_input(same):
    parameters = {"outputChannels": 6, "kernelChannels": 4, "kernelSize": [3, 2], "valid": {}}
    same("convolution", [X.numpy(), W.numpy()], parameters, functional.conv2d(X, W).numpy())


T = x(4, 3, 3, 2)  # [in, out / groups, h, w]
Y = functional.conv_transpose2d(X, T, stride=(2, 3))  # [2, 3, 15, 26]


def transposed(w, groups=1, **more):
    sizes = {"kernelChannels": w.shape[0], "outputChannels": w.shape[1] * groups, "nGroups": groups}
    more = {"stride": [2, 3]} | more
    return {"isDeconvolution": True, "kernelSize": list(w.shape[2:]), "weights": w.numpy()} | sizes | more


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (transposed(T), Y),
        (transposed(T, hasBias=True, bias=BIAS[:3].numpy()), Y + BIAS[:3, None, None]),
        (transposed(T, valid=edges(1, 1, 2, 2)), functional.conv_transpose2d(X, T, stride=(2, 3), padding=(1, 2))),
        (transposed(T, valid=edges(0, 2, 1, 3)), Y[..., :-2, 1:-3]),
        (transposed(T, same={}), functional.pad(Y, (0, 1))[..., :14, :]),
        (transposed(T, valid=edges(5, 5, 5, 5), outputShape=[13, 24]), Y[..., 1:-1, 1:-1]),
        (transposed(T, 2), functional.conv_transpose2d(X, T, stride=(2, 3), groups=2)),
        (
            transposed(T, dilationFactor=[2, 2], stride=[1, 1]),
            functional.conv_transpose2d(X, T, dilation=2),
        ),
    ],
)
def test_deconvolution(same, parameters, expected):
    same("convolution", [X.numpy()], parameters, expected.numpy())


X3 = x(2, 4, 5, 6, 7)
W3 = x(6, 2, 2, 3, 3)
T3 = x(4, 3, 2, 3, 3)
CUSTOM3 = dict(zip(("Front", "Back", "Top", "Bottom", "Left", "Right"), (1, 0, 2, 1, 0, 3), strict=True))


def fields3(w, **more):
    deconvolution = more.get("isDeconvolution", False)
    sizes = {"outputChannels": w.shape[1] * 2 if deconvolution else w.shape[0], "inputChannels": 4, "nGroups": 2}
    kernel = dict(zip(("kernelDepth", "kernelHeight", "kernelWidth"), w.shape[2:], strict=True))
    steps = {f"{name}{axis}": 1 for name in ("stride", "dilation") for axis in ("Depth", "Height", "Width")}
    return {"weights": w.numpy()} | sizes | kernel | steps | more


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (fields3(W3, paddingType="VALID"), functional.conv3d(X3, W3, groups=2)),
        (
            fields3(W3, strideDepth=2, dilationWidth=2, hasBias=True, bias=BIAS.numpy()),
            functional.conv3d(X3, W3, BIAS, stride=(2, 1, 1), dilation=(1, 1, 2), groups=2),
        ),
        (
            fields3(W3, dilationDepth=2, dilationHeight=2, strideWidth=2),
            functional.conv3d(X3, W3, stride=(1, 1, 2), dilation=(2, 2, 1), groups=2),
        ),
        (
            fields3(W3, customPaddingBack=1, customPaddingLeft=2),
            functional.conv3d(functional.pad(X3, (2, 0, 0, 0, 0, 1)), W3, groups=2),
        ),
        (
            fields3(W3, **{f"customPadding{side}": amount for side, amount in CUSTOM3.items()}),
            functional.conv3d(functional.pad(X3, (0, 3, 2, 1, 1, 0)), W3, groups=2),
        ),
        (
            fields3(W3, paddingType="SAME", strideHeight=2),  # 6 rows by a kernel of 3 and a stride of 2: one row
            functional.conv3d(functional.pad(X3, (1, 1, 0, 1, 0, 1)), W3, stride=(1, 2, 1), groups=2),
        ),
        (
            fields3(T3, isDeconvolution=True, strideDepth=2, hasBias=True, bias=BIAS.numpy()),
            functional.conv_transpose3d(X3, T3, BIAS, stride=(2, 1, 1), groups=2),
        ),
        (
            fields3(T3, isDeconvolution=True, outputShape=[4, 6, 7]),
            functional.conv_transpose3d(X3, T3, groups=2)[:, :, 1:-1, 1:-1, 1:-1],
        ),
    ],
)
def test_convolution3d(same, parameters, expected):
    same("convolution3d", [X3.numpy()], parameters, expected.numpy())


def test_a_bias_that_is_promised_must_be_there(answer):
    with pytest.raises(EvaluationError, match=r'layer "layer0" \(convolution\): hasBias is set'):
        answer("convolution", [X.numpy()], fields(W, hasBias=True))

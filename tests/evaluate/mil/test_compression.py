"""constexpr ops and quantize, held to coremltools' formulas; the packed forms are written by coremltools' own tools."""

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil.mil import Builder as mb
from coremltools.optimize import coreml as cto

from converter.evaluate import load_model

LEVELS = np.array([[-128, 0, 5], [127, -1, 64]], np.int8)
SCALE, ZERO = np.array([0.5, 0.25], np.float32), np.array([1, -2], np.int8)
DEQUANTIZED = torch.from_numpy((LEVELS.astype(np.float32) - ZERO[:, None]) * SCALE[:, None])
X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)

CASES = [
    (
        "constexpr_affine_dequantize",
        16,
        lambda: mb.constexpr_affine_dequantize(quantized_data=LEVELS, zero_point=ZERO, scale=SCALE, axis=0),
        lambda: DEQUANTIZED,
    ),
    (
        "constexpr_blockwise_shift_scale of fp16",
        18,
        lambda: mb.constexpr_blockwise_shift_scale(
            data=LEVELS.astype(np.float16), scale=SCALE[:, None], offset=ZERO[:, None].astype(np.float16)
        ),
        lambda: DEQUANTIZED,
    ),
    (
        "quantize and dequantize",
        17,
        lambda x: mb.dequantize(
            input=mb.quantize(input=x, zero_point=np.uint8(128), scale=0.0625, output_dtype="uint8"),
            zero_point=np.uint8(128),
            scale=0.0625,
        ),
        lambda x: torch.fake_quantize_per_tensor_affine(x, 0.0625, 128, 0, 255),
        X,
    ),
    (
        "quantize saturates",
        17,
        lambda x: mb.quantize(input=x, scale=0.015625, output_dtype="int8"),
        lambda x: torch.round(x / 0.015625).clamp(-128, 127),
        X,
    ),
]


def test_an_op_answers_as_its_formula(case, precision, compare):
    compare(case, precision)


def linear_model(target):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(64, 96), torch.nn.ReLU(), torch.nn.Linear(96, 32)).eval()
    return ct.convert(
        torch.jit.trace(network, torch.zeros(1, 64)),
        inputs=[ct.TensorType(name="x", shape=(1, 64))],
        outputs=[ct.TensorType(name="y")],
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )


def palette(bits, joint=False, **more):
    return lambda m: cto.palettize_weights(
        m,
        cto.OptimizationConfig(cto.OpPalettizerConfig("kmeans", nbits=bits, weight_threshold=0, **more)),
        **({"joint_compression": True} if joint else {}),
    )


def quantization(joint=False, **more):
    return lambda m: cto.linear_quantize_weights(
        m,
        cto.OptimizationConfig(cto.OpLinearQuantizerConfig(weight_threshold=0, **more)),
        **({"joint_compression": True} if joint else {}),
    )


def pruning(m):
    return cto.prune_weights(
        m, cto.OptimizationConfig(cto.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=0))
    )


COMPRESSIONS = [
    ("int8", ct.target.iOS16, quantization()),
    ("4-bit palette", ct.target.iOS16, palette(4)),
    ("6-bit palette", ct.target.iOS16, palette(6)),
    ("sparse", ct.target.iOS16, pruning),
    ("int8 per channel, iOS18", ct.target.iOS18, quantization()),
    ("int4 in blocks", ct.target.iOS18, quantization(dtype="int4", granularity="per_block", block_size=32)),
    ("2-bit palette, iOS18", ct.target.iOS18, palette(2)),
    ("3-bit palette in groups", ct.target.iOS18, palette(3, granularity="per_grouped_channel", group_size=16)),
    ("4-bit palette of vectors", ct.target.iOS18, palette(4, cluster_dim=2)),
    ("sparse, iOS18", ct.target.iOS18, pruning),
    (
        "uint4 in blocks with offsets",
        ct.target.iOS18,
        quantization(dtype="uint4", granularity="per_block", mode="linear"),
    ),
    ("4-bit palette with scales", ct.target.iOS18, palette(4, enable_per_channel_scale=True)),
    ("sparse 4-bit palette", ct.target.iOS18, lambda m: palette(4, joint=True)(pruning(m))),
    ("sparse int8", ct.target.iOS18, lambda m: quantization(joint=True)(pruning(m))),
    (
        "4-bit palette of int8",
        ct.target.iOS18,
        lambda m: quantization(joint=True, granularity="per_tensor")(palette(4)(m)),
    ),
    (
        "sparse 4-bit palette of int8",
        ct.target.iOS18,
        lambda m: quantization(joint=True, granularity="per_tensor")(palette(4, joint=True)(pruning(m))),
    ),
]


@pytest.mark.parametrize(("target", "compress"), [c[1:] for c in COMPRESSIONS], ids=[c[0] for c in COMPRESSIONS])
def test_a_compressed_model_answers_as_its_decompressed_one(target, compress, tmp_path):
    compressed = compress(linear_model(target))
    compressed.save(str(tmp_path / "small.mlpackage"))
    plain = cto.decompress_weights(compressed)
    x = np.random.default_rng(8).standard_normal((1, 64)).astype(np.float32)
    small = load_model(tmp_path / "small.mlpackage")
    assert any(op.startswith("constexpr") for op in small.op_types())
    np.testing.assert_allclose(small.predict({"x": x})["y"], load_model(plain).predict({"x": x})["y"], atol=1e-5)

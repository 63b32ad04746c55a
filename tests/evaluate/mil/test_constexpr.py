"""Every form of compressed weights, held to coremltools' own decompression of the same ops, number for number."""

import itertools

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Program, types
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

from converter.evaluate import load_model
from converter.evaluate.proto import MIL_pb2, Model_pb2

RNG = np.random.default_rng(5)
# coremltools writes up to 10 numbers into the program and more into weight.bin: both are in the table
SHAPES = [(2, 4), (8, 12), (4, 6, 2, 3)]
FLOATS = ["fp16", "fp32"]
QUANTISED = ["int4", "uint4", "int8", "uint8"]
INDICES = {1: "uint1", 2: "uint2", 3: "uint3", 4: "uint4", 6: "uint6", 8: "uint8"}
LIMITS = {"int4": (-8, 7), "uint4": (0, 15), "int8": (-128, 127), "uint8": (0, 255)}


def levels(name, shape):
    if name in FLOATS:
        return RNG.integers(-9, 9, shape).astype(types.nptype_from_builtin(types.string_to_builtin(name)))
    low, high = LIMITS[name]
    return RNG.integers(low, high + 1, shape).astype(types.nptype_from_builtin(types.string_to_builtin(name)))


def floats(name, shape):
    return RNG.standard_normal(shape).astype({"fp16": np.float16, "fp32": np.float32}[name])


def ones(mask):
    return mask.astype(types.np_uint1_dtype)


def groups(shape, factors):
    return tuple(size // factor for size, factor in zip(shape, factors, strict=True))


CASES = {}


def case(name, opset, op, **arguments):
    assert name not in CASES
    CASES[name] = opset, op, arguments


# iOS16: one scale or one each along an axis; indices and masks packed into bytes
for data, zero, scale, shape in itertools.product(["int8", "uint8"], ["same", "fp32"], FLOATS, SHAPES):
    zero_type = data if zero == "same" else "fp32"
    for axis in (0, -1):
        case(
            f"affine {data} zero {zero} scale {scale} {shape} axis {axis}",
            17,
            "constexpr_affine_dequantize",
            quantized_data=levels(data, shape),
            zero_point=levels(zero_type, shape[axis]),
            scale=floats(scale, shape[axis]),
            axis=axis,
        )
    case(
        f"affine {data} zero {zero} scale {scale} {shape} by one scale",
        17,
        "constexpr_affine_dequantize",
        quantized_data=levels(data, shape),
        zero_point=levels(zero_type, ())[()],
        scale=floats(scale, (1,))[0],
        axis=0,
    )
for bits, table, shape in itertools.product([1, 2, 4, 6, 8], [*FLOATS, "int8", "uint8"], [*SHAPES, (5, 3)]):
    size = -(-bits * int(np.prod(shape)) // 8)
    case(
        f"{bits}-bit palette of {table} {shape}",
        17,
        "constexpr_lut_to_dense",
        indices=RNG.integers(0, 256, size).astype(np.uint8),
        lut=floats(table, 2**bits) if table in FLOATS else levels(table, 2**bits),
        shape=np.array(shape, np.uint32),
    )
for kind, shape in itertools.product([*FLOATS, "int8", "uint8"], [*SHAPES, (5, 3)]):
    mask = RNG.random(np.prod(shape)) < 0.4
    case(
        f"sparse {kind} {shape}",
        17,
        "constexpr_sparse_to_dense",
        nonzero_data=floats(kind, mask.sum()) if kind in FLOATS else levels(kind, mask.sum()),
        mask=np.packbits(mask, bitorder="little"),
        shape=np.array(shape, np.uint32),
    )
case("cast", 17, "constexpr_cast", source_val=floats("fp16", (8, 12)), output_dtype="fp32")

# iOS18: scales, tables and their vectors in blocks along any axes
BLOCKS = [(8, 12), (1, 12), (4, 3)]
for data, offset, scale, block in itertools.product([*QUANTISED, *FLOATS], [None, "same", *FLOATS], FLOATS, BLOCKS):
    shape = (8, 12)
    more = {} if offset is None else {"offset": levels(data if offset == "same" else offset, groups(shape, block))}
    case(
        f"blockwise {data} offset {offset} scale {scale} blocks {block}",
        18,
        "constexpr_blockwise_shift_scale",
        data=levels(data, shape),
        scale=floats(scale, groups(shape, block)),
        **more,
    )
case(
    "blockwise of rank 4",
    18,
    "constexpr_blockwise_shift_scale",
    data=levels("int4", (4, 6, 2, 3)),
    scale=floats("fp16", (4, 2, 1, 1)),
    offset=levels("int4", (4, 2, 1, 1)),
)
for bits, table, block in itertools.product(INDICES, [*FLOATS, "int8", "uint8"], [(8, 12), (2, 4)]):
    tables = (*groups((8, 12), block), 2**bits, 1)
    case(
        f"{bits}-bit palettes of {table} blocks {block}",
        18,
        "constexpr_lut_to_dense",
        indices=RNG.integers(0, 2**bits, (8, 12)).astype(
            types.nptype_from_builtin(types.string_to_builtin(INDICES[bits]))
        ),
        lut=floats(table, tables) if table in FLOATS else levels(table, tables),
    )
for bits, vector, axis, block in itertools.product(INDICES, [2, 4], [0, -1], [(4, 12), (2, 4)]):
    case(
        f"{bits}-bit palettes of vectors of {vector} along {axis} blocks {block}",
        18,
        "constexpr_lut_to_dense",
        indices=RNG.integers(0, 2**bits, (8, 12)).astype(
            types.nptype_from_builtin(types.string_to_builtin(INDICES[bits]))
        ),
        lut=floats("fp16", (*groups((8, 12), block), 2**bits, vector)),
        vector_axis=axis,
    )
case(
    "palettes of vectors of rank 4",
    18,
    "constexpr_lut_to_dense",
    indices=RNG.integers(0, 4, (4, 6, 2, 3)).astype(types.np_uint2_dtype),
    lut=floats("fp32", (2, 3, 1, 1, 4, 3)),
    vector_axis=1,
)
MASK = RNG.random((8, 12)) < 0.4
for kind in [*QUANTISED, *FLOATS]:
    case(
        f"sparse {kind}, iOS18",
        18,
        "constexpr_sparse_to_dense",
        nonzero_data=levels(kind, MASK.sum()),
        mask=ones(MASK),
    )
# joint forms: what is sparse stays so, and sparse_to_dense follows
for bits, (vector, axis), block in itertools.product(INDICES, [(1, None), (2, 0), (4, -1)], [(4, 12), (2, 4)]):
    case(
        f"sparse {bits}-bit palettes of vectors of {vector} along {axis} blocks {block}",
        18,
        "constexpr_lut_to_sparse",
        indices_mask=ones(MASK),
        indices_nonzero_data=RNG.integers(0, 2**bits, MASK.sum()).astype(
            types.nptype_from_builtin(types.string_to_builtin(INDICES[bits]))
        ),
        lut=floats("fp16", (*groups((8, 12), block), 2**bits, vector)),
        **({} if axis is None else {"vector_axis": axis}),
    )
for table in ["fp32", "int8", "uint8"]:
    case(
        f"sparse 4-bit palette of {table}",
        18,
        "constexpr_lut_to_sparse",
        indices_mask=ones(MASK),
        indices_nonzero_data=RNG.integers(0, 16, MASK.sum()).astype(types.np_uint4_dtype),
        lut=floats(table, (1, 1, 16, 1)) if table in FLOATS else levels(table, (1, 1, 16, 1)),
    )
for data, offset, scale, block in itertools.product([*QUANTISED, *FLOATS], [None, "same", *FLOATS], FLOATS, BLOCKS[1:]):
    more = {} if offset is None else {"offset": levels(data if offset == "same" else offset, groups((8, 12), block))}
    case(
        f"sparse blockwise {data} offset {offset} scale {scale} blocks {block}",
        18,
        "constexpr_sparse_blockwise_shift_scale",
        data_mask=ones(MASK),
        nonzero_data=levels(data, MASK.sum()),
        scale=floats(scale, groups((8, 12), block)),
        **more,
    )


def compressed(op, arguments):
    """The dense result of an op on MIL's Builder, and what coremltools decompresses it to."""
    result = getattr(mb, op)(**arguments)
    if not isinstance(result, (tuple, list)):
        return result, result.op.materialized_val_inference()
    mask, nonzero = result[0].op.materialized_val_inference()
    dense = mb.constexpr_sparse_to_dense(nonzero_data=result[1], mask=result[0])
    return dense, type(dense.op).decompress(nonzero, mask)


def converted(program, opset):
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target[f"iOS{opset}"],
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline(pass_names=[], pipeline_name="as_written"),
        skip_model_load=True,
    )


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Case -> what the saved program gives, and what coremltools decompressed."""
    found = {}
    for opset in (17, 18):
        cases = {name: rest for name, (number, *rest) in CASES.items() if number == opset}
        expected, names = {}, {}
        with Function({"x": mb.placeholder((1,))}, opset_version=ct.target[f"iOS{opset}"]) as function:
            outputs = [mb.identity(x=function.inputs["x"])]
            for number, (name, (op, arguments)) in enumerate(cases.items()):
                result, dense = compressed(op, arguments)
                # coremltools gives float32 where an offset is; the declared type counts
                expected[name] = dense.astype(types.nptype_from_builtin(result.dtype))
                names[name] = f"y{number}"
                if result.dtype in (types.int4, types.uint4):  # no op but these takes them: read the weight itself
                    result = mb.constexpr_blockwise_shift_scale(
                        data=result, scale=np.ones((1,) * result.rank, np.float32)
                    )
                outputs.append(mb.cast(x=result, dtype="fp32", name=names[name]))
            function.set_outputs(outputs)
        program = Program()
        program.add_function("main", function)
        path = tmp_path_factory.mktemp("weights") / "weights.mlpackage"
        converted(program, opset).save(str(path))
        answer = load_model(path).predict({"x": np.zeros(1)}, outputs=[*names.values()])
        found |= {name: (answer[names[name]], expected[name]) for name in cases}
    return found


@pytest.mark.parametrize("name", CASES)
def test_weights_are_what_coremltools_decompresses(name, answers):
    got, expected = answers[name]
    assert got.shape == expected.shape
    # coremltools computes in fp16 where scales are fp16, and rounds twice what is rounded here once
    tolerance = 2e-3 if expected.dtype == np.float16 and "blockwise" in name else 1e-6
    np.testing.assert_allclose(got, expected.astype(np.float32), rtol=tolerance, atol=tolerance / 10)


def test_every_compressing_op_has_cases_for_every_type_it_takes():
    assert {op for _, op, _ in CASES.values()} == {n for n in SSAOpRegistry.core_ops if n.startswith("constexpr_")}
    for (opset, op), cases in itertools.groupby(sorted(CASES.values(), key=lambda c: c[:2]), key=lambda c: c[:2]):
        given = [arguments for _, _, arguments in cases]
        versions = {int(t.name.removeprefix("iOS")): kind for t, kind in SSAOpRegistry.core_ops[op].items()}
        definition = versions[max(since for since in versions if since <= opset)]
        for name, kind in definition.input_spec.input_types.items():
            used = {type_name(arguments[name]) for arguments in given if name in arguments}
            allowed = definition.type_domains.get(kind.type_domain_id, ()) if kind.type_domain_id else ()
            assert {types.builtin_to_string(t) for t in allowed} <= used, f"{op}: {name}"


def type_name(value):
    return types.builtin_to_string(types.numpy_type_to_builtin_type(np.asarray(value).dtype))


def pack(values, bits):
    """Sub-byte numbers one after the other, the lowest bit first."""
    stream = ((values.reshape(-1, 1) >> np.arange(bits)) & 1).astype(np.uint8).reshape(-1)
    return np.packbits(stream, bitorder="little").tobytes()


@pytest.fixture(scope="module")
def blockwise(tmp_path_factory):
    """A package whose weight `w`, [4, 8] of uint8, has a scale for each half of a row; its model file and its spec."""
    with Function({"x": mb.placeholder((4, 8))}, opset_version=ct.target.iOS18) as function:
        weight = mb.constexpr_blockwise_shift_scale(
            data=np.zeros((4, 8), np.uint8), scale=np.array([[0.5, 2]] * 4, np.float32), name="w"
        )
        function.set_outputs([mb.add(x=function.inputs["x"], y=weight, name="y")])
    program = Program()
    program.add_function("main", function)
    path = tmp_path_factory.mktemp("blocks") / "w.mlpackage"
    converted(program, 18).save(str(path))
    return path, path / "Data/com.apple.CoreML/model.mlmodel"


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
def test_blocks_of_any_width_that_a_file_can_say_are_read(bits, blockwise):
    """coremltools writes 4 and 8 bits; MIL.proto has more, so the file is edited."""
    path, file = blockwise
    spec = Model_pb2.Model.FromString(file.read_bytes())
    main = spec.mlProgram.functions["main"]
    (operation,) = [o for o in main.block_specializations[main.opset].operations if o.outputs[0].name == "w"]
    value = operation.inputs["data"].arguments[0].value
    values = np.random.default_rng(bits).integers(0, 2**bits, (4, 8))
    value.type.tensorType.dataType = MIL_pb2.DataType.Value(f"UINT{bits}")
    value.immediateValue.tensor.bytes.values = pack(values, bits)
    file.write_bytes(spec.SerializeToString())
    x = np.ones((4, 8), np.float32)
    expected = x + values * np.repeat([0.5, 2], 4)
    np.testing.assert_array_equal(load_model(path).predict({"x": x})["y"], expected)

"""Constants in the types that Core ML has: what fits is kept, what means "no limit" saturates, the rest is refused."""

import ml_dtypes
import numpy as np
import pytest

from converter.convert.onnx.builder import Unsupported, mil_dtype, narrow

F16, F32 = np.float16, np.float32
MAX16, MAX32, MAX64 = (np.finfo(t).max for t in (F16, F32, np.float64))
TINY = np.finfo(F32).tiny


@pytest.mark.parametrize(
    ("value", "dtype", "wanted"),
    [
        (np.array([1.5, -2.0]), F32, np.array([1.5, -2.0], F32)),
        (np.array([-MAX64, np.inf, 1.0]), F32, np.array([-MAX32, np.inf, 1.0], F32)),
        (np.array([1e-60]), F32, np.array([TINY], F32)),
        (np.array([-1e-60]), F32, np.array([-TINY], F32)),
        (np.array([1e-60, 1.0]), F32, np.array([0.0, 1.0], F32)),
        (np.array([0.0]), F32, np.array([0.0], F32)),
        (np.array([-MAX64, -np.inf]), F16, np.array([-MAX16, -MAX16], F16)),
        (np.array([1e-60]), F16, np.array([6e-8], F16)),
        (np.array([1.5, 2.0], ml_dtypes.bfloat16), F32, np.array([1.5, 2.0], F32)),
        (np.array([True, False]), F16, np.array([True, False])),
        (np.array([1, np.iinfo(np.int64).max]), F32, np.array([1, np.iinfo(np.int32).max], np.int32)),
        (np.array([7], np.uint8), F16, np.array([7], np.int32)),
    ],
)
def test_a_constant_is_narrowed_to_what_core_ml_holds(value, dtype, wanted):
    got = narrow(value, dtype)
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([1e39, 1.0]), "the number 1e\\+39 does not fit Core ML's 32 bits"),
        (np.array([1 << 40]), "the integer 1099511627776 does not fit Core ML's 32 bits"),
        (np.array([1 << 33], np.uint64), "the integer 8589934592 does not fit"),
        (np.array([1], ml_dtypes.int4), "constants of type int4 have no place in Core ML"),
        (np.array(["a"]), "constants of type <U1 have no place in Core ML"),
    ],
)
@pytest.mark.parametrize("dtype", [F16, F32])
def test_a_constant_that_would_become_another_number_is_refused(value, words, dtype):
    with pytest.raises(Unsupported, match=words):
        narrow(value, dtype)


def test_weights_are_not_copied_where_nothing_changes():
    weights = np.ones((2, 3), F32)
    assert np.shares_memory(narrow(weights, F32), weights)


@pytest.mark.parametrize(
    ("dtype", "held"),
    [
        *(("float32", "fp16"), ("float64", "fp16"), ("bfloat16", "fp16")),
        *(("int64", "int32"), ("uint8", "int32"), ("bool", "bool")),
    ],
)
def test_an_element_type_is_held_as_one_of_four(dtype, held):
    assert mil_dtype(dtype, "fp16") == held


@pytest.mark.parametrize(
    "dtype", ["string", "complex64", "int4", "uint2", "float8e4m3fn", "float4e2m1", "sequence", ""]
)
def test_an_element_type_without_a_place_is_refused(dtype):
    with pytest.raises(Unsupported, match="have no place in Core ML"):
        mil_dtype(dtype, "fp32")

"""Bits by arithmetic, held to onnxruntime over the whole range of each type that int32 holds."""

import numpy as np
import pytest

from converter.errors import UnsupportedOpsError

R = np.random.default_rng(3)
DTYPES = ["uint8", "int8", "uint16", "int16", "int32"]


def numbers(dtype, *shape):
    limits = np.iinfo(dtype)
    values = R.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    values.reshape(-1)[:2] = limits.min, limits.max
    return values


def run_time(array):
    return {"input": array}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
def test_two_numbers_are_combined_bit_by_bit(op, dtype, held):
    held((op, 18, [run_time(numbers(dtype, 2, 3, 4)), run_time(numbers(dtype, 3, 1))], {}))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_is_combined_bit_by_bit(dtype, held):
    held(("BitwiseXor", 18, [run_time(numbers(dtype, 3, 4)), numbers(dtype, 2, 1, 4)], {}))
    held(("BitwiseAnd", 18, [numbers(dtype, 4), run_time(numbers(dtype, 3, 4))], {}))


def test_tensors_of_rank_5_are_combined(held):
    held(("BitwiseOr", 18, [run_time(numbers("int32", 2, 1, 2, 3, 2)), run_time(numbers("int32", 3, 1, 3, 1))], {}))


def test_64_bits_are_taken_where_they_lie_in_32(held):
    held(("BitwiseXor", 18, [run_time(R.integers(-(2**31), 2**31, (4, 5))), run_time(R.integers(0, 2**31, 5))], {}))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_bit_is_turned(dtype, held):
    held(("BitwiseNot", 18, [run_time(numbers(dtype, 3, 4))], {}))


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
def test_bits_beyond_int32_are_not_turned(dtype, held):
    with pytest.raises(UnsupportedOpsError, match=f"no result of type {dtype} would fit"):
        held(("BitwiseNot", 18, [run_time(np.array([1, 2], dtype))], {}))


SHIFTS = np.arange(-2, 34)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_are_shifted_by_any_number_of_places(dtype, direction, known, held):
    """onnxruntime knows the unsigned types of opset 11; the reference has the rules of 28 for all."""
    signed = dtype.startswith("int")
    places = (SHIFTS if signed else SHIFTS[2:]).astype(dtype)
    x = run_time(numbers(dtype, 5, len(places)))
    case = ("BitShift", 28, [x, places if known else run_time(places)], {"direction": direction})
    held(case, oracle="reference")


@pytest.mark.parametrize("dtype", ["uint8", "uint32", "uint64"])
def test_bits_are_shifted_as_of_opset_11(dtype, held):
    x, places = np.array([1, 2, 3, 100], dtype), np.array([3, 1, 0, 2], dtype)
    held(("BitShift", 11, [run_time(x), run_time(places)], {"direction": "LEFT"}))
    held(("BitShift", 11, [run_time(x), places], {"direction": "RIGHT"}))


def test_a_constant_is_shifted(held):
    places = np.array([0, 1, 7, 30, 31], np.int32)
    held(("BitShift", 28, [np.array([-5], np.int32), run_time(places)], {"direction": "LEFT"}), oracle="reference")


def test_no_64_bits_are_shifted_out_of_32(held):
    with pytest.raises(UnsupportedOpsError, match="more than 30 places would leave"):
        held(("BitShift", 28, [run_time(np.array([1])), np.array([40])], {"direction": "LEFT"}), oracle="reference")

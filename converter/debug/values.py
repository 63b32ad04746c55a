"""A value inside a model, and how far two that should be the same are apart."""

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np

FLOAT16_MAX = 65504.0
_HIDDEN = -3e4  # a mask holds float32's lowest number, or float16's: both hide what they are added to
_MAX_ARRANGEMENTS = 24  # of axes: more are not tried


@dataclass(frozen=True)
class Value:
    """`path` is the torch module that computes it, where one is known."""

    op_type: str
    name: str
    array: np.ndarray
    path: str = ""

    @cached_property
    def size_of_numbers(self) -> tuple[float, float]:
        """The largest and the mean magnitude, which no other order of the elements changes."""
        magnitude = np.abs(_finite(self.array).astype(np.float64))
        return float(magnitude.max()), float(magnitude.mean())

    @cached_property
    def is_weak(self) -> bool:
        """Whether it says too little to be told from another: a scalar, or one number all over."""
        return self.array.size < 2 or bool(np.ptp(_finite(self.array)) == 0)


@dataclass(frozen=True)
class Distance:
    """psnr_db is 20 log10(max|reference| / RMSE), inf where nothing differs; `peak` is max|reference|."""

    psnr_db: float
    max_abs_error: float
    peak: float
    problem: str = ""


def distance(reference: np.ndarray, candidate: np.ndarray) -> Distance:
    """Of two arrays with as many elements; where the reference is infinite or hides, it says nothing."""
    expected, got = (array.astype(np.float64).ravel() for array in (reference, candidate))
    told = np.isfinite(expected) & ~((expected < _HIDDEN) & (got < _HIDDEN))
    expected, got = expected[told], got[told]
    peak = float(np.max(np.abs(expected), initial=0.0))
    if problem := _problem(got, peak):
        return Distance(-np.inf, np.inf, peak, problem)
    error = got - expected
    largest = float(np.max(np.abs(error), initial=0.0))
    if largest == 0:
        return Distance(np.inf, 0.0, peak)
    rmse = float(np.sqrt(np.mean(np.square(error))))
    with np.errstate(divide="ignore"):
        return Distance(float(20 * np.log10(peak / rmse)), largest, peak, _lost(got, expected))


def _problem(got: np.ndarray, peak: float) -> str:
    nan, infinite = int(np.isnan(got).sum()), int(np.isinf(got).sum())
    said = []
    if infinite:
        beyond = f": beyond float16's {FLOAT16_MAX:g}, the source has up to {peak:.4g}" if peak > FLOAT16_MAX else ""
        said.append(f"{infinite} of {got.size} values are infinite{beyond}")
    if nan:
        said.append(f"{nan} of {got.size} values are NaN")
    return "; ".join(said)


def _lost(got: np.ndarray, expected: np.ndarray) -> str:
    """Numbers that float16 cut off at its end, or took for zero."""
    cut = int(((np.abs(expected) > FLOAT16_MAX) & (np.abs(got) == FLOAT16_MAX)).sum())
    if cut:
        return f"{cut} of {got.size} values are cut off at float16's {FLOAT16_MAX:g}"
    gone = int(((got == 0) & (expected != 0)).sum())
    small = ": below float16's 6e-08" if gone and float(np.max(np.abs(expected[got == 0]))) < 6e-8 else ""
    return f"{gone} of {got.size} values became zero{small}" if gone * 2 > got.size else ""


def arranged(reference: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
    """The ways in which a value with as many elements may be laid out in `shape`.

    Where the shapes are the same it must be as it is: another order of the axes is then a mistake, no layout.
    """
    here, there = [tuple(side for side in each if side != 1) for each in (reference.shape, shape)]
    flat = reference.reshape(here)
    if here == there:
        return [flat]
    if sorted(here) != sorted(there):
        return [flat.reshape(-1)]  # reshaped
    orders = [order for order in permutations(range(len(here))) if tuple(here[axis] for axis in order) == there]
    return [flat.transpose(order) for order in orders[:_MAX_ARRANGEMENTS]]


def nearest(reference: np.ndarray, candidate: np.ndarray) -> Distance:
    """The distance in the layout that fits best."""
    return max((distance(each, candidate) for each in arranged(reference, candidate.shape)), key=lambda d: d.psnr_db)


def _finite(array: np.ndarray) -> np.ndarray:
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array.astype(np.int64)
    return finite if finite.size else np.zeros(1)

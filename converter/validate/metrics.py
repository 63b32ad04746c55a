"""How far a candidate is from its reference. numpy only: the job on macOS runs this too.

PSNR has several definitions; ours is 20 log10(max|reference| / RMSE) on the flattened values, in float64.
"""

from typing import Literal

import numpy as np

from converter.errors import ValidationError

Agreement = Literal["same", "near tie", "different"]


def pair(reference: np.ndarray, candidate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both flattened as float64; raises ValidationError where the shapes differ."""
    if reference.shape != candidate.shape:
        raise ValidationError(
            f"the source answers with shape {list(reference.shape)}, the Core ML model with {list(candidate.shape)}",
            fix="report this with the model: a conversion must not change an output's shape",
        )
    return reference.astype(np.float64).ravel(), candidate.astype(np.float64).ravel()


def non_finite(values: np.ndarray) -> int:
    """How many values are NaN or infinite."""
    return int(np.count_nonzero(~np.isfinite(values.astype(np.float64))))


def psnr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    """20 log10(max|reference| / RMSE) in dB: inf where all values are equal, -inf where the reference is all zero and
    the candidate is not, or where the candidate holds NaN or infinity.
    """
    expected, got = pair(reference, candidate)
    if non_finite(got):
        return -np.inf
    rmse = np.sqrt(np.mean(np.square(got - expected))) if expected.size else 0.0
    if rmse == 0:
        return np.inf
    peak = np.max(np.abs(expected))
    return float(20 * np.log10(peak / rmse)) if peak > 0 else -np.inf


def max_abs_error(reference: np.ndarray, candidate: np.ndarray) -> float:
    """The largest |candidate - reference|; inf where the candidate holds NaN."""
    expected, got = pair(reference, candidate)
    if not expected.size:
        return 0.0
    return np.inf if non_finite(got) else float(np.max(np.abs(got - expected)))


def cosine(reference: np.ndarray, candidate: np.ndarray) -> float:
    """The cosine between both, 1 where both are all zero, 0 where one is or where the candidate holds NaN."""
    expected, got = pair(reference, candidate)
    if non_finite(got):
        return 0.0
    # Scaled first, so that neither the squares of huge values nor those of tiny ones leave float64.
    peaks = [np.max(np.abs(values), initial=0.0) for values in (expected, got)]
    if min(peaks) == 0:
        return 1.0 if max(peaks) == 0 else 0.0
    expected, got = expected / peaks[0], got / peaks[1]
    return float(np.clip(expected @ got / (np.linalg.norm(expected) * np.linalg.norm(got)), -1.0, 1.0))


def allowed_drift(reference: np.ndarray, psnr_limit_db: float, max_abs_limit: float | None = None) -> float:
    """The drift per value that the gates let pass: the RMSE at the PSNR limit, or the max_abs_error limit if smaller.

    It comes from the gates and the reference alone: a measured drift would let a broken model excuse itself.
    """
    rmse = float(np.max(np.abs(reference.astype(np.float64)), initial=0.0)) * 10 ** (-psnr_limit_db / 20)
    return rmse if max_abs_limit is None else min(rmse, max_abs_limit)


def top(scores: np.ndarray, count: int) -> list[int]:
    """The classes with the highest scores, highest first; the earlier class wins a tie."""
    return [int(index) for index in np.argsort(-scores.astype(np.float64).ravel(), kind="stable")[:count]]


def top1_agreement(reference: np.ndarray, candidate_class: int, drift: float) -> Agreement:
    """Whether the candidate's first class is the reference's.

    A near tie is excused: the candidate's class stands below the reference's first by less than `drift`, the drift
    that the gates allow.
    """
    scores = reference.astype(np.float64).ravel()
    first = top(scores, 1)[0]
    if candidate_class == first:
        return "same"
    return "near tie" if scores[first] - scores[candidate_class] < drift else "different"


def top5_agreement(reference: np.ndarray, candidate: np.ndarray, drift: float) -> float:
    """The share of the candidate's five first classes that are among the reference's, near ties counted as equal."""
    expected, got = pair(reference, candidate)
    if non_finite(got):
        return 0.0
    count = min(5, expected.size)
    last = expected[top(expected, count)[-1]]
    return sum(bool(expected[index] >= last or last - expected[index] < drift) for index in top(got, count)) / count

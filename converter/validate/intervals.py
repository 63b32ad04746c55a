"""How far a figure of a labelled set can be trusted, and whether two differ by more than chance.

Shares of right answers have Wilson's interval and McNemar's exact test; figures over a whole set (mean IoU, mAP) are
measured again on sets drawn from it, with a fixed seed, the same draws for both sides.
"""

import math
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
SIGNIFICANT_P = 1 - CONFIDENCE
RESAMPLES = 1000
_SEED = 20210607

Interval = tuple[float, float]


def wilson(right: int, count: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of the share `right` / `count`: https://doi.org/10.1080/01621459.1927.10502953."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = right / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    # at the ends rounding may leave a last digit
    return (0.0 if right == 0 else middle - half, 1.0 if right == count else middle + half)


def mcnemar(reference_right: np.ndarray, candidate_right: np.ndarray) -> float:
    """The exact, two-sided p-value that both are right equally often; only samples where they disagree count.

    https://doi.org/10.1007/BF02295996, with the binomial distribution itself.
    """
    lost = int(np.count_nonzero(reference_right & ~candidate_right))
    won = int(np.count_nonzero(candidate_right & ~reference_right))
    disagreed = lost + won
    tail = sum(math.comb(disagreed, k) for k in range(min(lost, won) + 1))
    return float(min(1.0, 2 * tail / 2**disagreed))


def resampled(count: int) -> np.ndarray:
    """How often each of `count` samples is drawn, in each of the bootstrap's sets: [RESAMPLES, count]."""
    random = np.random.default_rng(_SEED)
    return random.multinomial(count, np.full(count, 1 / count), RESAMPLES)


def percentiles(drawn: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """The bootstrap's percentile interval."""
    low, high = np.nanquantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def paired_p(reference: np.ndarray, candidate: np.ndarray) -> float:
    """The bootstrap's two-sided p-value that both figures are equal, from the same draws of both."""
    difference = candidate - reference
    difference = difference[np.isfinite(difference)]
    beyond = min(np.count_nonzero(difference <= 0), np.count_nonzero(difference >= 0))
    return float(min(1.0, 2 * (beyond + 1) / (len(difference) + 1)))

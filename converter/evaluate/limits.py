"""What a small file may ask for: a damaged or hostile one is refused before it fills the memory or never ends."""

import math
from collections.abc import Sequence

from converter.errors import EvaluationError

LARGEST_BYTES = 16 << 30  # of one value; the largest table of words that is known takes 4 GB
LONGEST_LOOP = 100_000  # iterations; a recurrence over every sample of two seconds of sound

# What a kernel raises when its arguments do not fit, because the file is wrong, or when there is not enough memory.
KERNEL_ERRORS = (
    RuntimeError,
    ValueError,
    IndexError,
    TypeError,
    KeyError,
    ArithmeticError,
    AttributeError,
    MemoryError,
)


def check_size(shape: Sequence[int], bits: int = 32) -> None:
    """Raise EvaluationError for a value that would take more than LARGEST_BYTES."""
    size_bytes = math.prod(shape) * bits // 8
    if size_bytes > LARGEST_BYTES:
        raise EvaluationError(
            f"a value of shape {list(shape)} takes {size_bytes:,} bytes; {LARGEST_BYTES:,} are the most",
            fix="the file is damaged, or asks for too much: convert the model again",
        )


def check_iterations(count: int) -> None:
    """Raise EvaluationError for a loop that goes on too long."""
    if count > LONGEST_LOOP:
        raise EvaluationError(
            f"a loop goes on after {LONGEST_LOOP:,} iterations", fix="its condition may never become false"
        )

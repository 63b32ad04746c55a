"""Every error that a user can see.

    ConverterError                1   also: models failed for different reasons
    ├── ManifestError             2   the manifest or the command line is wrong; nothing was converted
    ├── SourceError               3   a model, checkpoint, label file or data set cannot be loaded
    │   └── DownloadError         3   it could not be fetched
    ├── ConversionError           4   the model cannot be converted
    │   └── UnsupportedOpsError   4   it holds ops that have no lowering; lists all of them
    ├── ValidationError           5   the Core ML model does not answer as its source does
    ├── OutputError               6   the output cannot be written
    ├── EvaluationError           7   a Core ML file cannot be read or run
    ├── PublishError              8   a finished dist folder could not be published
    └── WorkerError               9   a worker process died (crash, out of memory)
        ├── TimeLimitError            a task took longer than it may
        └── MemoryLimitError          a task took more memory than it may

Each message says what is wrong, where, and how to fix it. The place is a chain that grows as the error rises:
`models.yml:14:5 resnet50 > convert > node "/layer1/conv" (Conv, opset 17)`.
"""

from collections.abc import Iterable, Sequence
from typing import Self


class ConverterError(Exception):
    """What is wrong (`problem`), where (`where`, outermost first) and the way out (`fix`)."""

    exit_code = 1

    def __init__(self, problem: str, *, where: Sequence[str] = (), fix: str = "") -> None:
        super().__init__(problem, tuple(where), fix)
        self.problem = problem
        self.where = tuple(where)
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross from worker processes whole."""
        return _restore, (type(self), self.__dict__)

    def within(self, *places: str) -> Self:
        """The same error, seen from further out."""
        self.where = (*places, *self.where)
        return self

    def __str__(self) -> str:
        place = " > ".join(self.where)
        return "".join([f"{place}: " if place else "", self.problem, f"\n  fix: {self.fix}" if self.fix else ""])


def _restore(kind: type[ConverterError], state: dict[str, object]) -> ConverterError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (state["problem"], state["where"], state["fix"])
    return error


class ManifestError(ConverterError):
    """The manifest or the command line is wrong; `problem` may hold several complaints, one a line."""

    exit_code = 2


class SourceError(ConverterError):
    exit_code = 3


class DownloadError(SourceError):
    """A file could not be fetched. Never holds credentials."""


class ConversionError(ConverterError):
    exit_code = 4


class UnsupportedOpsError(ConversionError):
    """Every node that has no lowering, each with op, opset, name and reason.

    `inputs` are the model's inputs on which values depend that must be known at conversion.
    """

    inputs: frozenset[str] = frozenset()


class ValidationError(ConverterError):
    exit_code = 5


class OutputError(ConverterError):
    exit_code = 6


class EvaluationError(ConverterError):
    exit_code = 7


class PublishError(ConverterError):
    exit_code = 8


class WorkerError(ConverterError):
    exit_code = 9


class TimeLimitError(WorkerError):
    """A task took longer than it may, and was ended."""


class MemoryLimitError(WorkerError):
    """A task took more memory than it may, with all that it started, and was ended."""


def shared_exit_code(codes: Iterable[int]) -> int:
    """The exit code of several failures: their own where they agree, else 1; 0 where there are none."""
    kinds = set(codes)
    return kinds.pop() if len(kinds) == 1 else int(bool(kinds))

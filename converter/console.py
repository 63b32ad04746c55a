"""What a person sees while models are built: live lines on a terminal, plain lines elsewhere, and a closing table."""

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from converter.errors import ConverterError
from converter.model import ModelRecord, Published
from converter.report import figures
from converter.report.figures import Row, rows
from converter.workflow import Guarded
from converter.workflow.groups import Groups

if TYPE_CHECKING:
    from rich.console import Console as Rich

_NAMED = 10
_LISTED = 50  # models in the closing table, whatever became of them
_WIDE = 200  # where no terminal says how wide it is


class Console:
    """Progress and results; a context manager, so that the live lines end cleanly."""

    def __init__(self, stream: TextIO | None = None, *, jobs: int = 1, verbose: bool = False) -> None:
        stream = stream or sys.stdout
        self._rich = _rich(stream)
        self._groups = Groups(stream, held=jobs > 1, shared=verbose) if isinstance(stream, Guarded) else None
        self._verbose = verbose
        self._live: Any = None
        self._tasks: dict[str, Any] = {}
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        if self._rich.is_terminal:
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("[bold]{task.fields[model]}"), TextColumn("{task.description}"))
            self._live = Progress(*columns, TimeElapsedColumn(), console=self._rich, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
            self._live = None
        if self._groups:
            self._groups.end_all()

    @property
    def is_held(self) -> bool:
        """Whether a model's lines are held until it ends; what the libraries print must not pass through then."""
        return self._groups is not None and self._groups.are_held

    def say(self, words: str, style: str = "") -> None:
        """A line for the log, as it is: nothing in it is markup."""
        self._rich.print(words, markup=False, style=style or None, soft_wrap=True)

    def stage(self, model: str, stage: str) -> None:
        """A model enters a stage."""
        if self._live:
            if model not in self._tasks:
                self._tasks[model] = self._live.add_task(stage, model=model, total=None)
            self._live.update(self._tasks[model], description=stage)
        elif self._groups:
            self._groups.say(model, f"[{self._clock()}] {stage}")
        else:
            self.say(f"[{self._clock()}] {model}: {stage}")

    def finished(self, record: ModelRecord, log: Path | None = None) -> None:
        """A model is built, or is not; `log` is what the libraries printed, where that did not pass through."""
        if record.name in self._tasks:
            self._live.remove_task(self._tasks.pop(record.name))
        if self._groups:
            self._groups.end(record.name, _read(log) if self._verbose and self.is_held else "")
        seconds = sum(record.seconds.values())
        if record.passed:
            self.say(f"[{self._clock()}] {record.name}: passed in {seconds:.1f} s", "green")
        else:
            self.say(f"[{self._clock()}] {record.name}: FAILED\n{record.error}", "red")

    def reused(self, names: Sequence[str]) -> None:
        """Models that nothing changed for; one line for all of them."""
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            self.say(f"[{self._clock()}] reused, as nothing changed: {', '.join(names[:_NAMED])}{more}", "green")

    def table(self, records: Sequence[ModelRecord]) -> None:
        """The closing table: a row for each file; of many models only of those that were converted."""
        from rich import box
        from rich.table import Table

        if len(records) > _LISTED:
            records = [record for record in records if not record.reused]
        if not records:
            return
        table = Table(box=box.SIMPLE_HEAD if self._rich.is_terminal else box.ASCII2)
        for title, justify in zip(Row._fields, Row.JUSTIFY, strict=True):
            table.add_column(title.replace("_", " "), justify=justify, no_wrap=True)
        for row in rows(records):
            table.add_row(*row, style=None if row.passed else "red")
        self._rich.print(table)

    def _clock(self) -> str:
        return f"{time.perf_counter() - self._started:6.1f} s"


def _rich(stream: TextIO) -> "Rich":
    from rich.console import Console as Rich

    if isinstance(stream, Guarded):  # plain text: FORCE_COLOR, which many workflows set, would make it a terminal
        return Rich(file=stream, highlight=False, width=_WIDE, force_terminal=False, color_system=None)
    # elsewhere than on a terminal a line must not be broken: logs are searched
    return Rich(file=stream, highlight=False, width=None if stream.isatty() else _WIDE)


def _read(log: Path | None) -> str:
    with contextlib.suppress(OSError):
        return log.read_text(encoding="utf-8", errors="replace") if log else ""
    return ""


class Uploads:
    """A bar of bytes for each file on a terminal, a line for each elsewhere; call it with a file's progress."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        rich = _rich(sys.stderr)
        self._bars = (
            Progress(
                TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=rich
            )
            if rich.is_terminal
            else None
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def __call__(self, name: str, sent: int, size: int) -> None:
        if self._bars:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=size)
            self._bars.update(self._tasks[name], completed=sent)
        elif sent == size and name not in self._tasks:
            self._tasks[name] = True
            print(f"sent {name}, {figures.size(size)}", file=sys.stderr)


def published(records: Sequence[Published]) -> None:
    """The closing table of publishing: what happened to each file, and where it is now."""
    for record in records:
        print(f"published to {record.target}:")
        for file in record.files:
            print(f"  {file.action:8}  {figures.size(file.size_bytes):>9}  {file.url}")
        sent = sum(file.action != "skipped" for file in record.files)
        print(f"  {sent} of {len(record.files)} files were sent" + ("; all were there already" if not sent else ""))


def complain(error: ConverterError) -> None:
    """Say an error on standard error, where a terminal shows it and a pipe does not swallow it."""
    sys.stdout.flush()
    print(f"error: {error}", file=sys.stderr)

"""What a GitHub workflow sees of a run: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.

Outside a workflow nothing of it happens.
"""

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from typing import TextIO

from converter.workflow.annotations import Annotation, Annotations
from converter.workflow.files import write_outputs, write_summary
from converter.workflow.stream import Guarded

__all__ = ["Annotation", "Annotations", "Guarded", "in_workflow", "step", "write_outputs", "write_summary"]


def in_workflow() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


@contextlib.contextmanager
def step(*, prints_data: bool = False) -> Iterator[Annotations]:
    """A command's part of a step: all it prints is guarded, its annotations are written when it ends.

    Both of its streams become one: the runner reads them side by side, so that a command on one of them could reach it
    while the other one is stopped. Where standard output is for another program or a file, it stays as it is.
    """
    annotations = Annotations()
    if not in_workflow():
        yield annotations
        return
    with contextlib.ExitStack() as streams:
        if prints_data or _is_file(sys.stdout):
            stream = Guarded(sys.stderr)
        else:
            if sys.stdout is sys.__stdout__:  # nobody captures it
                streams.enter_context(_errors_to_output())
            stream = Guarded(sys.stdout)
            streams.enter_context(contextlib.redirect_stdout(stream))
        streams.enter_context(contextlib.redirect_stderr(stream))
        try:
            yield annotations
        finally:
            for line in annotations.lines():
                stream.command(line)
            stream.end()


def _is_file(stream: TextIO) -> bool:
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):  # captured: there is no descriptor
        return False
    return stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not stream.isatty())


@contextlib.contextmanager
def _errors_to_output() -> Iterator[None]:
    """For what worker processes print: they inherit the descriptors."""
    saved = os.dup(2)
    os.dup2(1, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)

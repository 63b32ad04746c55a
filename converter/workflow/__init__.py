"""What a GitHub workflow sees of a run: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.

Outside a workflow nothing of it happens.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

from converter.workflow.annotations import Annotation, Annotations
from converter.workflow.files import write_outputs, write_summary
from converter.workflow.stream import Guarded

__all__ = ["Annotation", "Annotations", "Guarded", "in_workflow", "step", "write_outputs", "write_summary"]


def in_workflow() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


@contextlib.contextmanager
def step() -> Iterator[Annotations]:
    """A command's part of a step: all it prints is guarded, its annotations are written when it ends.

    Both of its streams become one: the runner reads them side by side, so that a command on one of them could reach it
    while the other one is stopped.
    """
    annotations = Annotations()
    if not in_workflow():
        yield annotations
        return
    stream = Guarded(sys.stdout)
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            yield annotations
        finally:
            for line in annotations.lines():
                stream.command(line)
            stream.end()

"""What a step leaves behind in the runner's files: outputs for the next steps, and the job summary."""

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

SUMMARY_LIMIT_BYTES = 1024 * 1024
"""Of all that a step appends; above it the runner shows nothing (CreateStepSummaryCommand)."""


def write_outputs(outputs: Mapping[str, str]) -> None:
    """Append to the file that GITHUB_OUTPUT names; underscores become hyphens, as a workflow's names have them.

    The delimiter is random, so that no value can end itself and begin another output.
    """
    file = os.environ.get("GITHUB_OUTPUT")
    if not file:
        return
    with Path(file).open("a", encoding="utf-8", errors="surrogateescape", newline="\n") as target:
        for name, value in outputs.items():
            delimiter = f"end-{secrets.token_hex(16)}"
            target.write(f"{name.replace('_', '-')}<<{delimiter}\n{value}\n{delimiter}\n")


def write_summary(render: Callable[[int], str]) -> None:
    """Append to the job summary; `render` is told how many bytes of UTF-8 are left, and answers with nothing longer."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        return
    path = Path(file)
    room = SUMMARY_LIMIT_BYTES - (path.stat().st_size if path.exists() else 0)
    text = f"{render(max(0, room - 1))}\n".encode("utf-8", "backslashreplace")
    if text.strip() and len(text) <= room:
        with path.open("ab") as target:
            target.write(text)

"""What a step of a workflow hands to the next ones: https://docs.github.com/actions, workflow commands."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path


def write_outputs(outputs: Mapping[str, str]) -> None:
    """Append to the file that GITHUB_OUTPUT names; outside a workflow nothing happens.

    The delimiter is random, so that no value can end itself and begin another output.
    """
    file = os.environ.get("GITHUB_OUTPUT")
    if not file:
        return
    with Path(file).open("a", encoding="utf-8", newline="\n") as target:
        for name, value in outputs.items():
            delimiter = f"end-{secrets.token_hex(16)}"
            target.write(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")

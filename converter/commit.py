"""Which commit of the user's repository a build was made from."""

import os
import subprocess
from pathlib import Path


def commit_of(folder: Path) -> str:
    """The commit checked out around `folder`, `-dirty` where tracked files differ; empty where there is none.

    GitHub names it in GITHUB_SHA, also where git itself is missing.
    """

    def git(*words: str) -> str | None:
        command = ["git", "-c", "core.fsmonitor=false", *words]  # a program that the repository's settings may name
        try:
            answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip()

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return os.environ.get("GITHUB_SHA", "")
    # where git does not know (a broken index, no answer in time) the commit alone would promise too much
    return commit if git("status", "--porcelain", "--untracked-files=no") == "" else f"{commit}-dirty"

"""Label files that travel beside a classifier."""

import json
from collections.abc import Sequence
from pathlib import Path


def write_labels(labels: Sequence[str], text: Path, as_json: Path) -> None:
    """Write the labels in the order of the scores: one a line, and as a JSON list."""
    text.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8", newline="\n")
    as_json.write_text(json.dumps(list(labels), ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")

"""Figures in a page of the documentation, between the marks `figures: NAME` and `end: NAME`."""

import re
from pathlib import Path


def write(page: Path, name: str, text: str) -> None:
    """Replace what stands between the marks."""
    begin, end = f"<!-- figures: {name} -->", f"<!-- end: {name} -->"
    before = page.read_text(encoding="utf-8")
    pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
    if not re.search(pattern, before, flags=re.DOTALL):
        raise SystemExit(f"{page} has no marks for {name}")
    after = re.sub(pattern, lambda _: f"{begin}\n{text}\n{end}", before, count=1, flags=re.DOTALL)
    page.write_text(after, encoding="utf-8")

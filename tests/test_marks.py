"""Figures between two marks of a page."""

import pytest

from tests import marks


def test_what_stands_between_the_marks_is_replaced_and_nothing_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# P\n<!-- figures: all -->\nold\n<!-- end: all -->\nrest\n")
    marks.write(page, "all", r"a \1 new one")
    assert page.read_text() == "# P\n<!-- figures: all -->\na \\1 new one\n<!-- end: all -->\nrest\n"


def test_a_page_without_marks_is_refused(tmp_path):
    (tmp_path / "page.md").write_text("# P\n")
    with pytest.raises(SystemExit, match="no marks for all"):
        marks.write(tmp_path / "page.md", "all", "text")

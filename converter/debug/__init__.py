"""Where it went wrong: source and saved file side by side, up to the first operation that differs."""

from converter.debug.command import debug
from converter.debug.look import Case, look, look_at_file
from converter.debug.unasked import first_that_differs
from converter.debug.words import lines, page
from converter.report.growth import summary

__all__ = ["Case", "debug", "first_that_differs", "lines", "look", "look_at_file", "page", "summary"]

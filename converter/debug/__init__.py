"""Where it went wrong: source and saved file side by side, up to the first operation that differs."""

from converter.debug.command import debug
from converter.debug.look import Case, look, look_at_file
from converter.debug.unasked import words_of_first
from converter.debug.words import lines, page, summary

__all__ = ["Case", "debug", "lines", "look", "look_at_file", "page", "summary", "words_of_first"]

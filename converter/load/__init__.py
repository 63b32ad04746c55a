"""From a model of the manifest to a loaded one: the first stage."""

from converter.load.attachments import attachments
from converter.load.example import example_inputs
from converter.load.source import load

__all__ = ["attachments", "example_inputs", "load"]

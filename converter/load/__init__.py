"""From a model of the manifest to a loaded one: the first stage."""

from converter.load.example import example_inputs
from converter.load.source import load

__all__ = ["example_inputs", "load"]

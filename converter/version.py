"""The version of this project, written into every model it makes."""

__version__ = "0.1.0"

"""Core ML where there is none, for tests: put this folder on PYTHONPATH, and every Python started with it has it.

coremltools' wheel for macOS holds `coremltools.libcoremlpython`, its bridge to Core ML; the one for Linux does not.
This finds the bridge beside it instead, and only that: coremltools, its MLModel and the platform's name stay as they
are. The stand-in answers through the reference evaluator, which another Python runs (STAND_IN_PYTHON, or the `.venv` of
this tree), so that torch need not be installed where it is used.
"""

import importlib.abc
import importlib.util
import sys
from pathlib import Path


class _Bridge(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "coremltools.libcoremlpython":
            return None
        return importlib.util.spec_from_file_location(name, Path(__file__).with_name("bridge.py"))


sys.meta_path.insert(0, _Bridge())

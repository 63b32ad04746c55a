"""The one place where the conversion imports coremltools: quietly, and with targets spelled as in the manifest."""

import contextlib
import importlib.metadata
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from converter.model import Target
from converter.version import __version__

MADE_BY = ("coremltools", "torch", "torchvision", "onnx", "onnxruntime", "onnxscript", "numpy")


@cache
def coremltools() -> Any:
    """coremltools, without the lines it logs at import about what only exists on macOS."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # its progress bars; read when tqdm is imported
    log = logging.getLogger("coremltools")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        import coremltools
    finally:
        log.setLevel(before)
    return coremltools


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings from the libraries about their own use (tracing, versions) while a model is converted."""
    log = logging.getLogger("coremltools")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def forget() -> None:
    """Reset the counters that coremltools names things with.

    It does so itself after a conversion, but not after one that failed (9.0); the next model's bytes would differ.
    """
    coremltools()
    from coremltools.converters.mil.converter import _reset_conversion_state

    _reset_conversion_state()


def deployment_target(target: Target) -> Any:
    """`iOS16` as coremltools' enum."""
    return coremltools().target[target.deployment_target]


def versions() -> Mapping[str, str]:
    """Of every library that takes part in a conversion, and of Python."""
    found = {"converter": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
    for name in MADE_BY:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def words(error: Exception) -> str:
    """A library's message, shortened to what a person reads."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:4])[:600]}" if lines else type(error).__name__

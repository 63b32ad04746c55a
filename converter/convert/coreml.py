"""The one place where the conversion imports coremltools: quietly, and with targets spelled as in the manifest."""

import contextlib
import gc
import importlib.metadata
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from converter.model import Target
from converter.version import __version__

# What coremltools says of what a target cannot hold, and the way out.
_LIMITS = (
    ("Expected a single enumerated shape input", "give all inputs but one a range, or ask for iOS18 or newer"),
    ("requires model to be of version", "give this format a later `deployment_target`: iOS14 for mlmodel"),
    (
        "has symbolic dimensions in its shape",
        "a picture as output needs fixed sizes here: ask for mlpackage alone under `formats`, give the input one size, "
        "or take `image` out of the output",
    ),
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ADVICE = re.compile(r"\s*(Please feel free to request|Next steps:).*", re.DOTALL)  # to developers of torch

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


@cache
def _program_type() -> Any:
    from coremltools.converters.mil.mil import Program

    class Unvalidated(Program):  # type: ignore[misc]  # coremltools has no types
        """A program that MIL's passes neither validate nor print, as they do before and after each of them."""

        def validate(self, check_essential_scope: bool = False) -> None:
            """See `validate` of this module."""

        def __str__(self) -> str:
            return type(self).__name__

    return Unvalidated


def empty_program() -> Any:
    """A MIL program to fill, which is validated when `validate` is called, once, and not by each pass."""
    return _program_type()()


@cache
def _function_type() -> Any:
    from coremltools.converters.mil.mil import Function

    class Uncompressed(Function):  # type: ignore[misc]  # coremltools has no types
        """A function that follows compressed weights (constexpr ops) to their users only where it has some.

        coremltools 9.0 follows them through all of a program at the end of each pass.
        """

        is_compressed = False

        def _propagate_nonreplaceable_vars(self) -> None:
            self.is_compressed = self.is_compressed or _holds_compressed(self)
            if self.is_compressed:
                super()._propagate_nonreplaceable_vars()

    return Uncompressed


def _holds_compressed(block: Any) -> bool:
    return any(
        operation.op_type.startswith("constexpr_") or any(map(_holds_compressed, operation.blocks))
        for operation in block.operations
    )


def empty_function(inputs: Mapping[str, Any], target: Target) -> Any:
    """A function to fill within `with`, and to add to a program; `inputs` are placeholders by name."""
    return _function_type()(inputs, opset_version=deployment_target(target))


def validate(program: Any) -> None:
    """Raise what MIL has to say against a program of `empty_program`."""
    super(_program_type(), program).validate()


@contextlib.contextmanager
def little_garbage() -> Iterator[None]:
    """ct.convert collects garbage each time: among what was there before, all imported modules, it takes long."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


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


@cache
def versions() -> Mapping[str, str]:
    """Of every library that takes part in a conversion, and of Python."""
    found = {"converter": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
    for name in MADE_BY:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def words(error: Exception) -> str:
    """A library's message, shortened to what a person reads."""
    said = _ADVICE.sub("", _COLOURS.sub("", str(error)))
    lines = [line for line in said.strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:4])[:600]}" if lines else type(error).__name__


def way_out(error: Exception, otherwise: str) -> str:
    """How to go on after coremltools' error, where it is known; else `otherwise`."""
    return next((fix for said, fix in _LIMITS if said in str(error)), otherwise)

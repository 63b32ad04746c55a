"""One network the whole way: exported, converted in both precisions, saved, loaded, run, held against onnxruntime."""

import logging
import math
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from converter.errors import ConverterError
from tests.conformance.nets import language, vision
from tests.conformance.nets.net import Net

FLOOR_DB = {"float32": 100.0, "float16": 35.0}
DIFFERENT_DB = 40.0  # two inputs' answers must be further apart than this, or the comparison proves nothing
_OPSETS = (17, 18, 20)
_HIGHEST_DB = 300.0

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a net by one of torch's exporters.

    `outcome`: passed, low (a PSNR below the floor), refused, crashed, blind (its answers hardly differ), or not
    exported, which says something of torch alone. The PSNR are the lowest over inputs and outputs.
    """

    net: str
    exporter: str
    group: str
    outcome: str
    reason: str = ""
    float32_db: float = 0.0
    float16_db: float = 0.0
    nodes: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.net} {self.exporter}"


def nets() -> dict[str, Net]:
    return {net.name: net for net in (*vision.nets(), *language.nets())}


def judge(net: Net, exporter: str, folder: Path) -> Result:
    """Take a net the whole way."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    torch.backends.mha.set_fastpath_enabled(False)  # one fused op, which no exporter takes
    torch.manual_seed(0)
    started = time.perf_counter()

    def result(outcome: str, reason: str = "", **more: Any) -> Result:
        seconds = round(time.perf_counter() - started, 1)
        return Result(
            net=net.name, exporter=exporter, group=net.group, outcome=outcome, reason=reason, seconds=seconds, **more
        )

    path = folder / "net.onnx"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module, example = net.make()
            _export(module, net, _first(net, example), exporter, path)
    except Exception as error:
        return result("not exported", _words(error))
    inputs = list(_inputs(net, example))
    try:
        expected = _expected(path, inputs)
    except Exception as error:
        return result("not exported", f"onnxruntime refuses what torch wrote: {_words(error)}")
    found: dict[str, float] = {}
    nodes = len(onnx.load(path, load_external_data=False).graph.node)
    for precision in ("float32", "float16"):
        try:
            found[precision] = _lowest(path, folder / f"{precision}.mlpackage", net, precision, inputs, expected)
        except ConverterError as error:
            return result("refused", _words(error), nodes=nodes)
        except Exception as error:
            return result("crashed", _words(error), nodes=nodes)
    if len({tuple(array.shape for array in answer) for answer in expected}) == 1:
        apart = max(psnr_db(a, b) for a, b in zip(expected[0], expected[1], strict=True))
        if apart > DIFFERENT_DB:
            return result("blind", f"the answers to two inputs differ by {apart:.0f} dB only", nodes=nodes)
    low = [f"{precision} {db:.1f} dB" for precision, db in found.items() if db < FLOOR_DB[precision]]
    return result(
        "low" if low else "passed",
        ", ".join(low),
        float32_db=round(found["float32"], 1),
        float16_db=round(found["float16"], 1),
        nodes=nodes,
    )


def psnr_db(candidate: np.ndarray, reference: np.ndarray) -> float:
    """20 log10(max|reference| / RMSE); integers are right or wrong."""
    if candidate.shape != reference.shape:
        return -math.inf
    if reference.dtype.kind != "f":
        return _HIGHEST_DB if (candidate == reference).all() else -math.inf
    error = np.sqrt(np.mean((candidate.astype(np.float64) - reference.astype(np.float64)) ** 2))
    largest = np.abs(reference).max()
    if not math.isfinite(error) or not largest:
        return _HIGHEST_DB if error == 0 else -math.inf
    return float(min(_HIGHEST_DB, 20 * np.log10(largest / max(error, 1e-300))))


def _words(error: Exception) -> str:
    while error.__cause__ is not None and "torch.export" in str(error):  # what it wraps says more
        error = error.__cause__  # type: ignore[assignment]
    said = [line.strip() for line in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(said[:4])[:400]}"


def _sized(net: Net, name: str, given: torch.Tensor, sizes: Mapping[str, int]) -> list[int]:
    dims = net.flexible.get(name, {})
    return [sizes.get(dims.get(axis, ""), size) for axis, size in enumerate(given.shape)]


def _first(net: Net, example: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """The example for an exporter; of flexible dimensions none is 1, which torch.export takes for fixed."""
    if not net.flexible:
        return example
    sizes = {"batch": 2, "length": 12, "decoded": 11}
    return {name: torch.ones(_sized(net, name, given, sizes), dtype=given.dtype) for name, given in example.items()}


def _export(module: torch.nn.Module, net: Net, example: Mapping[str, torch.Tensor], exporter: str, path: Path) -> None:
    inputs = tuple(example.values())
    with torch.no_grad():
        if exporter == "dynamo":
            dims = {
                name: torch.export.Dim(name, min=bound.lower, max=bound.upper) for name, bound in net.shapes.items()
            }
            shapes = [{axis: dims[dim] for axis, dim in net.flexible.get(name, {}).items()} for name in example]
            dynamic = tuple(shapes) if net.flexible else None
            if any(p is not None and p.kind is p.VAR_POSITIONAL for p in _parameters(module)):
                dynamic = (dynamic,) if dynamic is not None else None
            torch.onnx.export(
                module, inputs, path, input_names=list(example), dynamo=True, verbose=False, dynamic_shapes=dynamic
            )
            return
        problems: list[Exception] = []
        for opset in _OPSETS:
            try:
                torch.onnx.export(
                    module,
                    inputs,
                    str(path),
                    input_names=list(example),
                    dynamic_axes={name: dict(axes) for name, axes in net.flexible.items()} or None,
                    opset_version=opset,
                    dynamo=False,
                )
                return
            except Exception as error:
                problems.append(error)
        raise problems[0]


def _parameters(module: torch.nn.Module) -> Sequence[Any]:
    import inspect

    return list(inspect.signature(module.forward).parameters.values())


def _inputs(net: Net, example: Mapping[str, torch.Tensor]) -> Sequence[Arrays]:
    """Drawn inputs: two of a fixed shape, else one at each of the sizes. Every second mask hides the end."""
    found = []
    for seed, sizes in enumerate(net.sizes or ({}, {})):
        random = np.random.default_rng(seed)
        arrays: Arrays = {}
        for name, given in example.items():
            shape = _sized(net, name, given, sizes)
            if "mask" in name:
                arrays[name] = np.ones(shape, np.int64)
                arrays[name][:, max(1, shape[-1] * (4 - seed % 2) // 4) :] = 0
            elif given.dtype == torch.long:
                arrays[name] = random.integers(0, net.below, shape)
            else:
                arrays[name] = random.standard_normal(shape).astype(np.float32)
        found.append(arrays)
    return found


def _expected(path: Path, inputs: Sequence[Arrays]) -> list[list[np.ndarray]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    taken = {given.name for given in session.get_inputs()}
    return [session.run(None, {name: x for name, x in arrays.items() if name in taken}) for arrays in inputs]


def _lowest(
    path: Path, package: Path, net: Net, precision: Any, inputs: Sequence[Arrays], expected: Sequence[list[np.ndarray]]
) -> float:
    """The lowest PSNR of the package that the ONNX file becomes."""
    import converter

    converter.convert_onnx(path, package, compute_precision=precision, shapes=net.shapes or None)
    model = converter.load_model(package)
    names = [feature.name for feature in model.spec.description.output]
    takes = {feature.name for feature in model.spec.description.input}
    lowest = _HIGHEST_DB
    for arrays, answer in zip(inputs, expected, strict=True):
        given = {
            name: x.astype(np.int32 if x.dtype.kind == "i" else x.dtype) for name, x in arrays.items() if name in takes
        }
        got = model.predict(given)
        for name, right in zip(names, answer, strict=True):
            candidate = np.asarray(got[name])
            lowest = min(lowest, psnr_db(candidate.reshape(right.shape) if not right.shape else candidate, right))
    return lowest

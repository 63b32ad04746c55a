"""Whether the arithmetic in half precision is what is wrong: the same file, computed in float32."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from converter.model import Cause, ImageInput, Interface, Reference, Tensors
from converter.validate.check import Answers, answers
from converter.validate.engines import Engine

_KEEP = (
    "keep in float32 what begins there, until its values are small again: `float32_ops: [{op}, ...]` below "
    "`mlpackage:`; `debug --fix` finds the fewest, and `compute_precision: float32` takes all. A given file is "
    "converted again, with ct.transform.FP16ComputePrecision or ct.precision.FLOAT32"
)


def in_float32(path: Path, reference: Reference, interface: Interface) -> Answers:
    """What the file's mathematics gives, without the rounding to half precision."""
    return answers(path, reference, interface, Engine(name="the reference evaluator in float32", load=_load_float32))


def _load_float32(path: Path) -> Any:
    from converter.evaluate import load_model

    return load_model(path, compute="float32")


def cause(path: Path, reference: Reference, interface: Interface, measured: float, explained: float) -> Cause:
    """The cause of a file that passes in float32 alone; an overflow names the operation where it begins."""
    numbers = f"psnr is {_db(explained)} when the same file computes in float32, instead of {_db(measured)}"
    found = _first_not_finite(path, reference, interface)
    if found is None:
        return Cause(
            name="float16 precision",
            words=f"half precision is too coarse for it, without anything infinite: {numbers}",
            fix="keep operations in float32: `debug --fix` finds which, and `compute_precision: float32` takes all",
            measured=measured,
            explained=explained,
        )
    sample, (op_type, words) = found
    return Cause(
        name="float16 overflow",
        words=f"{words} for {sample}: beyond float16's 65504; {numbers}",
        fix=_KEEP.format(op=op_type),
        measured=measured,
        explained=explained,
    )


def _first_not_finite(path: Path, reference: Reference, interface: Interface) -> tuple[str, tuple[str, str]] | None:
    from converter.evaluate import load_model

    model = load_model(path)
    for sample in reference.samples:
        found = model.first_not_finite(fed(interface, sample.inputs))
        if found:
            return sample.name, (found.place.partition(" ")[0], str(found))
    return None


def fed(interface: Interface, inputs: Tensors) -> Mapping[str, Any]:
    """A sample as a loaded model takes it: pictures as PIL images."""
    return {
        spec.name: Image.fromarray(inputs[spec.name]) if isinstance(spec, ImageInput) else inputs[spec.name]
        for spec in interface.inputs
    }


def _db(value: float) -> str:
    return f"{value:.1f} dB"

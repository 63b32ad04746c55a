"""What a run says by itself of a model that misses a gate: the first operation that differs."""

import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from converter.debug.look import Case, look, look_at_file
from converter.errors import ConverterError
from converter.evaluate import load_model
from converter.model import Conversion, Divergence, Reference, Source
from converter.report.growth import summary

if TYPE_CHECKING:
    from converter.manifest.schema import ValidationOptions

SMALL_BYTES = 64 << 20  # of the file
SMALL_VALUES_BYTES = 256 << 20  # of the values inside for one sample
SMALL_OPS = 3000
SHOWN_OPS = 160  # that a record keeps


def first_that_differs(
    source: Source, reference: Reference, conversion: Conversion, options: "ValidationOptions"
) -> tuple[str, Divergence | None]:
    """The first operation that differs in a converted file that misses a gate, or in words how to ask for it.

    Large models are left to the command: this runs unasked. It is bounded by what the model is, not by the clock, so
    that a slow machine says the same.
    """
    ask = f"`debug {source.name} --format {conversion.target.format} --route {conversion.route}` looks for the first "
    ask += "operation that differs"
    if _weight(conversion.path) > SMALL_BYTES or _ops(conversion.path) > SMALL_OPS:
        return ask, None
    case = Case.of(source, reference, options, max_bytes=SMALL_VALUES_BYTES)
    try:
        with tempfile.TemporaryDirectory() as folder:
            if conversion.route == "given":
                found = look_at_file(case, conversion.path, conversion.target.compute_precision)
            else:
                found = look(case, conversion.route, conversion.target, Path(folder), conversion=conversion)
    except Exception as error:  # noqa: BLE001  the gate's own words stand whatever the libraries raise; this adds to them
        reason = error.problem if isinstance(error, ConverterError) else f"{type(error).__name__}: {error}"
        return f"{ask}; here it was not found: {reason}", None
    words = f"{summary(found)}: {'; '.join(found.culprits)}" if found.culprits else summary(found)
    return words, shortened(found)


def shortened(found: Divergence) -> Divergence:
    """With the worst of neighbouring values where there are many, and the first that differs: enough for a plot."""
    bounds = [round(place * len(found.ops) / SHOWN_OPS) for place in range(SHOWN_OPS + 1)]
    if len(found.ops) <= SHOWN_OPS:
        return found
    kept = {min(range(*pair), key=lambda place: found.ops[place].psnr_db) for pair in pairwise(bounds)}
    places = sorted(kept | ({found.first} if found.first is not None else set()))
    first = None if found.first is None else places.index(found.first)
    return replace(found, ops=tuple(found.ops[place] for place in places), first=first)


def _ops(path: Path) -> int:
    return sum(1 for _ in load_model(path).op_types())


def _weight(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())

"""Where in the user's own code an error arose."""

import sysconfig
import traceback
from pathlib import Path

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_OURS = str(Path(__file__).parents[1])
_FRAMES = 3


def words(error: BaseException, root: Path) -> str:
    """`RuntimeError: message`, then the last lines of its traceback that are the user's, relative to `root`."""
    lines = "".join(traceback.format_exception_only(error)).strip().split("\n")
    said = "\n  ".join(lines[-1:] if isinstance(error, SyntaxError) else lines[:6])
    places = [f"{_relative(error.filename, root)}:{error.lineno}"] if isinstance(error, SyntaxError) else []
    for frame in [f for f in traceback.extract_tb(error.__traceback__) if _is_users(f.filename)][-_FRAMES:]:
        source = f": {frame.line}" if frame.line else ""
        places.append(f"{_relative(frame.filename, root)}:{frame.lineno} in {frame.name}{source}")
    return "\n  at ".join([said, *reversed(places)])


def _is_users(filename: str) -> bool:
    return not filename.startswith((*_LIBRARIES, _OURS, "<frozen"))


def _relative(filename: str | None, root: Path) -> str:
    path = Path(filename or "?").resolve()
    inside = root.resolve()
    return path.relative_to(inside).as_posix() if path.is_relative_to(inside) else str(path)

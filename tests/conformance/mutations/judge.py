"""What becomes of one mutated file: refused in words, or run; anything else is a fault of the evaluator.

Everything happens in a process whose memory is limited; what it executes and opens is watched by an audit hook.
"""

import contextlib
import os
import resource
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from converter.errors import EvaluationError
from converter.evaluate import check_file, describe, load_model

# Of what Python tells its audit hooks: code that is run, processes, connections, libraries, and what changes files.
_FORBIDDEN = ("exec", "compile", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.", "pty.", "socket.")
_FORBIDDEN += (
    "pickle.find_class",
    "ctypes.dlopen",
    "code.",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "shutil.",
)
_FORBIDDEN += ("os.chmod", "os.link", "os.symlink", "os.truncate", "urllib.", "webbrowser.")
_OWN = str(Path(__file__).parents[3] / "converter") + os.sep
_LIBRARIES = (_OWN, *{os.path.realpath(p) for p in (*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix)})
_watched: list[str] = []
_state: dict[str, str] = {}


def limit_memory(more_bytes: int) -> None:
    """Let this process take so much more address space than it has, and no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more_bytes, resource.RLIM_INFINITY))


def watch() -> None:
    """Begin to listen; audit hooks cannot be removed, this one hears only while a file is judged."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    allowed = _state.get("folder")
    if allowed is None:
        return
    if event == "open":
        name, mode = arguments[0], arguments[1]
        if isinstance(name, int):
            return
        path = os.path.realpath(os.fsdecode(name))
        writes = isinstance(mode, str) and any(letter in mode for letter in "wax+")
        if writes or not path.startswith((allowed, *_LIBRARIES, "/proc/", "/sys/")):
            _watched.append(f"open {path} {mode}")
    elif event.startswith(_FORBIDDEN) and not (event in ("exec", "compile") and _is_library()):
        _watched.append(f"{event} {str(arguments)[:100]}")


def _is_library() -> bool:
    """Whether it is not the evaluator that asks: torch compiles and imports parts of itself late."""
    return not sys._getframe(2).f_code.co_filename.startswith(_OWN)


@contextlib.contextmanager
def listening(folder: Path) -> Iterator[list[str]]:
    _watched.clear()
    _state["folder"] = os.path.realpath(folder)
    try:
        yield _watched
    finally:
        _state.clear()


def judge(path: Path, folder: Path) -> tuple[str, str]:
    """("ran" or "refused" or "fault", words)."""
    with listening(folder) as seen:
        verdict = _judged(path)
    if seen:
        return "fault", f"did {seen[0]}"
    return verdict


def _judged(path: Path) -> tuple[str, str]:
    for look in (describe, check_file):
        try:
            str(look(path))
        except EvaluationError as error:
            if not str(error).strip():
                return "fault", f"{look.__name__}: an empty message"
        except Exception as error:
            return "fault", f"{look.__name__}: {_words(error)}"
    try:
        model = load_model(path)
        state = model.make_state() if model.description.state else None
        given = {feature.name: example(feature.type) for feature in model.description.input}
        answer = model.predict(given, state)
        names = {feature.name for feature in model.description.output}
        if set(answer) != names:
            return "fault", f"answered {sorted(answer)}, described are {sorted(names)}"
        model.predict(given, state, outputs="all")
    except EvaluationError as error:
        words = str(error)
        named = str(path) in words
        return ("refused", words) if named else ("fault", f"the message does not name the file: {words[:200]}")
    except Exception as error:
        return "fault", _words(error)
    return "ran", ""


def example(kind: Any) -> Any:
    """What an app could give for a described input, where its size is sane."""
    which = kind.WhichOneof("Type")
    if which == "imageType":
        size = min(kind.imageType.width, 4096), min(kind.imageType.height, 4096)
        mode = {10: "L", 40: "F"}.get(kind.imageType.colorSpace, "RGB")
        return Image.new(mode, tuple(max(side, 1) for side in size), 3)
    if which == "multiArrayType":
        shape = tuple(kind.multiArrayType.shape)
        if any(size < 0 for size in shape) or np.prod([float(size) for size in shape]) > 1e6:
            shape = (1,)
        return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).round(2).reshape(shape)
    return 1


def _words(error: BaseException) -> str:
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno}" if frame else ""
    return f"{type(error).__name__} at {place}: {str(error)[:200]}"

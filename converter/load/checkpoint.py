"""State dicts: reading them without running anything, and fitting them into a module."""

import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch

from converter.errors import SourceError
from converter.load import archive

State = dict[str, torch.Tensor]

# What training scripts call the entry that holds the weights, best first.
_WRAPPINGS = ("state_dict", "model_state_dict", "model_state", "model", "module", "network", "net", "weights", "params")
# DataParallel, torch.compile, Lightning's usual attribute names.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
_SHOWN = 8


def load_into(module: torch.nn.Module, path: Path, origin: str) -> tuple[str, ...]:
    """Loads the state dict at `path` into `module`; returns notes on what had to be unwrapped.

    `origin` is the file as the user knows it. Raises SourceError for a file that cannot be read or does not fit.
    """
    content = read(path, origin)
    state, notes = unwrap(content, origin)
    state, stripped = _strip_prefixes(state, module)
    _fit(module, state, origin)
    return (*notes, *(f"{origin}: {note}" for note in stripped))


def read(path: Path, origin: str) -> Any:
    """What a .safetensors, .pth or .pt file holds; a pickle is read with `weights_only`."""
    if _is_safetensors(path):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise _corrupt(origin, error) from error
    with path.open("rb") as file:
        return read_pickle(file, origin)


def read_pickle(file: IO[bytes], origin: str) -> Any:
    """What torch.save wrote: plain data and tensors; a pickle that names anything else is refused with its names."""
    if _is_torchscript(file):
        raise SourceError(
            f"{origin} is a TorchScript archive, not a state dict",
            fix="give it as `source: {torchscript: ...}`, or save model.state_dict()",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickle protocols that it then reads or refuses anyway
            return torch.load(file, map_location="cpu", weights_only=True)
    # a corrupt file surfaces as whatever its bytes lead torch into: KeyError, EOFError, RuntimeError, ...
    except Exception as error:
        refused = _foreign_names(file)
        if refused:
            raise SourceError(
                f"{origin} is a pickle that wants to call {_listed(refused)}; it was not run",
                fix=_fix_of_refused(refused),
            ) from error
        raise _corrupt(origin, error) from error


def unwrap(content: Any, origin: str) -> tuple[State, list[str]]:
    """The state dict, out of what a training script wrapped around it, and a note for each layer taken off."""
    notes: list[str] = []
    while isinstance(content, Mapping):
        key = next((k for k in _WRAPPINGS if isinstance(content.get(k), Mapping)), None)
        if key is not None:
            notes.append(f"{origin}: the weights were taken from its entry {key!r}")
            content = content[key]
        elif not content or any(isinstance(value, torch.Tensor) for value in content.values()):
            break
        else:
            raise SourceError(
                f"{origin} holds no state dict: its keys are {_listed([repr(k) for k in content])}",
                fix="save model.state_dict() alone, by torch.save",
            )
    if not isinstance(content, Mapping):
        raise SourceError(
            f"{origin} holds {_article(type(content).__name__)}, not a state dict",
            fix="save model.state_dict(), by torch.save or safetensors",
        )
    return dict(content), notes


def _strip_prefixes(state: State, module: torch.nn.Module) -> tuple[State, list[str]]:
    """Takes a prefix off that every key has and the module does not."""
    own = module.state_dict().keys()
    notes = []
    stripped = True
    while stripped and state:
        stripped = False
        for prefix in _PREFIXES:
            if all(key.startswith(prefix) for key in state) and not any(key.startswith(prefix) for key in own):
                state = {key.removeprefix(prefix): value for key, value in state.items()}
                notes.append(f"the prefix {prefix!r} was taken off every key")
                stripped = True
    return state, notes


def _fit(module: torch.nn.Module, state: State, origin: str) -> None:
    own = module.state_dict()
    mismatched = [
        f"{key} is {_form(value)}, the model has {_form(own[key])}"
        for key, value in state.items()
        if key in own and not _same_form(value, own[key])
    ]
    fitting = {k: v for k, v in state.items() if k not in own or _same_form(v, own[k])}
    try:
        # strict=False, so that the modules' own hooks rename old keys first and everything wrong is known at once
        result = module.load_state_dict(fitting, strict=False)
    except RuntimeError as error:
        raise SourceError(f"{origin} does not fit the model: {error}", fix=_FIT) from error
    refused = {line.split(" is ", 1)[0] for line in mismatched}
    missing = [k for k in result.missing_keys if k not in refused and not k.endswith("num_batches_tracked")]
    complaints = [
        f"{len(keys)} {what}: {_listed(keys, separator='; ' if what == 'of another shape or type' else ', ')}"
        for what, keys in (
            ("missing", missing),
            ("unexpected", result.unexpected_keys),
            ("of another shape or type", mismatched),
        )
        if keys
    ]
    if complaints:
        raise SourceError(f"{origin} does not fit the model\n  " + "\n  ".join(complaints), fix=_FIT)


_FIT = (
    "build the model with the arguments it was trained with (number of classes, width, ...); "
    "a torchvision model with other classes needs a factory"
)


def _same_form(value: Any, own: Any) -> bool:
    if not isinstance(value, torch.Tensor) or not isinstance(own, torch.Tensor):
        return isinstance(value, torch.Tensor) == isinstance(own, torch.Tensor)
    if torch.nn.parameter.is_lazy(own):
        return True
    kinds = (value.is_quantized, value.is_complex(), value.is_floating_point())
    return value.shape == own.shape and kinds == (own.is_quantized, own.is_complex(), own.is_floating_point())


def _form(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return _article(type(value).__name__)
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


def _is_safetensors(path: Path) -> bool:
    """By content: 8 bytes of length, then a JSON object. A cached or renamed file may have any ending."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:9] == b"{" or path.suffix.lower() == ".safetensors"


def _is_torchscript(file: IO[bytes]) -> bool:
    names = archive.names(file)
    file.seek(0)
    return any(name.endswith("/constants.pkl") for name in names or ())


def _foreign_names(file: IO[bytes]) -> list[str]:
    """What the pickles of the file name beyond tensors and plain data, read without running them."""
    file.seek(0)
    try:
        members = zipfile.ZipFile(file)
        pickles = [members.read(name) for name in members.namelist() if name.endswith("data.pkl")]
    except archive.DAMAGED:
        file.seek(0)
        pickles = [file.read()]
    allowed = {*torch._weights_only_unpickler._get_allowed_globals()}
    found = {name for content in pickles for name in _globals(content)}
    return sorted(found - allowed - {"collections.OrderedDict"})


def _globals(content: bytes) -> Iterator[str]:
    """Every module.name that the pickles in `content`, one after the other, import: for the message, not for safety."""
    rest = content
    while rest:
        pushed: list[str] = []  # strings, as they come onto the stack
        memo: dict[int, str] = {}
        memoized = 0
        latest = ""  # what the opcode before pushed, if it was a string
        end = 0
        try:
            for opcode, argument, position in pickletools.genops(rest):
                end = (position or 0) + 1
                before, latest = latest, ""
                if opcode.name in ("GLOBAL", "INST"):
                    yield str(argument).replace(" ", ".")
                elif opcode.name == "STACK_GLOBAL":
                    yield ".".join(pushed[-2:])
                elif opcode.name == "MEMOIZE" or "PUT" in opcode.name:
                    memo[memoized if argument is None else int(argument)] = before
                    memoized += 1
                elif "GET" in opcode.name:
                    latest = memo.get(int(argument or 0), "")
                elif isinstance(argument, str):
                    latest = argument
                if latest:
                    pushed.append(latest)
        except (ValueError, UnicodeDecodeError, IndexError):
            return  # no pickle, or not any more
        rest = rest[end:]


def _fix_of_refused(names: Sequence[str]) -> str:
    if any(re.match(r"torch\.nn\.modules\.|__main__\.|torchvision\.models\.", name) for name in names):
        return "it is a whole pickled model: load it where it was made, then save model.state_dict() or use safetensors"
    return "if you trust its maker, load it where it was made and save only the tensors: model.state_dict()"


def _corrupt(origin: str, error: BaseException) -> SourceError:
    words = str(error).strip().split("\n")[0][:200]
    detail = f": {words}" if words and not isinstance(error, KeyError) else ""
    return SourceError(
        f"{origin} is not a readable state dict ({type(error).__name__}{detail})",
        fix="it is damaged or of another kind: .pth and .pt come from torch.save, .safetensors from safetensors",
    )


def _listed(names: Sequence[str], separator: str = ", ") -> str:
    more = f"{separator}and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more


def _article(word: str) -> str:
    return f"an {word}" if word[:1].lower() in "aeiou" else f"a {word}"

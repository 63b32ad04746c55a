"""TorchScript archives."""

from pathlib import Path

import torch

from converter.errors import SourceError
from converter.load import archive


def load(path: Path, origin: str) -> torch.jit.ScriptModule:
    """The module of a TorchScript file, in float32 on the CPU; `origin` is the file as the user knows it.

    TorchScript's own unpickler builds no Python objects, so loading runs no Python code.
    """
    names = archive.names(path)
    if names is None:
        raise SourceError(
            f"{origin} is not a TorchScript archive: it is no zip file, or a damaged one",
            fix="write it with torch.jit.save; a state dict goes under `checkpoint` of a factory",
        )
    if not any(name.endswith("/constants.pkl") for name in names):
        kind, fix = _kind(names)
        raise SourceError(f"{origin} is not a TorchScript archive but {kind}", fix=fix)
    try:
        module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    # damage surfaces as whatever it leads torch into: RuntimeError, IndexError, ...
    except Exception as error:
        first = str(error).strip().split("\n")[0]
        raise SourceError(
            f"{origin} is not a readable TorchScript archive: {first}",
            fix="it is damaged, needs operators that are not installed, or comes from a newer torch; save it again",
        ) from error
    return module


def _kind(names: list[str]) -> tuple[str, str]:
    if "serialized_exported_program.json" in names or any(name.endswith("/models/model.json") for name in names):
        return "a program of torch.export", "give it as `source: {exported: ...}`"
    if any(name.endswith("/data.pkl") for name in names):
        return (
            "a file of torch.save",
            "a state dict goes under `checkpoint` of a factory, or write it with torch.jit.save",
        )
    return "some other zip file", "write it with torch.jit.save"

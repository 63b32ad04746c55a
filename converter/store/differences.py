"""Why a model is converted again, in the words of what a person changed."""

from collections.abc import Iterator, Mapping

from converter.store.surroundings import Surroundings

_SHOWN = 3
_SHARED = {
    "all coreml-release": "coreml-release itself",
    "all code": "the repository's Python files",
    "all packages": "installed packages",
}


def differences(old: Mapping[str, str], new: Mapping[str, str], around: Surroundings) -> str:
    """What differs between two models' ingredients: `models/net.py changed, numpy 2.3.4 -> 2.3.5`; empty if nothing."""
    changed = [name for name in (*new, *(name for name in old if name not in new)) if old.get(name) != new.get(name)]
    options = [name.removeprefix("option ") for name in changed if name.startswith("option ")]
    said = [f"options changed ({', '.join(options)})"] if options else []
    for name in changed:
        kind, _, rest = name.partition(" ")
        if kind == "file":
            said.append(_file(rest, name in old, name in new))
        elif kind == "tool":
            said.append(f"{rest} {old.get(name, 'none')} -> {new.get(name, 'none')}")
        elif kind == "all":
            said += _parts(name, old.get(name, ""), new.get(name, ""), around)
    return ", ".join(dict.fromkeys(said))


def _file(name: str, was: bool, is_now: bool) -> str:
    return f"{name} changed" if was and is_now else f"{name} is {'new' if is_now else 'gone'}"


def _parts(name: str, old: str, new: str, around: Surroundings) -> Iterator[str]:
    """The parts that changed, where both lists are known on this machine."""
    before, after = around.parts(old), around.parts(new)
    subject = _SHARED.get(name, name.removeprefix("all "))
    if before is None or after is None or name == "all coreml-release":
        yield f"{subject} changed"
        return
    changed = sorted(part for part in {*before, *after} if before.get(part) != after.get(part))
    folder = "" if name in _SHARED else f"{subject}/"
    for part in changed[:_SHOWN]:
        if name == "all packages":
            yield f"{part} {before.get(part, 'none')} -> {after.get(part, 'none')}"
        else:
            yield _file(f"{folder}{part}", part in before, part in after)
    if len(changed) > _SHOWN:
        yield f"{len(changed) - _SHOWN} more of {subject}"

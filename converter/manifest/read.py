"""YAML -> typed manifest, or one error with every complaint: `file:line:column: model: key: what; fix`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from converter.errors import ManifestError
from converter.manifest import checks
from converter.manifest.document import Complaint, Node, Place, read_document
from converter.manifest.files import Repository
from converter.manifest.partial import hides, is_tag, partial_model
from converter.manifest.schema import Defaults, Fault, Key, Manifest, Model, PublishTarget
from converter.manifest.words import in_words, keys_of, kind, nearest, records_in

# Defaults are merged into every model: a long list in both grows by their product.
MAX_MERGED_NODES = 1_000_000
MAX_SHOWN = 200
MAX_LENGTH = 500

_Path = tuple[Key, ...]


def read_manifest(path: str | Path) -> Manifest:
    """The manifest in a YAML file, checked as far as that goes without loading a model.

    Raises ManifestError, whose problem lists every complaint, one a line.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: the manifest cannot be read: {error.strerror}", fix=_other_name(path)) from error
    root, complaints = read_document(content)
    repository = Repository.around(path)
    manifest: Manifest | None = None
    if root is not None:
        written = root
        root, found = _with_defaults(written)
        if not found:
            manifest, found = _typed(root, written, repository)
        complaints += found
    if complaints:
        raise ManifestError(_listed(str(path), complaints))
    assert root is not None
    assert manifest is not None, "no manifest, and nothing said why"
    return _placed(manifest, root, path, repository)


def _other_name(path: Path) -> str:
    if path.is_dir():
        return f"name a file, {path / 'models.yml'} for example"
    beside = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    guess = nearest(path.name, beside)
    return f"did you mean {path.parent / guess}?" if guess else "name the manifest, examples/models.yml for example"


def _listed(shown: str, complaints: Iterable[Complaint]) -> str:
    """One line each, in the file's order; what is wrong in `defaults` is wrong in every model, and said once."""
    first: dict[tuple[Place, str], Complaint] = {}
    for complaint in complaints:
        first.setdefault((complaint.place, complaint.problem), complaint)
    lines = [_line(shown, complaint) for complaint in sorted(first.values(), key=lambda complaint: complaint.place)]
    more = [f"{shown}: and {len(lines) - MAX_SHOWN} more"] if len(lines) > MAX_SHOWN else []
    return "\n".join(lines[:MAX_SHOWN] + more)


def _line(shown: str, complaint: Complaint) -> str:
    (line, column), problem, fix, subject = complaint
    problem = problem if len(problem) <= MAX_LENGTH else f"{problem[: MAX_LENGTH - 3]}..."
    text = f"{shown}:{line}:{column}: {f'{subject}: ' if subject else ''}{problem}; {fix}"
    return text.replace("\n", "\\n")


def _placed(manifest: Manifest, root: Node, path: Path, repository: Repository) -> Manifest:
    nodes = [_follow(root, ("models", index))[0] for index in range(len(manifest.models))]
    # from the repository's root: it goes into the record, which tells nothing of the machine
    shown = (repository.folder / path.name).relative_to(repository.root).as_posix()
    manifest._path, manifest._root = repository.folder / path.name, repository.root
    for model, node in zip(manifest.models, nodes, strict=True):
        model._folder = repository.folder
        model._place = f"{shown}:{node.place.line}:{node.place.column} {model.name}"
    return manifest


def _with_defaults(root: Node) -> tuple[Node, list[Complaint]]:
    """The document with its defaults merged into every model."""
    if not isinstance(root.value, Mapping):
        return root, [Complaint(root.place, f"{kind(root)} is written here", "begin with `models:`")]
    defaults, models = root.value.get("defaults"), root.value.get("models")
    if defaults is None or models is None:
        return root, []
    if not isinstance(defaults.value, Mapping) or not isinstance(models.value, tuple):
        return root, []
    if root.size + len(models.value) * defaults.size > MAX_MERGED_NODES:
        return root, [
            Complaint(defaults.place, "merged into every model, the defaults are too long", "put long lists into files")
        ]
    known = keys_of(Defaults)  # what is not known is complained of where it stands, not in every model
    shared = replace(defaults, value={key: node for key, node in defaults.value.items() if key in known})
    merged = tuple(_merged(shared, model) if isinstance(model.value, Mapping) else model for model in models.value)
    return replace(root, value={**root.value, "models": replace(models, value=merged)}), []


def _merged(base: Node, over: Node) -> Node:
    if not isinstance(base.value, Mapping) or not isinstance(over.value, Mapping):
        return over
    value = dict(base.value)
    for key, node in over.value.items():
        value[key] = _merged(value[key], node) if key in value else node
    return replace(over, value=value)


def _typed(root: Node, written: Node, repository: Repository) -> tuple[Manifest | None, list[Complaint]]:
    """The records of `root`, held against everything that can be known now; `written` is without the defaults."""
    plain = dict(root.plain)
    errors = _errors_of_defaults(plain.pop("defaults", None))
    manifest: Manifest | None = None
    try:
        manifest = Manifest.model_validate(plain)
        models = dict(enumerate(manifest.models))
        targets = dict(enumerate(manifest.publish))
        left_out: dict[int, set[_Path]] = {}
    except ValidationError as error:
        errors += error.errors(include_url=False, include_input=False)
        models, left_out = _partial_models(plain.get("models"), errors)
        targets = _right_targets(plain.get("publish"), errors)
    found = [complaint for error in errors if _matters(error, root) for complaint in _complaints(error, root)]
    found += [_complaint(root, ("models", index), c) for index, c in _checked(models, left_out, written, repository)]
    found += [_complaint(root, ("publish",), c) for c in checks.publish(targets, repository)]
    return manifest, found


def _checked(
    models: Mapping[int, Model], left_out: Mapping[int, set[_Path]], written: Node, repository: Repository
) -> Iterator[tuple[int, Fault]]:
    """Every complaint of the checks, with the index of its model."""
    for index, model in models.items():
        gone = left_out.get(index, set())
        keys = {path[0] for path in gone if len(path) == 1}
        found = [check.run(model, repository) for check in checks.CHECKS if not check.needs & keys]
        if not {"route", "source"} & keys and _follow(written, ("models", index, "route"))[1]:
            found.append(checks.onnx_route(model))
        yield from ((index, one) for complaints in found for one in complaints if not hides(gone, one.path))
    named = {index: model for index, model in models.items() if ("name",) not in left_out.get(index, ())}
    yield from checks.together(named)


def _errors_of_defaults(defaults: Any) -> list[Any]:
    """What is wrong in `defaults` whatever the models say; of half a record each model may say the other half."""
    if defaults is None:
        return []
    try:
        Defaults.model_validate(defaults)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        return [
            {**one, "loc": ("defaults", *one["loc"])} for one in errors if one["type"] not in ("missing", "complaints")
        ]
    return []


def _matters(error: Any, root: Node) -> bool:
    """False for a list that is only too short because pydantic counts its right items alone."""
    if error["type"] != "too_short":
        return True
    node, _ = _follow(root, error["loc"])
    return isinstance(node.value, tuple) and len(node.value) < error["ctx"]["min_length"]


def _partial_models(entries: Any, errors: list[Any]) -> tuple[dict[int, Model], dict[int, set[_Path]]]:
    """What can be kept of the models, and what was left out of each, by index."""
    models: dict[int, Model] = {}
    left_out: dict[int, set[_Path]] = {}
    own: dict[Key, list[Any]] = {}
    for error in errors:
        if error["loc"][0] == "models" and len(error["loc"]) > 1:
            own.setdefault(error["loc"][1], []).append({**error, "loc": error["loc"][2:]})
    for index, entry in enumerate(entries if isinstance(entries, tuple) else ()):
        if isinstance(entry, dict) and (kept := partial_model(entry, own.get(index, ()))):
            models[index], left_out[index] = kept
    return models, left_out


def _right_targets(entries: Any, errors: list[Any]) -> dict[int, PublishTarget]:
    """The publish targets that nothing is wrong with, by index."""
    wrong = {error["loc"][1] for error in errors if error["loc"][0] == "publish" and len(error["loc"]) > 1}
    adapter: TypeAdapter[PublishTarget] = TypeAdapter(PublishTarget)
    right = ((index, entry) for index, entry in enumerate(entries if isinstance(entries, tuple) else ()))
    return {index: adapter.validate_python(entry) for index, entry in right if index not in wrong}


def _complaints(error: Any, root: Node) -> Iterator[Complaint]:
    """One of pydantic's errors at its place; a record's rules may have several complaints."""
    loc: _Path = tuple(error["loc"])
    if error["type"] == "complaints":
        for complaint in error["ctx"]["complaints"]:
            yield _complaint(root, loc, complaint)
        return
    node, is_there = _follow(root, loc)
    problem, fix = in_words(error, node, _record_at(loc))
    at_key = error["type"] == "extra_forbidden" and is_there and node.key is not None
    within = loc[:-1] if error["type"] in ("extra_forbidden", "missing") else loc
    yield Complaint(node.key if at_key and node.key else node.place, problem, fix, _subject(root, within))


def _complaint(root: Node, base: _Path, complaint: Fault) -> Complaint:
    path = (*base, *complaint.path)
    node, _ = _follow(root, path)
    return Complaint(node.place, complaint.problem, complaint.fix, _subject(root, path))


def _follow(root: Node, path: _Path) -> tuple[Node, bool]:
    """The node at the end of a path, or the last one on the way that is there; and whether all of it is."""
    node = root
    for key in path:
        if is_tag(key):
            continue
        if isinstance(node.value, Mapping) and key in node.value:
            node = node.value[str(key)]
        elif isinstance(node.value, tuple) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
        else:
            return node, False
    return node, True


def _subject(root: Node, path: _Path) -> str:
    """`resnet50: inputs[0].image` for a path below a model."""
    keys = [key for key in path if not is_tag(key)]
    model = ""
    if keys[:1] == ["models"] and len(keys) > 1:
        name, is_there = _follow(root, ("models", keys[1], "name"))
        model = name.text if is_there and name.text else f"models[{keys[1]}]"
        keys = keys[2:]
    words = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
    return ": ".join(part for part in (model, words) if part)


def _record_at(path: _Path) -> type[BaseModel] | None:
    """The type of the record that holds the last key of a path."""
    records: list[type[BaseModel]] = [Manifest]
    is_free = False  # the key is a name that the user chose, not one of a record
    for key in path[:-1]:
        if is_free or isinstance(key, int) or not records:
            is_free = False
            continue
        if is_tag(key):
            named = [record for record in records if key[1:-1] in record.model_fields]
            records = named or records
            continue
        fields = {field.alias or name: field for name, field in records[0].model_fields.items()}
        records = list(records_in(fields[key].annotation)) if key in fields else []
        is_free = key in fields and get_origin(fields[key].annotation) is dict
    return records[0] if records else None

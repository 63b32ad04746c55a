"""Which models of a run are unchanged, where their files are, and why the others are converted."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Self

from converter.manifest.schema import Manifest, Model
from converter.model import ModelRecord
from converter.package.record import earlier
from converter.store import Index, Store, StoreError, store_at
from converter.store.differences import differences
from converter.store.key import ingredients
from converter.store.surroundings import Surroundings

UNCHANGED = "unchanged"
_STORE = "models"  # the store's folder in the cache, where no other one is named


class Reuse:
    """The models' ingredients as they are now, held against an output folder and a store; a context manager.

    `say` is called with what is wrong with the store or an entry; of that no run fails. With `anew` nothing is reused;
    what does not `holds` is converted anew, so that it fails with all that belongs to that.
    """

    def __init__(
        self,
        manifest: Manifest,
        models: Iterable[Model],
        *,
        cache: Path,
        store: str | None,
        say: Callable[[str], None],
        anew: bool = False,
        holds: Callable[[ModelRecord], bool] = lambda record: True,
    ) -> None:
        self._root, self._cache, self._say, self._anew = manifest.root, cache, say, anew
        self._holds = holds
        self._index = Index(cache / "index.json")
        self._store: Store = store_at(store or str(cache / _STORE), self._index)
        self._models = {model.name: model for model in models}
        self._around = self._surroundings()
        self._made = {name: ingredients(model, self._around) for name, model in self._models.items()}
        self._said: set[str] = set()
        self._fresh: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            for file in self._fresh:  # read once more, now that their times are old enough for the index to know them
                with contextlib.suppress(OSError):
                    self._index.sha256(file)
            self._store.close()
        self._index.save()

    def in_place(self, dist: Path, earlier: Mapping[str, ModelRecord]) -> dict[str, ModelRecord]:
        """The models whose files lie in the output folder already, by the record that an earlier run wrote there."""
        found = {}
        for name, record in earlier.items():
            if name in self._models and self._is_same(record, name) and self._is_whole(dist, record):
                found[name] = self._reused(record)
                self._store.used(record.key)
        return found

    def from_store(self, folders: Mapping[str, Path]) -> dict[str, ModelRecord]:
        """Fetch what the store has into a folder for each model; the others' folders stay empty."""

        def fetched(name: str) -> ModelRecord | None:
            record = self._found(name)
            if record is not None:
                try:
                    self._store.fetch(record, folders[name])
                except StoreError as error:
                    for half in folders[name].iterdir():
                        half.unlink()
                    self._complain(f"{name}: {error}")
                    return None
            return record

        with ThreadPoolExecutor(self._store.at_once) as pool:
            records = zip(folders, pool.map(fetched, folders), strict=True)
        return {name: self._reused(record) for name, record in records if record is not None}

    def placed(self, folders: Mapping[str, Path], dist: Path) -> None:
        """Know what was fetched where it lies now, so that the next run need not read it."""
        for name, folder in folders.items():
            self._index.moved(folder, dist / name)

    def keyed(self, record: ModelRecord) -> ModelRecord:
        """A converted model's record with its ingredients; without a key where they changed since the run began."""
        made = self._made[record.name]
        if made.key and ingredients(self._models[record.name], self._surroundings()).key != made.key:
            made = replace(made, obstacle="its sources changed while it was converted")
            record = replace(record, notes=(*record.notes, f"{made.obstacle}: it may be made of some of both"))
        return replace(record, ingredients=made.parts, key=made.key)

    def put(self, record: ModelRecord, folder: Path) -> None:
        """Keep a model that passed; `folder` is its place in the output folder."""
        if not (record.passed and record.key):
            return
        self._fresh += [folder / Path(artifact.path).name for artifact in record.artifacts]
        try:
            self._store.put(record, folder)
        except StoreError as error:
            self._complain(f"{record.name} is not kept for later: {error}")

    def reasons(self, dist: Path, earlier: Mapping[str, ModelRecord]) -> dict[str, str]:
        """For each model `unchanged`, or what changed since the output folder's record or the store's newest entry."""
        with ThreadPoolExecutor(self._store.at_once) as pool:
            return dict(
                zip(self._models, pool.map(lambda name: self._reason(name, dist, earlier), self._models), strict=True)
            )

    def _reason(self, name: str, dist: Path, earlier: Mapping[str, ModelRecord]) -> str:
        made, before = self._made[name], earlier.get(name)
        if made.obstacle or self._anew:
            return made.obstacle or "everything is converted anew, as asked for"
        if before and self._is_same(before, name) and self._is_whole(dist, before):
            return UNCHANGED
        if self._found(name) is not None:
            return UNCHANGED
        if before is None or not before.ingredients:
            before = self._newest(name)
        if before is None:
            return "new"
        if said := differences(before.ingredients, made.parts, self._around):
            return said
        if not before.passed:
            return "it did not pass the last time"
        if not self._holds(before):
            return "it is worse than its baseline"
        return self._moved(before, name) or "its files are missing or were changed"

    def _surroundings(self) -> Surroundings:
        return Surroundings(self._root, self._index, self._cache / "ingredients")

    def _is_same(self, record: ModelRecord, name: str) -> bool:
        key = "" if self._anew else self._made[name].key
        is_known = bool(key) and record.key == key and record.name == name and record.passed
        return is_known and not self._moved(record, name) and self._holds(record)

    def _moved(self, record: ModelRecord, name: str) -> str:
        """What the conversion read and is another file now: a module that git ignores, for example."""
        for file in record.source_files:
            if "://" in file.origin:
                continue
            try:
                is_same = self._index.sha256(self._models[name].folder / file.origin) == file.sha256
            except OSError:
                is_same = False
            if not is_same:
                return f"{file.origin} changed"
        return ""

    def _is_whole(self, dist: Path, record: ModelRecord) -> bool:
        try:
            return all(self._index.sha256(dist / file.path, shared=True) == file.sha256 for file in record.artifacts)
        except OSError:
            return False

    def _found(self, name: str) -> ModelRecord | None:
        """The store's entry for a model as it is now."""
        key = self._made[name].key
        if not key or self._anew:
            return None
        try:
            record = self._store.find(key)
        except StoreError as error:
            self._complain(f"{name}: {error}")
            return None
        return record if record is not None and self._is_same(record, name) else None

    def _newest(self, name: str) -> ModelRecord | None:
        try:
            return self._store.newest(name)
        except StoreError:
            return None  # it was said when the model was looked for

    def _reused(self, record: ModelRecord) -> ModelRecord:
        """As it was recorded, commit and times included; only where the manifest has it may have changed."""
        return replace(record, place=self._models[record.name].place, reused=True)

    def _complain(self, words: str) -> None:
        """Say it once: a store that cannot be reached is the same for every model."""
        about = words.partition(": ")[2]
        if about not in self._said:
            self._said.add(about)
            self._say(f"note: {words}")


def explained(
    manifest: Manifest, *, dist: Path, cache: Path, store: str | None = None, say: Callable[[str], None] = print
) -> dict[str, str]:
    """For each model of a manifest `unchanged`, or in a few words why it would be converted."""
    with Reuse(manifest, manifest.models, cache=cache, store=store, say=say) as reuse:
        return reuse.reasons(dist, earlier(dist))

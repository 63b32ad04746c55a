"""The record of a run while its models end: build.json and what is written beside it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from converter.commit import commit_of
from converter.errors import OutputError
from converter.model import BuildRecord, ModelRecord
from converter.package.checksums import sha256
from converter.package.closing import closing_texts
from converter.package.dist import Dist
from converter.package.record import read_record
from converter.shards import Shard

if TYPE_CHECKING:
    from converter.manifest.schema import Manifest

_LAG = 20  # writing the record takes at most a twentieth of a run


@dataclass
class Ledger:
    """The output folder's record, written anew as models end; it never names what is not there.

    Of many models it takes long to write, so that it may lag behind by twenty times that; leaving the context writes
    what is left.
    """

    dist: Dist
    order: tuple[str, ...]
    record: BuildRecord
    earlier: dict[str, ModelRecord]
    records: dict[str, ModelRecord]
    started: float
    due: float = 0.0
    lags: bool = False
    previous: BuildRecord | None = None

    @classmethod
    def open(cls, dist: Dist, manifest: "Manifest", selected: Sequence[str], shard: Shard | None) -> "Ledger":
        """Keep what earlier runs made of models that this run leaves alone. Nothing is written yet.

        A part holds its own models only: to it, those of other shards have left.
        """
        expected = tuple(model.name for model in manifest.models)
        order = tuple(selected) if shard else expected
        commit = commit_of(manifest.folder)
        record = BuildRecord(
            manifest=manifest.path.name,
            commit=commit,
            models=(),
            seconds=0.0,
            expected=expected,
            shard=str(shard) if shard else "",
            manifest_sha256=sha256(manifest.path),
        )
        previous = _previous(dist)
        there = {record.name: record for record in previous.models} if previous else {}
        # not known to be unchanged: nobody looked at them in this run
        kept = {
            name: replace(old, reused=False) for name, old in there.items() if name in order and name not in selected
        }
        return cls(dist, order, record, there, kept, time.perf_counter(), previous=previous)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.lags:
            self.write()

    def begin(self, unchanged: Mapping[str, ModelRecord]) -> None:
        """Take what is about to be exchanged out of the record; forget models that left the manifest."""
        self.records |= unchanged
        self.lags = True
        if self.earlier.keys() - self.records.keys():
            self.write()
        for name in self.earlier.keys() - set(self.order):
            self.dist.remove(name)

    def enter(self, *records: ModelRecord) -> None:
        """Exchange the models' folders, and write the record with them."""
        for record in records:
            (self.dist.place if record.passed else self.dist.set_aside)(record.name)
            self.records[record.name] = record if record.reused else replace(record, commit=self.record.commit)
            self.lags = True
        if self.lags and time.perf_counter() >= self.due:
            self.write()

    def write(self) -> None:
        begun = time.perf_counter()
        models = tuple(self.records[name] for name in self.order if name in self.records)
        seconds = round(time.perf_counter() - self.started, 3)
        self.dist.write(closing_texts(replace(self.record, models=models, seconds=seconds), self.previous))
        self.lags = False
        self.due = time.perf_counter() + _LAG * (time.perf_counter() - begun)


def _previous(dist: Dist) -> BuildRecord | None:
    """What an earlier run left in the folder; None where nothing there can be read."""
    try:
        return read_record(dist.folder)
    except OutputError:
        return None

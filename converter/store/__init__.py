"""Models that were converted before, by the key of what they are made of; and what makes that key."""

from pathlib import Path
from typing import Protocol

from converter.errors import ManifestError
from converter.model import ModelRecord
from converter.store.entry import StoreError
from converter.store.folder import FolderStore
from converter.store.index import Index
from converter.store.s3 import S3Store

__all__ = ["Index", "Store", "StoreError", "store_at"]


class Store(Protocol):
    """Entries by key, each a record and its files; safe with several writers, and with a writer that is killed.

    Every method raises StoreError, of which no conversion fails: an entry that is damaged is a miss.
    """

    at_once: int  # requests that it is quick to serve at the same time

    def find(self, key: str) -> ModelRecord | None:
        """The record of an entry, or None where there is none."""

    def newest(self, name: str) -> ModelRecord | None:
        """The record that was put last under a model's name."""

    def fetch(self, record: ModelRecord, folder: Path) -> None:
        """Put the entry's files into an empty folder, each held to its sha256; they may be read-only."""

    def put(self, record: ModelRecord, folder: Path) -> None:
        """Keep a model's files under the record's key."""

    def used(self, key: str) -> None:
        """Note that the entry is still of use."""

    def close(self) -> None:
        """The run is over; drop what has not been of use for a long time, where this store does that."""


def store_at(text: str, index: Index) -> Store:
    """The store that `--store` names: a folder, or s3://BUCKET/PREFIX. Raises ManifestError for another address."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return FolderStore(Path(text), index)
    bucket, _, prefix = rest.partition("/")
    if scheme.lower() != "s3" or not bucket or "@" in bucket or "?" in rest:
        raise ManifestError(f"--store {text}: this is no store", fix="name a folder, or s3://BUCKET/PREFIX")
    return S3Store(bucket, prefix.strip("/"))

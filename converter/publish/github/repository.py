"""Releases and assets of one repository, as records: GitHub's endpoints and nothing else."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast
from urllib.parse import quote

from converter.publish.github.client import Client, RefusedError

_REPORTED_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Release:
    id: int
    tag: str
    name: str
    body: str
    draft: bool
    prerelease: bool
    immutable: bool
    url: str
    upload_url: str
    published_at: str


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file of a release; `sha256` is None where GitHub does not know it, `complete` False after a broken upload."""

    id: int
    name: str
    label: str
    size_bytes: int
    sha256: str | None
    complete: bool
    url: str
    created_at: float


class GoneError(Exception):
    """The release is not there any more: another run has settled on another one."""


class Repository:
    """`OWNER/REPO` through a client."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self._path = f"/repos/{name}"

    def releases(self) -> list[Release]:
        """All releases, newest first; drafts too, which no other request finds."""
        return [_release(entry) for entry in self.client.pages(f"{self._path}/releases")]

    def release(self, release_id: int) -> Release:
        return _release(self.client.get(f"{self._path}/releases/{release_id}"))

    def has_tag(self, tag: str) -> bool:
        try:
            self.client.get(f"{self._path}/git/ref/tags/{quote(tag)}")
        except RefusedError as error:
            if error.status != 404:
                raise
            return False
        return True

    def create(self, **fields: Any) -> Release:
        return _release(self.client.post(f"{self._path}/releases", fields))

    def edit(self, release: Release, **fields: Any) -> Release:
        return _release(self.client.patch(f"{self._path}/releases/{release.id}", fields))

    def remove(self, release: Release) -> None:
        self.client.delete(f"{self._path}/releases/{release.id}")

    def assets(self, release: Release) -> list[Asset]:
        """All of them, those of broken uploads too. Raises GoneError."""
        try:
            return [_asset(entry) for entry in self.client.pages(f"{self._path}/releases/{release.id}/assets")]
        except RefusedError as error:
            if error.status != 404:
                raise
            raise GoneError from error

    def upload(self, release: Release, path: Path, name: str, label: str, progress: Callable[[int], None]) -> Asset:
        """Stream a file from the disk; `progress` is called with the bytes sent so far."""
        answer = self.client.upload(
            release.upload_url,
            lambda: cast(IO[bytes], _Reading(path, progress)),
            size_bytes=path.stat().st_size,
            name=name,
            label=label,
        )
        return _asset(answer)

    def rename(self, asset: Asset, name: str) -> Asset:
        """At once: the name may be gone until then."""
        fields = {"name": name}
        return _asset(self.client.patch(f"{self._path}/releases/assets/{asset.id}", fields, at_once=True))

    def remove_asset(self, asset: Asset) -> None:
        self.client.delete(f"{self._path}/releases/assets/{asset.id}")

    def download(self, asset: Asset, target: Path) -> None:
        def write(pieces: Iterator[bytes]) -> None:
            with target.open("wb") as file:
                file.writelines(pieces)

        self.client.download(f"{self._path}/releases/assets/{asset.id}", write)

    def hash(self, asset: Asset) -> str:
        """SHA-256 of what people download, for the servers that do not tell it."""

        def digest(pieces: Iterator[bytes]) -> str:
            so_far = hashlib.sha256()
            for piece in pieces:
                so_far.update(piece)
            return so_far.hexdigest()

        return self.client.download(f"{self._path}/releases/assets/{asset.id}", digest)


class _Reading:
    """A file on its way out. The length lets requests send it as one body of known size, never in chunks."""

    def __init__(self, path: Path, progress: Callable[[int], None]) -> None:
        self._file = path.open("rb")
        self._size = path.stat().st_size
        self._progress = progress
        self._reported = 0

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        sent = self._file.tell()
        if sent - self._reported >= _REPORTED_BYTES or (not data and sent != self._reported):
            self._reported = sent
            self._progress(sent)
        return data

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if data := self.read(1 << 16):
            return data
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._file.close()


def _release(entry: Any) -> Release:
    return Release(
        id=entry["id"],
        tag=entry["tag_name"],
        name=entry["name"] or "",
        body=entry.get("body") or "",
        draft=entry["draft"],
        prerelease=entry["prerelease"],
        immutable=bool(entry.get("immutable")),
        url=entry["html_url"],
        upload_url=entry["upload_url"].partition("{")[0],
        published_at=entry["published_at"] or "",
    )


def _asset(entry: Any) -> Asset:
    kind, _, digest = (entry.get("digest") or "").partition(":")
    return Asset(
        id=entry["id"],
        name=entry["name"],
        label=entry.get("label") or "",
        size_bytes=entry["size"],
        sha256=digest if kind == "sha256" else None,
        complete=entry["state"] == "uploaded",
        url=entry["browser_download_url"],
        created_at=datetime.fromisoformat(entry["created_at"]).timestamp(),
    )

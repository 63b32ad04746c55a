"""A remote file, kept in a cache by its hash; atomic, so that a partial download never looks whole."""

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from converter.errors import DownloadError, SourceError
from converter.load import https, s3
from converter.load.https import shown
from converter.load.transient import TransientError

LIMIT_BYTES = 16 << 30
PAUSES_S = (1.0, 2.0, 4.0)  # before the second, third and fourth attempt
LONGEST_PAUSE_S = 60.0  # a server that asks for more has to wait for another day
_STALE_S = 24 * 3600.0
_TRANSPORTS: dict[str, Callable[[str], Iterator[bytes]]] = {"https": https.read, "s3": s3.read}


def download(url: str, *, sha256: str | None, cache: Path, limit_bytes: int = LIMIT_BYTES) -> Path:
    """`url` (https:// or s3://) as a file `cache/SHA256/NAME`.

    With `sha256` a cached file is used again, after hashing it anew; without, the address is read every time. Raises
    DownloadError, or SourceError where the cache cannot be written. Several processes may fetch the same file at once.
    """
    name = _name(url)
    if sha256:
        cached = cache / sha256 / name
        if cached.is_file() and digest(cached) == sha256:
            return cached
    partial, found = fetch(url, folder=cache / "partial", limit_bytes=limit_bytes)
    try:
        if sha256 and found != sha256:
            raise DownloadError(f"{shown(url)} has sha256 {found}, not {sha256}{_guess(partial)}", fix=_mismatch(found))
        return place(partial, cache / found / name)
    finally:
        partial.unlink(missing_ok=True)


def fetch(url: str, *, folder: Path, limit_bytes: int = LIMIT_BYTES) -> tuple[Path, str]:
    """The bytes of `url` in a fresh file of `folder`, and their sha256; the caller moves or removes the file."""
    scheme = urlsplit(url).scheme
    transport = _TRANSPORTS.get(scheme)
    if transport is None:
        raise DownloadError(f"{shown(url)} is not fetched over {scheme}://", fix="give an https:// or s3:// address")
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        handle, path = tempfile.mkstemp(dir=folder, suffix=".partial")
        os.close(handle)
    partial = Path(path)
    try:
        return partial, _attempts(transport, url, partial, limit_bytes)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def place(partial: Path, target: Path) -> Path:
    """Moves a whole file to its name; the last of several processes wins, with the same bytes."""
    with _writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.chmod(0o644)
        partial.replace(target)
    return target


def digest(path: Path) -> str:
    """The sha256 of a file, as hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _attempts(transport: Callable[[str], Iterator[bytes]], url: str, partial: Path, limit_bytes: int) -> str:
    pauses = list(PAUSES_S)
    while True:
        try:
            return _write(transport(url), partial, url, limit_bytes)
        except TransientError as error:
            tried = len(PAUSES_S) + 1 - len(pauses)
            pause = max(pauses.pop(0), error.retry_after_s or 0.0) if pauses else None
            if pause is None or pause > LONGEST_PAUSE_S:
                raise DownloadError(
                    f"{shown(url)} could not be fetched after {tried} attempt{'s' if tried > 1 else ''}: {error}",
                    fix="check the network (a proxy is taken from HTTPS_PROXY), or try again later; "
                    "a file of the repository needs no network",
                ) from None
            time.sleep(pause)


def _write(chunks: Iterator[bytes], partial: Path, url: str, limit_bytes: int) -> str:
    sha256 = hashlib.sha256()
    got = 0
    with partial.open("wb") as file:
        for chunk in chunks:
            got += len(chunk)
            if got > limit_bytes:
                raise DownloadError(f"{shown(url)} is larger than {limit_bytes} bytes", fix="check the address")
            sha256.update(chunk)
            with _writing(partial.parent):
                file.write(chunk)
        with _writing(partial.parent):
            file.flush()
            os.fsync(file.fileno())
    return sha256.hexdigest()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turns the cache's own trouble (full disk, no permission) into a SourceError."""
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"the download cache {folder} cannot be written: {error.strerror or type(error).__name__}",
            fix="free space there, or choose another folder for the cache",
        ) from error


def _sweep(folder: Path) -> None:
    """Removes what killed runs left behind."""
    for old in folder.glob("*.partial"):
        try:
            if time.time() - old.stat().st_mtime > _STALE_S:
                old.unlink()
        except FileNotFoundError:
            continue  # another process was quicker


def _name(url: str) -> str:
    """The last part of the path, as a file name that is safe everywhere."""
    last = unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    return re.sub(r"[^A-Za-z0-9._-]+", "_", last).lstrip(".")[-120:] or "file"


def _guess(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "; it is a web page, not a file"
    return "; it is a Git LFS pointer, not the file itself" if start.startswith(b"version https://git-lfs.") else ""


def _mismatch(found: str) -> str:
    return f"check the address; only if the new file is the right one, write sha256: {found}"

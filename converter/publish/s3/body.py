"""A part of a file as the body of a request: read in small pieces, so that memory does not grow with the file."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHUNK_BYTES = 1 << 20


class Slice:
    """`size` bytes of a file from `start` on; `sent` is called with the bytes of the slice that went out so far.

    botocore reads a body more than once: to sign it, and again for each attempt. Only what goes out is counted, which
    `sending` says.
    """

    def __init__(self, path: Path, start: int, size: int, sent: Callable[[int], None]) -> None:
        self._file = path.open("rb")
        self._start, self._size, self._sent = start, size, sent
        self.sending = False
        self.seek(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._size - self.tell(), 0)
        content = self._file.read(left if size is None or size < 0 else min(size, left))
        if self.sending and content:
            self._sent(self.tell())
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {0: 0, 1: self.tell(), 2: self._size}[whence]
        self._file.seek(self._start + base + offset)
        return self.tell()

    def tell(self) -> int:
        return self._file.tell() - self._start


def count_what_is_sent(client: Any) -> None:
    """Tell a client's bodies when they are read to be signed and when to be sent."""

    def tell(sending: bool) -> Callable[..., None]:
        def said(request: Any, **_: Any) -> None:
            if isinstance(request.body, Slice):
                request.body.sending = sending

        return said

    client.meta.events.register_first("request-created.s3", tell(False), unique_id="body-is-signed")
    client.meta.events.register_last("request-created.s3", tell(True), unique_id="body-is-sent")


def digests(path: Path, part_bytes: int) -> tuple[str, Sequence[bytes]]:
    """The SHA-256 of a file, as hexadecimal, and of each of its parts."""
    whole = hashlib.sha256()
    parts = []
    with path.open("rb") as file:
        while True:
            part = hashlib.sha256()
            left = part_bytes
            while left and (chunk := file.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                part.update(chunk)
                whole.update(chunk)
            if left < part_bytes:
                parts.append(part.digest())
            if left:
                return whole.hexdigest(), parts


def in_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def composite(parts: Sequence[bytes]) -> str:
    """What S3 calls the SHA-256 of an object of several parts: that of their digests, and their number."""
    return f"{in_base64(hashlib.sha256(b''.join(parts)).digest())}-{len(parts)}"

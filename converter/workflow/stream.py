"""A stream that the runner reads: text passes as text, and only our own commands are commands."""

import contextlib
import io
import secrets
from collections.abc import Iterator
from typing import TextIO

# The runner looks for a command in every line that holds one of these: actions/runner, OutputManager.OnDataReceived.
_MARKS = ("::", "##[")
# The percent sign first, or it would escape the others' escapes.
_IN_MESSAGES = "%\r\n"
_IN_PROPERTIES = "%\r\n:,"


def command(name: str, message: str = "", **properties: str | int) -> str:
    """A workflow command as a line; empty properties are left out."""
    given = ",".join(f"{key}={_escaped(str(value), _IN_PROPERTIES)}" for key, value in properties.items() if value)
    return f"::{name}{f' {given}' if given else ''}::{_escaped(message, _IN_MESSAGES)}"


def _escaped(text: str, special: str) -> str:
    for character in special:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


class Guarded(io.TextIOBase):
    """Whole lines to another stream; commands are stopped, with a random token, around those that hold a mark."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._token = secrets.token_hex(16)
        self._stopped = False
        self._shared = False  # other processes write as well
        self._open = ""  # a line that has not ended yet

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed declares an attribute
        return self._stream.encoding or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace"  # as standard error has it: a message is never lost for one of its characters

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"text is written here, not {type(text).__name__}")
        *whole, self._open = (self._open + text).split("\n")
        for line in whole:
            self._stop(self._shared or any(mark in line for mark in _MARKS))
            self._put(line)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written; a line that has not ended stays until it does, as its end may make it a command."""
        if not self._stream.closed:  # by who lent it, before this object goes
            self._stream.flush()

    def command(self, line: str) -> None:
        """A command of our own."""
        self.end()
        self._put(line)
        self.flush()

    def end(self) -> None:
        """End the open line, and let commands be commands again."""
        if self._open:
            self.write("\n")
        self._stop(False)
        self.flush()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop commands while other processes write to what lies below this stream."""
        self.end()
        self._shared = True
        self._stop(True)
        self.flush()
        try:
            yield
        finally:
            self._shared = False
            self._put("")  # their last line may not have ended
            self.end()

    def _stop(self, stopped: bool) -> None:
        if stopped != self._stopped:
            self._put(command("stop-commands", self._token) if stopped else command(self._token))
            self._stopped = stopped

    def _put(self, line: str) -> None:
        self._stream.write(f"{line}\n".encode(self.encoding, self.errors).decode(self.encoding))

"""Requests from outside to end: batch engines send SIGTERM, wait 10 to 30 s, and kill what still runs."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StoppedError(BaseException):
    """Raised where the main thread stands when a signal asks it to end; no `except Exception` holds it up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.exit_code = 128 + number  # as a shell reports it


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Turn the first SIGTERM or SIGHUP into StoppedError; further ones are ignored while things are put in order.

    As process 1 of a container nothing ends a program that does not ask for these signals itself. What the parent
    chose to ignore stays ignored (nohup). In another than the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        raise StoppedError(number)

    before = {
        number: handler
        for number in (signal.SIGTERM, signal.SIGHUP)
        if (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

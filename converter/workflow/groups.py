"""Log groups, one a model, which a reader unfolds."""

import contextlib

from converter.workflow.stream import Guarded, command


class Groups:
    """A group is open while its model is built; where several are built at once, each is `held` until its model ends.

    `shared`: other processes print to the stream as well, unless groups are held.
    """

    def __init__(self, stream: Guarded, *, held: bool, shared: bool) -> None:
        self.are_held = held
        self._stream = stream
        self._shared = shared and not held
        self._held: dict[str, list[str]] = {}  # of the one that is open none of the lines
        self._sharing = contextlib.ExitStack()

    def say(self, name: str, line: str) -> None:
        """A line into the model's group."""
        if self.are_held:
            self._held.setdefault(name, []).append(line)
            return
        if name not in self._held:
            self.end_all()
            self._held[name] = []
            self._open(name)
            if self._shared:
                self._sharing.enter_context(self._stream.stopped())
        self._print(line)

    def end(self, name: str, more: str = "") -> None:
        """The model's last words in its group."""
        if name not in self._held and not more:  # a model that was not built has no group
            return
        lines = [*self._held.pop(name, ()), *more.splitlines()]
        if self.are_held:
            self._open(name)
        for line in lines:
            self._print(line)
        self._sharing.close()
        self._stream.command(command("endgroup"))

    def end_all(self) -> None:
        """End what is open, as when a run is interrupted."""
        for name in tuple(self._held):
            self.end(name)

    def _open(self, name: str) -> None:
        self._stream.command(command("group", name))

    def _print(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()

"""The runner's side, written down from actions/runner (v2.33x): what it makes of a step's output and files."""

import re
from dataclasses import dataclass, field

import pytest

COMMANDS = [
    *("add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group", "notice"),
    *("remove-matcher", "save-state", "set-env", "set-output", "stop-commands", "warning"),
]
MAX_ISSUES, MAX_MESSAGE = 10, 4096  # ExecutionContext


@dataclass
class Issue:
    level: str
    message: str
    properties: dict[str, str]


@dataclass
class Runner:
    """OutputManager, ActionCommandManager and ActionCommand; `did` are all commands that it would have obeyed."""

    did: list[str] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    log: list[str] = field(default_factory=list)  # a group's lines below its title, indented
    token: str | None = None
    grouped: bool = False

    def read(self, text: str) -> "Runner":
        # .NET's StreamReader.ReadLine ends a line at each of these
        for line in re.split(r"\r\n|\r|\n", text.removesuffix("\n")):
            if not (("##[" in line or "::" in line) and self._obeyed(line)):
                self.log.append(f"{'  ' if self.grouped else ''}{line}")
        return self

    def shown(self, level: str) -> list[Issue]:
        """The annotations of a level that people see."""
        return [issue for issue in self.issues if issue.level == level][:MAX_ISSUES]

    def _obeyed(self, line: str) -> bool:
        known = {*COMMANDS, *([self.token] if self.token else [])}
        found = _second(line, known) or _first(line, known)
        if not found:
            return False
        name, properties, message = found
        if self.token:
            if name.lower() != self.token.lower():
                return False
            self.token = None
            return True
        if name == "stop-commands":
            assert message not in ("", "pause-logging", *COMMANDS), "the runner refuses such a token"
            self.token = message
            return True
        self.did.append(name)
        if name in ("error", "warning", "notice"):
            self.issues.append(Issue(name, message[:MAX_MESSAGE], properties))
        elif name == "group":
            self.log.append(f"> {message}")
            self.grouped = True
        elif name == "endgroup":
            self.grouped = False
        return True


def _second(line: str, known: set[str]) -> tuple[str, dict[str, str], str] | None:
    """ActionCommand.TryParseV2: ::name key=value,key=value::message"""
    line = line.lstrip()
    end = line.find("::", 2)
    if not line.startswith("::") or end < 0:
        return None
    name, _, rest = line[2:end].partition(" ")
    if name.lower() not in {one.lower() for one in known}:
        return None
    properties = {}
    for pair in rest.strip().split(","):
        key, _, value = pair.partition("=")
        if key and value:
            properties[key] = _unescaped(value, {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"})
    return name, properties, _unescaped(line[end + 2 :], {"%0D": "\r", "%0A": "\n", "%25": "%"})


def _first(line: str, known: set[str]) -> tuple[str, dict[str, str], str] | None:
    """ActionCommand.TryParse: ##[name key=value;key=value]message, anywhere in the line"""
    found = re.search(r"##\[([^\]]*)\](.*)", line)
    if not found or found[1].partition(" ")[0].lower() not in {one.lower() for one in known}:
        return None
    return found[1].partition(" ")[0], {}, found[2]


def _unescaped(text: str, mapping: dict[str, str]) -> str:
    for escape, character in mapping.items():  # in the runner's order, the percent sign last
        text = text.replace(escape, character)
    return text


def read_file(text: str) -> dict[str, str]:
    """FileCommandHelpers' EnvFileKeyValuePairs: NAME=VALUE, or NAME<<DELIMITER, lines, DELIMITER."""
    found, index = {}, 0

    def line() -> str | None:
        nonlocal index
        if index >= len(text):
            return None
        start, end = index, text.find("\n", index)
        index = len(text) if end < 0 else end + 1
        return text[start:] if end < 0 else text[start:end]

    while (head := line()) is not None:
        if not head:
            continue
        equals, heredoc = head.find("="), head.find("<<")
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            found[head[:equals]] = head[equals + 1 :]
            continue
        assert heredoc > 0, f"Invalid format {head!r}"
        assert head[heredoc + 2 :], "Delimiter must not be empty"
        lines = []
        while (one := line()) != head[heredoc + 2 :]:
            assert one is not None, "Matching delimiter not found"
            lines.append(one)
        assert text[index - 1] == "\n", "the runner refuses a file whose last line has no end"
        found[head[:heredoc]] = "\n".join(lines)
    return found


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def outputs():
    return read_file

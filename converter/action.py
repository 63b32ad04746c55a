"""The Action's inputs as a command line: INPUT_NO_CACHE is the option --no-cache, as the runner names inputs."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from converter.errors import ManifestError

if TYPE_CHECKING:
    import click

COMMANDS = ("check", "plan", "convert", "run", "merge", "validate", "report", "publish")
"""What the input `command` may be; the other commands are for people."""

ELSEWHERE: Mapping[str, str] = {
    "command": "the command itself; `run` is `convert` in one step and `publish` in a second one",
    "publish": "whether that second step runs at all, which an `if:` of action.yml says",
    "token": "only the publishing step has it, as GITHUB_TOKEN in its environment",
    "aws-for-sources": "which environment the command gets",
    "requirements": "installed into the Action's own environment before the command starts",
    "torch-backend": "which build of PyTorch is installed there",
    "python-version": "of that environment",
    "python": "of that environment",
    "caching": "what of that environment and of the command's folders is kept between runs",
}
"""Inputs of action.yml that are no options of a command, and why."""

_UNSAID: tuple[object, ...] = (None, (), [], False)


def arguments(environment: Mapping[str, str], commands: "click.Group") -> list[str]:
    """The arguments of the command that INPUT_COMMAND names; an empty input is one that is not given.

    An input with several values holds one a line, an input that is a flag `true` or `false`. Raises ManifestError with
    everything that is wrong with the inputs.
    """
    name = _given(environment, "command")
    if name not in COMMANDS or name not in commands.commands:
        raise ManifestError(f"command: {name} is no command of the Action", fix=f"say one of {', '.join(COMMANDS)}")
    problems: list[str] = []
    options, positional = [], []
    known = inputs(commands.commands[name])
    for key, parameter in known.items():
        value = _given(environment, key)
        if not value:
            continue
        values = [line.strip() for line in value.splitlines() if line.strip()] if _is_list(parameter) else [value]
        if parameter.param_type_name == "argument":
            positional += values
        elif not getattr(parameter, "is_flag", False):
            options += [f"--{key}={one}" for one in values]
        elif value == "true":
            options.append(f"--{key}")
        elif value != "false":
            problems.append(f"{key}: {value!r} is given, true or false is expected")
    problems += _misplaced(environment, name, commands)
    if problems:
        raise ManifestError("\n".join(problems), fix="change `with:` of the step that uses the Action")
    return [name, *options, *(["--", *positional] if positional else [])]


def inputs(command: "click.Command") -> dict[str, "click.Parameter"]:
    """A command's options and arguments by the names of their inputs: `--no-cache` is `no-cache`."""
    return {_input(parameter): parameter for parameter in command.params}


def default(parameter: "click.Parameter") -> str:
    """What an input says that leaves the parameter as it is; empty where nothing needs to be said."""
    value = parameter.to_info_dict()["default"]
    if getattr(parameter, "is_flag", False):
        return "true" if value is True else "false"
    return "" if value in _UNSAID else str(value)


def _misplaced(environment: Mapping[str, str], name: str, commands: "click.Group") -> Iterator[str]:
    """Inputs of other commands, which this one would have to ignore."""
    others: dict[str, list[tuple[str, click.Parameter]]] = {}
    for other in COMMANDS:
        if other in commands.commands:
            for key, parameter in inputs(commands.commands[other]).items():
                others.setdefault(key, []).append((other, parameter))
    for key, takers in others.items():
        value = _given(environment, key)
        if not value or name in [taker for taker, _ in takers]:
            continue
        if value not in [default(parameter) for _, parameter in takers]:
            yield f"{key}: the command {name} has no such input; {', '.join(taker for taker, _ in takers)} take it"


def _input(parameter: "click.Parameter") -> str:
    flags = [option for option in parameter.opts if option.startswith("--")]
    return flags[0].removeprefix("--") if flags else str(parameter.name)


def _is_list(parameter: "click.Parameter") -> bool:
    return getattr(parameter, "multiple", False) or parameter.nargs == -1


def _given(environment: Mapping[str, str], key: str) -> str:
    return environment.get(f"INPUT_{key.upper().replace('-', '_')}", "").strip()

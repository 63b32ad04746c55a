import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from converter.action import COMMANDS, ELSEWHERE, arguments, default, inputs
from converter.cli import commands, main
from converter.errors import ManifestError

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
INPUTS = ACTION["inputs"]
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
OPTIONS = {name: inputs(commands.commands[name]) for name in COMMANDS}
NAMES = sorted({name for known in OPTIONS.values() for name in known})


def environment(**given):
    return {f"INPUT_{name.upper()}": value for name, value in given.items()}


def variable(name):
    return f"INPUT_{name.upper().replace('-', '_')}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"command": "check"}, ["check"]),
        ({"command": "check", "manifest": "a b.yml"}, ["check", "--", "a b.yml"]),
        ({"command": "check", "manifest": "--help"}, ["check", "--", "--help"]),
        ({"command": " convert\n", "manifest": " models.yml \n"}, ["convert", "--", "models.yml"]),
        ({"command": "convert", "only": "one\n  two\n\n"}, ["convert", "--only=one", "--only=two"]),
        ({"command": "convert", "only": "--help"}, ["convert", "--only=--help"]),
        ({"command": "convert", "only": "one, two"}, ["convert", "--only=one, two"]),
        ({"command": "convert", "jobs": "2", "verbose": "true"}, ["convert", "--verbose", "--jobs=2"]),
        ({"command": "convert", "verbose": "false", "cache": ""}, ["convert"]),
        ({"command": "convert", "no_cache": "true"}, ["convert", "--no-cache"]),
        (
            {"command": "publish", "dist": "out", "to": "s3", "set": "bucket=a=b\ntag=$(id)", "dry_run": "true"},
            ["publish", "--to=s3", "--set=bucket=a=b", "--set=tag=$(id)", "--dry-run", "--", "out"],
        ),
        ({"command": "merge", "parts": "a\nb c\n", "output": "dist"}, ["merge", "--output=dist", "--", "a", "b c"]),
        ({"command": "plan", "shards": "4", "json": "true"}, ["plan", "--shards=4", "--json"]),
        ({"command": "validate", "engine": "coreml"}, ["validate", "--engine=coreml"]),
        (
            {"command": "validate", "compute_units": "ALL\nCPU_AND_NE\n", "memory_limit": "6.5"},
            ["validate", "--compute-units=ALL", "--compute-units=CPU_AND_NE", "--memory-limit=6.5"],
        ),
        ({"command": "check", "jobs": "1", "verbose": "false", "engine": "reference"}, ["check"]),
    ],
)
def test_inputs_become_arguments(given, expected):
    name, *said = arguments(environment(**given), commands)
    cut = said.index("--") if "--" in said else len(said)
    wanted = expected.index("--") if "--" in expected else len(expected)
    assert [name, *sorted(said[:cut])] == [expected[0], *sorted(expected[1:wanted])]
    assert said[cut:] == expected[wanted:]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"command": ""}, "command:  is no command of the Action"),
        ({"command": "predict"}, "command: predict is no command of the Action"),
        ({"command": "--help"}, "--help is no command"),
        ({"command": "convert", "verbose": "yes"}, "verbose: 'yes' is given, true or false is expected"),
        ({"command": "convert", "verbose": "True"}, "verbose: 'True' is given"),
        ({"command": "check", "jobs": "2"}, "jobs: the command check has no such input; convert, run take it"),
        ({"command": "convert", "to": "github"}, "to: the command convert has no such input; publish take"),
    ],
)
def test_what_is_wrong_with_inputs_is_said_by_their_names(given, problem):
    with pytest.raises(ManifestError) as raised:
        arguments(environment(**given), commands)
    assert problem in raised.value.problem.replace("publish takes", "publish take")
    assert raised.value.fix


def test_everything_wrong_is_said_at_once():
    with pytest.raises(ManifestError) as raised:
        arguments(environment(command="check", jobs="2", engine="coreml", dry_run="yes"), commands)
    assert [line.split(":")[0] for line in raised.value.problem.splitlines()] == ["jobs", "engine", "dry-run"]


def test_no_input_is_an_option_of_another_command_only_by_chance():
    """What `command: X` takes is what the command line of X takes."""
    for name, known in OPTIONS.items():
        for key, parameter in known.items():
            assert key == key.lower()
            assert parameter.param_type_name == "argument" or f"--{key}" in parameter.opts, f"{name} {key}"


def test_every_option_is_an_input_and_every_input_an_option():
    assert sorted(set(INPUTS) - set(ELSEWHERE)) == NAMES
    assert set(ELSEWHERE) <= set(INPUTS)
    assert not set(ELSEWHERE) - {"plan", "publish"} & set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_input_has_its_options_default(name):
    said = {default(known[name]) for known in OPTIONS.values() if name in known}
    # what one command leaves to others, as `publish` the manifest, another one may fill in
    assert len(said - {""}) <= 1
    assert INPUTS[name].get("default", "") in said
    assert said - {INPUTS[name].get("default", "")} <= {""}


@pytest.mark.parametrize("name", NAMES)
def test_an_inputs_description_names_the_commands_that_take_it(name):
    takers = [command for command, known in OPTIONS.items() if name in known]
    said = re.findall(r"\(([a-z, ]+)\)", INPUTS[name]["description"])
    named = {word.strip() for words in said for word in words.split(",")} & set(COMMANDS)
    assert set(takers) <= named | {"run", "merge"}, f"{name}: {takers}"


@pytest.mark.parametrize("step", ["Run the command", "Publish"])
def test_a_step_hands_on_every_input_of_its_commands(step):
    given = {name for name in STEPS[step]["env"] if name.startswith("INPUT_")} - {"INPUT_COMMAND"}
    run = ["publish"] if step == "Publish" else [name for name in COMMANDS if name not in ("run", "publish")]
    wanted = {variable(name) for command in run for name in OPTIONS[command]}
    assert wanted <= given
    assert given <= {variable(name) for name in NAMES}, "an input that no command knows"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_actions_defaults_are_those_of_the_command_line(command, tmp_path, monkeypatch):
    """Also what other commands' inputs say stands in nobody's way."""
    monkeypatch.chdir(tmp_path)
    for folder in ("dist", "parts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "models.yml").touch()
    given = {variable(name): str(INPUTS[name].get("default", "")) for name in NAMES}
    given |= {"INPUT_COMMAND": command, "INPUT_PARTS": "parts" if command == "merge" else ""}
    _, *said = arguments(given, commands)
    plain = ["parts"] if command == "merge" else []
    with_inputs = commands.commands[command].make_context(command, said)
    alone = commands.commands[command].make_context(command, plain)
    filled = {name for name in with_inputs.params if name in ("manifest", "dist") and alone.params[name] is None}
    assert {k: v for k, v in with_inputs.params.items() if k not in filled} == {
        k: v for k, v in alone.params.items() if k not in filled
    }
    assert command == "publish" or not filled


def test_options_of_the_commands_keep_to_what_an_input_can_say():
    """One value, a list, or true and false: no pairs, no counting, no prompts."""
    for name, known in OPTIONS.items():
        for key, parameter in known.items():
            assert parameter.nargs in (1, -1), f"{name} {key}"
            if isinstance(parameter, click.Option):
                assert not parameter.count, f"{name} {key}"
                assert not parameter.secondary_opts, f"{name} {key}"
                assert parameter.prompt is None, f"{name} {key}"


def entrypoint(folder, *more, **given):
    return subprocess.run(
        [sys.executable, ROOT / "entrypoint.py", *more],
        cwd=folder,
        env={**os.environ, **environment(**given)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_entry_point_takes_inputs_where_it_has_no_arguments(tmp_path):
    (tmp_path / "models.yml").write_text("models: [{name: net, source: {torchvision: resnet18}}]\n")
    done = entrypoint(tmp_path, command="check", manifest="models.yml")
    assert done.stdout.startswith("models.yml: 1 models")
    assert done.returncode == 0
    assert "Usage" in entrypoint(tmp_path, "--help", command="check").stdout


def test_wrong_inputs_are_annotated(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["entrypoint.py"])
    for name, value in {**environment(command="convert", verbose="yes"), "GITHUB_ACTIONS": "true"}.items():
        monkeypatch.setenv(name, value)
    assert main() == 2
    said = capsys.readouterr().out
    assert "\n::error::verbose: 'yes' is given, true or false is expected%0A  fix: " in said


def test_inputs_are_read_without_heavy_imports(tmp_path):
    code = "import sys; import converter.action; print({'click', 'pydantic', 'rich', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from converter.action import COMMANDS

SCRIPT = Path(__file__).parents[3] / "script/action/prepare.py"
spec = importlib.util.spec_from_file_location("script_action_prepare", SCRIPT)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.yml").write_text("models: []\n")


def prepare(system="Linux", **inputs):
    given = {f"INPUT_{name.upper()}": value for name, value in {"command": "run", **inputs}.items()}
    given |= {"GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1"}
    return module.prepare(given, system=system, machine="arm64", temp=Path("/runner temp"))


def test_every_command_has_a_profile():
    assert tuple(sorted(module.PROFILES)) == tuple(sorted(COMMANDS))


@pytest.mark.parametrize(
    ("inputs", "profile", "backend"),
    [
        ({}, "run", "cpu"),
        ({"system": "Darwin"}, "run", ""),
        ({"torch_backend": "index"}, "run", ""),
        ({"torch_backend": "cu128", "system": "Darwin"}, "run", "cu128"),
        ({"command": "check"}, "light", ""),
        ({"command": "plan"}, "light", ""),
        ({"command": "plan", "explain": "true"}, "run", "cpu"),
        ({"command": "publish", "torch_backend": "cpu"}, "light", ""),
        ({"command": "validate"}, "run", "cpu"),
        ({"command": "validate", "engine": "coreml", "system": "Darwin"}, "validate", ""),
        ({"command": "validate", "engine": "coreml", "requirements": "none.txt"}, "validate", ""),
    ],
)
def test_what_is_installed(inputs, profile, backend):
    found = prepare(**inputs)
    assert (found["profile"], found["torch-backend"]) == (profile, backend)


@pytest.mark.parametrize(
    ("inputs", "cached", "given"),
    [
        ({}, {"downloads", "store"}, {}),
        ({"command": "check"}, set(), {}),
        ({"cache": "mine"}, {"store"}, {"cache": "mine"}),
        ({"store": "s3://bucket/models"}, {"downloads"}, {"store": "s3://bucket/models"}),
        ({"caching": "false"}, set(), {"cache": "", "store": "", "uv-cache": "", "packages-key": ""}),
    ],
)
def test_folders_of_the_action_s_own_are_cached_and_the_user_s_are_not(inputs, cached, given):
    found = prepare(**inputs)
    assert {name for name in ("downloads", "store") if found[f"{name}-folder"]} == cached
    assert {name: found[name] for name in given} == given


def test_keys_depend_on_what_they_stand_for_and_hold_nothing_that_a_user_wrote(tmp_path):
    hostile = '$(id)"\n,'
    (tmp_path / "more.txt").write_text("einops\n")
    plain = prepare()
    assert prepare(requirements="more.txt")["packages-key"] != plain["packages-key"]
    assert prepare(torch_backend="index")["packages-key"] != plain["packages-key"]
    assert prepare(shard="1/2")["store-key"] != prepare(shard="2/2")["store-key"]
    assert prepare(shard=hostile, only=hostile, manifest=hostile)["store-key"].replace("-", "").isalnum()
    (tmp_path / "models.yml").write_text("models: [one]\n")
    assert prepare()["downloads-key"] != plain["downloads-key"]
    assert prepare()["downloads-key"].startswith(plain["downloads-earlier"].splitlines()[0])


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"command": "$(id)"}, "command: '$(id)' is no command of the Action; say one of check"),
        ({"publish": "yes"}, "publish: 'yes' is given, one of tags, always, never is expected"),
        ({"caching": "no"}, "caching: 'no' is given"),
        ({"aws_for_sources": "yes"}, "aws-for-sources: 'yes' is given"),
        ({"requirements": "models.yml\nnone.txt"}, "requirements: there is no file none.txt"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_installed(inputs, said):
    with pytest.raises(ValueError) as raised:
        prepare(**inputs)
    assert str(raised.value).startswith(said)


def run(tmp_path, **given):
    output = tmp_path / "out put"
    environment = {"RUNNER_TEMP": str(tmp_path / "runner temp"), "GITHUB_OUTPUT": str(output), **given}
    done = subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True, check=False)
    return done, output.read_text() if output.exists() else ""


def test_the_step_writes_its_outputs_and_makes_the_folders_that_are_cached(tmp_path):
    done, output = run(tmp_path, INPUT_COMMAND="convert")
    assert (done.returncode, done.stdout) == (0, "")
    assert f"{tmp_path}/runner temp/coreml-release/venv/bin/python\n" in output
    assert {path.name for path in (tmp_path / "runner temp/coreml-release").iterdir()} == {"downloads", "store"}


def test_an_error_is_an_annotation_of_one_line(tmp_path):
    done, output = run(tmp_path, INPUT_COMMAND="a\n::error::100%")
    assert done.returncode == 2
    assert output == ""
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith("::error title=coreml-release::command: ")
    assert "100%25" in done.stdout

"""What GitHub reads of this repository and no linter holds: rights, the examples' inputs, the changelog."""

import os
import re
from pathlib import Path

import pytest
import yaml

from converter.action import arguments
from converter.cli import commands
from converter.version import __version__

ROOT = Path(__file__).parents[1]
ACTION = ("OWNER/REPO@v1", "$/", "./")  # in the examples, here, and where the tree is checked out
REUSABLE = "OWNER/REPO/.github/workflows/"
OWN = sorted((ROOT / ".github/workflows").glob("*.yml"))
EXAMPLES = sorted((ROOT / "examples/workflows").glob("*.yml"))
# What may write in this repository. Everything else reads.
WRITES = {
    ("release.yml", "release"): {"contents"},
    ("release.yml", "image"): {"packages", "id-token", "attestations"},
    ("image.yml", "push"): {"packages", "id-token", "attestations"},
    ("release-models.yml", "publish"): {"contents", "id-token", "attestations"},
    ("self-test.yml", "workflow"): {"contents", "id-token", "attestations"},  # what release-models.yml asks for
}
ACCESS = ["none", "read", "write"]


def load(path):
    return yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # texts alone: `on` is no boolean, 3.10 no number


def jobs(paths):
    """(file, name of the job, job) of all workflows."""
    return [
        pytest.param(path, name, job, id=f"{path.name}-{name}")
        for path in paths
        for name, job in load(path)["jobs"].items()
    ]


def called(job):
    """The workflow of this repository that a job calls, if it calls one."""
    uses = job.get("uses", "").partition("@")[0]
    for start in ("./.github/workflows/", "$/.github/workflows/", REUSABLE):
        if uses.startswith(start):
            return ROOT / ".github/workflows" / uses.removeprefix(start)
    return None


def steps(paths):
    """(file, step) of all steps that use the Action."""
    return [
        pytest.param(path, step, id=f"{path.name}-{name}-{number}")
        for path in paths
        for name, job in load(path)["jobs"].items()
        for number, step in enumerate(job.get("steps", []))
        if step.get("uses") in ACTION
    ]


@pytest.mark.parametrize("path", OWN + EXAMPLES, ids=lambda path: path.name)
def test_a_workflow_gives_no_right_to_all_of_its_jobs(path):
    assert load(path)["permissions"] == {}


@pytest.mark.parametrize(("path", "name", "job"), jobs(OWN))
def test_a_job_writes_only_what_is_listed(path, name, job):
    writes = {scope for scope, access in job["permissions"].items() if access == "write"}
    assert writes == WRITES.get((path.name, name), set())


@pytest.mark.parametrize(("path", "name", "job"), [case for case in jobs(OWN + EXAMPLES) if called(case.values[2])])
def test_a_called_workflow_asks_for_no_right_that_its_caller_lacks(path, name, job):
    """GitHub does not even start a run where it does, not even for a job that would be skipped."""
    for asking, inner in load(called(job))["jobs"].items():
        for scope, access in inner["permissions"].items():
            granted = job["permissions"].get(scope, "none")
            assert ACCESS.index(access) <= ACCESS.index(granted), f"{asking} asks for {scope}: {access}"


@pytest.mark.parametrize(("path", "name", "job"), [case for case in jobs(EXAMPLES) if called(case.values[2])])
def test_an_example_gives_the_reusable_workflow_inputs_that_it_takes(path, name, job):
    declared = load(called(job))["on"]["workflow_call"]["inputs"]
    for key, value in job.get("with", {}).items():
        assert key in declared
        kind = declared[key]["type"]
        assert kind == "string" or re.fullmatch({"boolean": "true|false", "number": "[0-9]+"}[kind], value)


@pytest.mark.parametrize(("path", "step"), steps(OWN + EXAMPLES))
def test_the_action_is_given_inputs_that_it_has(path, step):
    assert set(step["with"]) <= set(load(ROOT / "action.yml")["inputs"])


@pytest.mark.parametrize(("path", "step"), steps(EXAMPLES))
def test_an_example_s_inputs_are_a_command_line(path, step, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("dist", *(f"parts/part-{number}" for number in range(1, 5))):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "models.yml").touch()
    inputs = {key: value.replace("${{ steps.models.outputs.dist }}", "dist") for key, value in step["with"].items()}
    given = {f"INPUT_{key.upper().replace('-', '_')}": value for key, value in inputs.items()}
    command, *options = arguments(given, commands)
    commands.commands[command].make_context(command, options)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_reads_outputs_that_the_action_has(path):
    declared = set(load(ROOT / "action.yml")["outputs"])
    assert set(re.findall(r"steps\.models\.outputs\.([a-z0-9-]+)", path.read_text())) <= declared


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_table_of_examples_lists_the_workflow(path):
    assert f"(workflows/{path.name})" in (ROOT / "examples/README.md").read_text()


def test_the_changelog_begins_with_what_is_to_come_or_with_this_version():
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first
    assert first[1] in ("Unreleased", __version__)


def test_the_scripts_can_be_run():
    assert [path.name for path in (ROOT / "script").iterdir() if not os.access(path, os.X_OK)] == []

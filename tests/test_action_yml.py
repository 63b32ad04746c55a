"""action.yml and the workflows as text: pins, what reaches a shell, descriptions, stand-ins."""

import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ACTION = ROOT / "action.yml"
REUSABLE = ROOT / ".github/workflows/release-models.yml"
FILES = [
    ACTION,
    *sorted((ROOT / ".github/workflows").glob("*.yml")),
    *sorted((ROOT / "examples/workflows").glob("*.yml")),
]
OWN = ("./", "$/", "OWNER/REPO@v1", "OWNER/REPO/.github/workflows/")
USES = re.compile(r"^\s*(?:- )?uses: (\S+)(?: +# (.*))?$", re.MULTILINE)
DOCS = (ROOT / "docs/action.md").read_text(encoding="utf-8")


def third_party(path):
    """(action, reference, comment) of each `uses:` in a file that is not this repository's own."""
    for used, comment in USES.findall(path.read_text(encoding="utf-8")):
        if not used.startswith(OWN):
            action, _, reference = used.partition("@")
            yield action, reference, comment


def load(path):
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def steps(path):
    read = load(path)
    yield from read["runs"]["steps"] if "runs" in read else ()
    for job in read.get("jobs", {}).values():
        yield from job.get("steps", ())


def cells(*texts):
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit_and_names_its_version(path):
    for action, reference, comment in third_party(path):
        assert re.fullmatch("[0-9a-f]{40}", reference), action
        assert re.match(r"v\d+\.\d+\.\d+\b", comment), action


def test_an_action_has_one_version_in_the_whole_repository():
    found = defaultdict(set)
    for path in FILES:
        for action, reference, comment in third_party(path):
            found["/".join(action.split("/")[:2])].add((reference, comment.split()[0]))
    assert len(found) > 5
    assert {action: pins for action, pins in found.items() if len(pins) > 1} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_expression_becomes_part_of_a_script(path):
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


def test_every_shell_in_the_action_is_one_line_that_starts_a_script():
    for step in steps(ACTION):
        assert "run" not in step or ("\n" not in step["run"] and step["shell"] == "bash"), step["name"]


def test_one_step_alone_has_the_token():
    named = [step["name"] for step in steps(ACTION) if "token" in str(step)]
    assert named == ["Publish"]
    assert [step["name"] for step in steps(ACTION) if "run" in step and "action/command" not in step["run"]] == named
    for step in steps(ACTION):
        if "action/command" in step.get("run", ""):  # no shell stays behind with the credentials in its environment
            assert step["run"].startswith("exec "), step["name"]


def test_the_jobs_that_run_models_code_can_write_nowhere():
    jobs = load(REUSABLE)["jobs"]
    assert [name for name, job in jobs.items() if "write" in job["permissions"].values()] == ["publish"]
    assert not [step for step in jobs["publish"]["steps"] if "checkout" in step.get("uses", "")]
    for job in jobs.values():
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] == "false"


def test_publishing_waits_for_every_job_and_is_skipped_after_a_failure():
    """GitHub does so unless the condition asks for the status; act ends the run at a failure, and cannot tell."""
    jobs = load(REUSABLE)["jobs"]
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish"}
    for name in ("convert", "validate", "publish"):
        assert not re.search(r"(always|failure|cancelled|success) *\(", jobs[name].get("if", "")), name
        assert "continue-on-error" not in str(jobs[name]), name


def test_everything_is_described():
    action, workflow = load(ACTION), load(REUSABLE)["on"]["workflow_call"]
    named = [action["inputs"], action["outputs"], workflow["inputs"], workflow["secrets"], workflow["outputs"]]
    for table in named:
        for name, said in table.items():
            assert said["description"].rstrip("`)]").endswith((".", "cpu` on Linux, `index` on macOS")), name
    assert {name for name, said in action["inputs"].items() if "default" not in said} == set()


@pytest.mark.parametrize(
    ("path", "kind"),
    [(ACTION, "inputs"), (ACTION, "outputs"), (REUSABLE, "inputs"), (REUSABLE, "secrets"), (REUSABLE, "outputs")],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_document_has_every_line_as_it_is_declared(path, kind):
    read = load(path)
    for name, said in (read if "runs" in read else read["on"]["workflow_call"])[kind].items():
        default = [f"`{said['default']}`" if said["default"] else ""] if kind == "inputs" else []
        assert cells(f"`{name}`", *default, said["description"]) + "\n" in DOCS, name


def test_every_action_that_is_used_has_a_stand_in_which_takes_its_inputs():
    for step in [*steps(ACTION), *steps(REUSABLE)]:
        action = step.get("uses", "$/").partition("@")[0]
        if action.startswith(OWN) or action == "actions/checkout":
            continue
        declared = load(ROOT / "tests/action/stand_ins" / action / "action.yml")["inputs"]
        assert set(step.get("with", {})) <= set(declared), action
        assert f"| {action} |" in DOCS.replace("`", ""), action

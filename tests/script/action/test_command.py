import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
COMMAND = ROOT / "script/action/command"
PRINT = "import json, os; print(json.dumps(dict(os.environ)))"
TOKENS = {
    "GITHUB_TOKEN": "1", "GH_TOKEN": "1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "1", "ACTIONS_ID_TOKEN_REQUEST_URL": "1",
    "ACTIONS_RUNTIME_TOKEN": "1", "GITHUB_ENV": "1", "GITHUB_PATH": "1",
    "INPUT_TOKEN": "1",
}  # fmt: skip
AWS = {"AWS_ACCESS_KEY_ID": "1", "AWS_SECRET_ACCESS_KEY": "1", "AWS_PROFILE": "1", "AWS_ROLE_ARN": "1"}
KEPT = {"GITHUB_OUTPUT": "out", "GITHUB_STEP_SUMMARY": "out", "HF_TOKEN": "1", "COREML_RELEASE_TOKENS": "a=b"}


def seen(**environment):
    done = subprocess.run(
        [COMMAND, sys.executable, "-c", PRINT],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_the_credentials_of_the_job_are_gone_and_those_for_downloads_are_not():
    found = seen(**TOKENS, **AWS, **KEPT)
    assert not (TOKENS | AWS).keys() & found.keys()
    assert KEPT.items() <= found.items()


@pytest.mark.parametrize("more", [{"INPUT_STORE": "s3://bucket/models"}, {"AWS_FOR_SOURCES": "true"}])
def test_aws_stays_where_it_is_needed_and_nothing_else(more):
    found = seen(**TOKENS, **AWS, **more)
    assert AWS.items() <= found.items()
    assert not TOKENS.keys() & found.keys()


@pytest.mark.parametrize("more", [{"INPUT_STORE": "models"}, {"AWS_FOR_SOURCES": "false"}, {"AWS_FOR_SOURCES": ""}])
def test_aws_goes_otherwise(more):
    assert not AWS.keys() & seen(**AWS, **more).keys()


def test_what_a_library_downloads_lies_in_the_cache_unless_the_user_says_where():
    found = seen(WEIGHTS="/weights", TORCH_HOME="/mine")
    assert (found["TORCH_HOME"], found["HF_HUB_CACHE"]) == ("/mine", "/weights/huggingface")
    assert "HF_HUB_CACHE" not in seen(WEIGHTS="")


def test_the_steps_of_the_action_run_from_a_path_with_spaces(tmp_path):
    place = tmp_path / "an action"
    place.symlink_to(ROOT)
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    (script,) = {step["run"] for step in steps if step.get("id") == "command"}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
        env={"PATH": "/usr/bin:/bin", "GITHUB_ACTION_PATH": str(place), "PYTHON": sys.executable,
             "INPUT_COMMAND": "check", "INPUT_MANIFEST": "my models.yml"},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "my models.yml" in done.stdout + done.stderr
    assert done.returncode == 2

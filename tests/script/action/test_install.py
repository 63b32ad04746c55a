"""What install.py calls is a stand-in here; script/test-action installs really."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "script/action"


@pytest.fixture
def action(tmp_path):
    """The Action's folder, whose script/setup makes a venv with a uv that writes down what it is asked."""
    root = tmp_path / "an action"
    (root / "script/action").mkdir(parents=True)
    (root / "requirements").mkdir()
    for name in ("prepare.py", "install.py"):
        (root / "script/action" / name).write_text((SCRIPT / name).read_text())
    setup = root / "script/setup"
    setup.write_text(
        '#!/bin/sh\nmkdir -p "$COREML_RELEASE_VENV/bin"\necho "setup $1" >>"$LOG"\n'
        'printf \'#!/bin/sh\\necho "uv $*" >>"$LOG"\\necho "  x no solution: numpy" >&2\\nexit $UV_ENDS\\n\' '
        '>"$COREML_RELEASE_VENV/bin/uv"\nchmod +x "$COREML_RELEASE_VENV/bin/uv"\nexit $SETUP_ENDS\n'
    )
    setup.chmod(0o755)
    (tmp_path / "a.txt").write_text("einops\n")
    (tmp_path / "b c.txt").write_text("timm\n")

    def run(profile="run", **environment):
        done = subprocess.run(
            [sys.executable, root / "script/action/install.py"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env={"PATH": os.environ["PATH"], "LOG": str(tmp_path / "log"), "UV_ENDS": "0", "SETUP_ENDS": "0",
                 "PYTHON": sys.executable, "PROFILE": profile, "COREML_RELEASE_VENV": str(tmp_path / "a venv"),
                 **environment},
        )  # fmt: skip
        said = (tmp_path / "log").read_text().splitlines() if (tmp_path / "log").exists() else []
        (tmp_path / "log").unlink(missing_ok=True)
        return done, said

    return run


def test_the_locks_come_first_and_then_the_user_s_files_held_to_them(action, tmp_path):
    done, said = action(INPUT_REQUIREMENTS="a.txt\nb c.txt\n", TORCH_BACKEND="cpu")
    assert done.returncode == 0
    setup, uv = said
    assert setup == "setup run"
    locks = tmp_path / "an action/requirements"
    assert f"--constraint {locks}/run.txt --constraint {locks}/torch.txt --torch-backend=cpu" in uv
    assert uv.endswith("--requirements a.txt --requirements b c.txt")


def test_without_requirements_the_locks_are_all(action):
    assert action()[1] == ["setup run"]
    assert action("validate", INPUT_REQUIREMENTS="a.txt")[1] == ["setup validate"]


def test_a_second_step_of_a_job_takes_the_same_environment(action):
    assert len(action(INPUT_REQUIREMENTS="a.txt")[1]) == 2
    assert action(INPUT_REQUIREMENTS="a.txt")[1] == ["setup run"]


def test_other_requirements_get_an_environment_of_their_own(action, tmp_path):
    action(INPUT_REQUIREMENTS="a.txt")
    (tmp_path / "a venv/left over").touch()
    assert len(action(INPUT_REQUIREMENTS="b c.txt")[1]) == 2
    assert not (tmp_path / "a venv/left over").exists()


def test_a_conflict_names_the_file_and_what_uv_said(action):
    done, _ = action(INPUT_REQUIREMENTS="a.txt", UV_ENDS="1")
    assert done.returncode == 2
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("::error")]
    assert "a.txt: these packages do not install beside the Action's own" in line
    assert "x no solution: numpy" in line
    assert action(INPUT_REQUIREMENTS="a.txt")[0].returncode == 0  # and leaves nothing half done


def test_a_setup_that_fails_fails_the_step(action):
    done, _ = action(SETUP_ENDS="3")
    assert done.returncode == 1
    assert "::error" in done.stdout

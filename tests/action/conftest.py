"""A GitHub of our own for whole workflows: act runs them on this machine, a fake server takes the release."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
ACTION = "owner/coreml-release@v1"


def _server():
    spec = importlib.util.spec_from_file_location("fake_github", ROOT / "tests/publish/github/server.py")
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[spec.name])
    return sys.modules[spec.name]


class Run:
    """What one run of a workflow came to, as act tells it."""

    def __init__(self, code, lines, seconds):
        self.code, self.seconds, self.lines = code, seconds, lines
        self.events = [json.loads(line) for line in lines if line.startswith("{")]
        self.jobs = {e["job"].strip(): e["jobResult"] for e in self.events if "jobResult" in e}
        # act gives all jobs of a matrix the result of one, so it is the steps that tell
        self.failed_in = {e["job"].strip().rpartition("/")[2] for e in self.events if e.get("stepResult") == "failure"}
        self.annotations = {
            (e["command"], e["kvPairs"].get("file", ""), e["kvPairs"].get("line", ""), e["arg"])
            for e in self.events
            if e.get("command") in ("error", "warning", "notice")
        }
        self.errors = {said for said in self.annotations if said[0] == "error"}
        self.summaries = "\n".join(dict.fromkeys(e["content"] for e in self.events if e.get("command") == "summary"))
        self.log = "".join(e["msg"] for e in self.events if e.get("raw_output"))

    def results(self, part):
        return [result for job, result in self.jobs.items() if part in job]


class Machine:
    """A user's repository, the Action beside it, and act to run the one with the other."""

    def __init__(self, folder):
        self.folder = folder
        self.fake = _server()
        self.github = self.fake.FakeGitHub()
        self.action, self.repository, self.stand_ins = folder / "action", folder / "repository", folder / "stand-ins"
        self.stand_ins.mkdir()
        self._copy_action()
        self._make_repository()
        self.number = 0

    def _copy_action(self):
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (self.action / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.action / name)
        workflow = self.action / ".github/workflows/release-models.yml"
        text = workflow.read_text()
        assert text.count("uses: $/\n") == 5
        workflow.write_text(text.replace("uses: $/\n", f"uses: {ACTION}\n"))  # act 0.2.89 does not know $/

    def _make_repository(self):
        shutil.copytree(HERE / "repository", self.repository)
        for source, name in (("model.py", "digits.py"), ("digits.safetensors",) * 2, ("labels.txt",) * 2):
            shutil.copy(ROOT / "examples/digits" / source, self.repository / name)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("remote", "add", "origin", "https://github.com/owner/repo")
        self.commit("First models")

    def git(self, *words):
        who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        subprocess.run(["git", *who, *words], cwd=self.repository, check=True)

    def commit(self, words):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", words)

    def change(self, name, old, new):
        path = self.repository / name
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def push(self, ref, workflow, **environment):
        """What GitHub does when `refs/tags/v1` or `refs/heads/main` is pushed."""
        kind, name = ref.removeprefix("refs/").split("/", 1)
        if kind == "tags":
            self.git("tag", "--force", name)
            self.github.tags.add(name)
        else:
            self.git("switch", "--quiet", "--force-create", name)
        self.number += 1
        for left in ("artifacts", "spied"):
            shutil.rmtree(self.stand_ins / left, ignore_errors=True)
        event = self.folder / "event.json"
        owner = {"login": "owner"}
        event.write_text(json.dumps({"ref": ref, "repository": {"full_name": "owner/repo", "owner": owner}}))
        given = {
            "STAND_INS": str(self.stand_ins),
            "STAND_IN_ACTION": str(self.action),
            "STAND_IN_UV_CACHE": os.environ["UV_CACHE"],
            "STAND_IN_BASE_PYTHON": sys._base_executable,
            "STAND_IN_CORE_ML": str(ROOT / "tests/validate/stand_in"),
            "STAND_IN_PYTHON": sys.executable,
            "GITHUB_API_URL": self.github.api_url,
            "GITHUB_RUN_ID": str(self.number),
            "PYTHONDONTWRITEBYTECODE": "",
            **environment,
        }
        command = [
            os.environ["ACT"], "push", "--json", "--eventpath", event, "--workflows", f".github/workflows/{workflow}",
            "--action-cache-path", self.folder / "act", "--no-cache-server", "--no-recurse",
            "--platform", "ubuntu-24.04=-self-hosted", "--platform", "macos-15=-self-hosted",
            "--secret", "GITHUB_TOKEN", "--concurrent-jobs", "2",
            *(f"--env={name}={value}" for name, value in given.items()),
            *(f"--local-repository={name}={path}" for name, path in self._actions()),
        ]  # fmt: skip
        home = {"HOME": str(self.folder / "home"), "GITHUB_TOKEN": self.fake.TOKEN}
        (self.folder / "home").mkdir(exist_ok=True)
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=self.repository, env={**os.environ, **home}, capture_output=True, text=True, check=False
        )
        shutil.rmtree(self.folder / "act", ignore_errors=True)  # act leaves the gigabytes of a job that failed
        (self.folder / f"{self.number}-{workflow}.log").write_text(done.stdout + done.stderr)
        run = Run(done.returncode, done.stdout.splitlines(), time.monotonic() - started)
        print(f"\n{workflow}, {ref}: {run.seconds:.0f} s; {', '.join(f'{j} {r}' for j, r in run.jobs.items())}")
        return run

    def _actions(self):
        """Every third-party action, at the commit that is pinned, is its stand-in."""
        yield ACTION, self.action
        texts = [self.action / "action.yml", self.action / ".github/workflows/release-models.yml"]
        uses = {word for path in texts for word in path.read_text().split() if "@" in word and "/" in word}
        for used in sorted(uses - {ACTION}):
            name, at = used.split("@")
            folder = HERE / "stand_ins" / "/".join(name.split("/")[:2])
            if name != "actions/checkout" and len(at) == 40:  # act brings its own checkout
                yield f"{'/'.join(name.split('/')[:2])}@{at}", folder

    def spied(self):
        """What the model's code saw, in each of its processes."""
        return [json.loads(path.read_text()) for path in (self.stand_ins / "spied").glob("*.json")]

    def stood(self, name):
        return json.loads((self.stand_ins / name).read_text())

    def release(self, tag):
        """The one published release of a tag: names and contents."""
        (found,) = [r for r in self.github.releases.values() if r["tag_name"] == tag]
        assert not found["draft"]
        return self.github.files(found["id"])


@pytest.fixture(scope="session")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("act")
    found = Machine(folder)
    yield found
    found.github.close()


@pytest.fixture
def digests():
    def of(files):
        return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}

    return of

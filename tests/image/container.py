"""What only the built image can tell; script/test-image builds it and runs this. Figures are printed."""

import hashlib
import json
import os
import re
import subprocess
import time
from pathlib import Path

import boto3
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

DOCKER, IMAGE = os.environ["DOCKER"], os.environ["IMAGE"]
NETS = ("one", "two", "three")
# no rights, and no way to write but to a folder in memory and to what is mounted
STRICT = [
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--env=OMP_NUM_THREADS=1",
]
OFFLINE = "--network=none"

FACTORIES = """
import pathlib, subprocess, time, torch

def net():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(512, 3))

def sleeps():
    subprocess.Popen(["sleep", "300"])
    pathlib.Path("/repo/dist/started").touch()
    time.sleep(300)
"""
ONNX = "source: {{onnx: {{path: {0}.onnx, sha256: {1}}}}}, inputs: [{{name: x, tensor: {{shape: [1, 8]}}}}]"
FACTORY = "source: {{factory: 'nets.py:{0}'}}, inputs: [{{name: image, image: {{size: 10, normalize: unit}}}}]"

# Runs the converter and says how much its largest process held.
WITH_PEAK = """
import resource, subprocess, sys
code = subprocess.call([sys.executable, "/app/entrypoint.py", *sys.argv[1:]])
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(code)
"""


def docker(*arguments, code=0):
    """Standard output and error of a docker command that ends with `code`."""
    done = subprocess.run(
        [DOCKER, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == code, done.stdout
    return done.stdout


@pytest.fixture
def repository(tmp_path):
    """A user's repository, checked out by somebody whom the image does not know, with an empty dist."""
    folder = tmp_path / "repo"
    (folder / "dist").mkdir(parents=True)
    random = np.random.default_rng(0)
    make = onnx.helper
    for name in NETS:
        weights = numpy_helper.from_array(random.normal(size=(8, 3)).astype(np.float32), "w")
        x, y = (make.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, size]) for n, size in (("x", 8), ("y", 3)))
        graph = make.make_graph([make.make_node("MatMul", ["x", "w"], ["y"])], name, [x], [y], [weights])
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, folder / f"{name}.onnx")
    (folder / "nets.py").write_text(FACTORIES)
    (folder / ".gitignore").write_text("dist\n*.yml\n")
    git = ["git", "-C", folder, "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=Nets"]):
        subprocess.run([*git, *words], check=True)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "1000:1000", folder], check=True)
    return folder


@pytest.fixture
def owner(repository):
    return f"{repository.stat().st_uid}:{repository.stat().st_gid}"


def write(repository, *names, more=""):
    """A manifest of ONNX files and factories."""
    text = "models:\n"
    for name in names:
        if name in NETS:
            model = ONNX.format(name, hashlib.sha256((repository / f"{name}.onnx").read_bytes()).hexdigest())
        else:
            model = FACTORY.format(name) + ", route: [direct, onnx]"
        text += f"  - {{name: {name}, {model}}}\n"
    (repository / "models.yml").write_text(text + more)


def listed(repository, dist):
    """The models of a dist, once every file is found as the record says and made from the repository's commit."""
    record = json.loads((dist / "build.json").read_text())
    head = ["git", "-c", f"safe.directory={repository}", "-C", repository, "rev-parse", "HEAD"]
    assert record["commit"] == subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    sums = dict(reversed(line.split("  ")) for line in (dist / "SHA256SUMS").read_text().splitlines())
    for model in record["models"]:
        for artifact in model["artifacts"]:
            digest = hashlib.sha256((dist / artifact["path"]).read_bytes()).hexdigest()
            assert digest == artifact["sha256"]
            assert sums.get(Path(artifact["path"]).name, digest) == digest
    return [model["name"] for model in record["models"] if not model["error"]]


def test_it_runs_as_nobody_and_holds_no_tools_and_no_caches():
    config = json.loads(docker("inspect", "--format={{json .Config}}", IMAGE))
    assert config["User"].split(":")[0].isdigit(), "Kubernetes' runAsNonRoot reads numbers only"
    assert not config["User"].startswith("0")
    assert config["StopSignal"] == "SIGTERM"
    assert config["Labels"]["org.opencontainers.image.version"] == "test"
    search = "command -v gcc cc make uv /app/.venv/bin/pip; find /root /tmp /app -name .cache -o -name '*.whl'"
    assert docker("run", "--rm", OFFLINE, "--user=0", "--entrypoint=sh", IMAGE, "-c", search + "; true") == ""
    assert "Exit codes" in docker("run", "--rm", OFFLINE, *STRICT, IMAGE)


def test_onnx_models_for_the_repositorys_owner_without_a_network(repository, owner):
    write(repository, *NETS)
    started = time.monotonic()
    docker("run", "--rm", OFFLINE, *STRICT, f"--user={owner}", f"--volume={repository}:/repo", IMAGE, "run")
    print(f"- three small ONNX models, each in both formats: {time.monotonic() - started:.0f} s")
    assert listed(repository, repository / "dist") == [*NETS]
    made = (repository / "dist/one/one.mlmodel").stat()
    assert f"{made.st_uid}:{made.st_gid}" == owner


def limited(repository, dist, memory, code=0):
    """Run as OpenShift does, under a user without a name in the group 0; returns what was said."""
    return docker(
        "run", "--rm", OFFLINE, *STRICT, "--user=1234567:0", f"--memory={memory}", f"--memory-swap={memory}",
        f"--volume={repository}:/repo:ro", f"--volume={dist}:/dist",
        "--entrypoint=python", IMAGE, "-c", WITH_PEAK, "run", "--output=/dist", code=code,
    )  # fmt: skip


@pytest.fixture
def free(tmp_path):
    (tmp_path / "free").mkdir()
    (tmp_path / "free").chmod(0o777)
    return tmp_path / "free"


def test_a_torch_model_in_little_memory_for_a_user_without_a_name(repository, free):
    write(repository, "net")
    started = time.monotonic()
    said = limited(repository, free, "1500m")
    peak = re.search(r"^peak (\d+)$", said, re.MULTILINE)
    assert peak
    print(f"- a small torch model, both routes and formats, limited to 1500 MB: {time.monotonic() - started:.0f} s,")
    print(f"  largest process {peak[1]} MiB")
    assert listed(repository, free) == ["net"]


def test_too_little_memory_is_said(repository, free):
    write(repository, "one")
    assert "as happens when memory runs out" in limited(repository, free, "200m", code=9)


def test_docker_stop_keeps_what_is_finished(repository, owner):
    write(repository, "one", "sleeps")
    dist, name = repository / "dist", f"coreml-release-{os.getpid()}"
    mount = f"--volume={repository}:/repo"
    docker("run", "--detach", f"--name={name}", OFFLINE, *STRICT, f"--user={owner}", mount, IMAGE, "run")
    try:
        deadline = time.monotonic() + 120
        while not (dist / "started").exists():
            assert docker("inspect", "--format={{.State.Running}}", name) == "true\n", docker("logs", name)
            assert time.monotonic() < deadline
            time.sleep(0.2)
        started = time.monotonic()
        docker("stop", name)
        print(f"- docker stop while a model is being built: {time.monotonic() - started:.1f} s")
        assert docker("inspect", "--format={{.State.ExitCode}}", name) == "143\n"
        assert docker("logs", name).endswith("stopped by SIGTERM; finished models are kept\n")
    finally:
        docker("rm", "--force", name)
    assert not (dist / ".work").exists()
    assert listed(repository, dist) == ["one"]


@pytest.fixture
def bucket():
    """A bucket of the server that script/with-s3 has started."""
    keys = {
        "aws_access_key_id": os.environ["S3_TEST_AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["S3_TEST_AWS_SECRET_ACCESS_KEY"],
    }
    endpoint = os.environ["S3_TEST_ENDPOINT"]
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="models")
    target = f"bucket: models, endpoint: '{endpoint}', region: us-east-1, name: nets, tag: v1"
    client.target = f"publish: [{{s3: {{{target}}}}}]\n"
    client.keys = [f"--env={name.upper()}={value}" for name, value in keys.items()]
    return client


def test_shards_as_an_indexed_job_of_kubernetes_become_one_release(repository, bucket):
    write(repository, *NETS, more=bucket.target)
    mount = f"--volume={repository}:/repo:ro"

    def begin(*arguments, index=None):
        job = [] if index is None else ["--env=JOB_COMPLETIONS=3", f"--env=JOB_COMPLETION_INDEX={index}"]
        command = [DOCKER, "run", "--rm", "--network=host", *STRICT, *bucket.keys, *job, mount, IMAGE, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    started = time.monotonic()
    jobs = [begin("run", "--output=/tmp/dist", index=index) for index in range(3)]
    words = [job.communicate()[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0], words
    last = begin("publish", "--manifest=models.yml", "--finalize")
    said, _ = last.communicate()
    assert last.returncode == 0, said
    print(f"- three shards side by side and the step that closes them: {time.monotonic() - started:.0f} s")

    latest = json.loads(bucket.get_object(Bucket="models", Key="nets/latest.json")["Body"].read())
    found = {Path(file["path"]).name for file in latest["files"]}
    assert {f"{name}.{ending}" for name in NETS for ending in ("mlmodel", "mlpackage.zip")} <= found
    for file in latest["files"]:
        content = bucket.get_object(Bucket="models", Key=f"nets/{file['path']}")["Body"].read()
        assert hashlib.sha256(content).hexdigest() == file["sha256"]

import hashlib
import json
import os
import signal
import sys
import threading
import time
import uuid

import boto3
import pytest
from botocore.config import Config

from converter.manifest.s3 import S3Options
from converter.publish import finished
from converter.publish.s3 import S3, objects

_FORKING = threading.Lock()  # libraries that watch forks refuse two at once
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAHUSHHUSHHUSHHUSH", "AWS_SECRET_ACCESS_KEY": "hush/secret/hush"}


@pytest.fixture(scope="session")
def server(s3_server):
    """The address of an S3 server: moto's own process, or what S3_TEST_ENDPOINT names (script/test-s3)."""
    return os.environ.get("S3_TEST_ENDPOINT", s3_server)


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """Credentials of the test alone: nothing of the machine's own AWS settings."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    keys = {name: os.environ.get(f"S3_TEST_{name}", value) for name, value in KEYS.items()}
    own = {"AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    for name, value in {**keys, **own, "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def client(server, environment):
    config = Config(
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client("s3", endpoint_url=server, region_name="us-east-1", config=config)


class Shelf:
    """A fresh bucket as a test sees it."""

    def __init__(self, client, server):
        self.client, self.server, self.name = client, server, f"models-{uuid.uuid4().hex[:12]}"
        client.create_bucket(Bucket=self.name)

    def options(self, **options):
        return S3Options(**{"bucket": self.name, "endpoint": self.server, "tag": "v1", "name": "net", **options})

    def publisher(self, **options):
        return S3(self.options(**options), {})

    def publish(self, dist, progress=lambda *_: None, **options):
        return self.publisher(**options).publish(finished(dist), progress)

    def plan(self, dist, **options):
        return [(step.action, step.name) for step in self.publisher(**options).plan(finished(dist))]

    def listed(self):
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=self.name).get("Contents", ())]

    def get(self, key):
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def head(self, key):
        return self.client.head_object(Bucket=self.name, Key=key)

    def put(self, key, content, **properties):
        self.client.put_object(Bucket=self.name, Key=key, Body=content, **properties)

    def json(self, key):
        return json.loads(self.get(key))

    def read_latest(self):
        """Follow latest.json as a reader does: every file that it names is there and has its sum."""
        latest = self.json("net/latest.json")
        for file in latest["files"]:
            content = self.get(f"net/{file['path']}")
            assert hashlib.sha256(content).hexdigest() == file["sha256"], file
        return latest["version"]

    @staticmethod
    def before(publisher, operation, act):
        """Do something once, just before a publisher's request of this kind goes out."""
        left = [act]

        def once(**_):
            if left:
                left.pop()()

        publisher._bucket._client.meta.events.register(f"before-send.s3.{operation}", once)

    def unfinished(self):
        return self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])


@pytest.fixture
def shelf(client, server):
    return Shelf(client, server)


@pytest.fixture
def small_parts(monkeypatch):
    """Parts as small as S3 takes them, 5 MiB."""
    monkeypatch.setattr(objects.Bucket.__init__, "__defaults__", (5 << 20,))


@pytest.fixture
def in_child():
    """Run something in a forked process, which may be killed; returns its exit code, -9 for SIGKILL."""

    def run(task, kill_after_s=None):
        with _FORKING:
            child = os.fork()
        if child == 0:
            try:
                task()
                os._exit(0)
            except BaseException as error:
                print(f"in a child: {error!r}", file=sys.stderr, flush=True)
                os._exit(1)
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return run

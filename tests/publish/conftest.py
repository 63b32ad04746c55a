import hashlib

import pytest

from converter.model import Artifact, BuildRecord, Metadata, ModelRecord
from converter.package.checksums import sums
from converter.package.record import to_json


@pytest.fixture
def make_dist(tmp_path):
    """Write a finished output folder: `make_dist({"net/net.mlmodel": b"..."})`, one model per top folder.

    With `shard` and `expected` it is a part.
    """

    def make(files=None, folder="dist", error="", commit="abc", shard="", expected=(), seconds=1.0):
        if files is None:
            files = {"net/net.mlmodel": b"weights", "net/net.labels.txt": b"a\nb\n"}
        dist = tmp_path / folder
        artifacts = []
        for path, content in files.items():
            (dist / path).parent.mkdir(parents=True, exist_ok=True)
            (dist / path).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            artifacts.append(Artifact(path=path, sha256=digest, size_bytes=len(content), published=True))
        (dist / "net").mkdir(parents=True, exist_ok=True)
        (dist / "net/net.references.npz").write_bytes(b"references")
        digest = hashlib.sha256(b"references").hexdigest()
        artifacts.append(Artifact(path="net/net.references.npz", sha256=digest, size_bytes=10, published=False))
        models = tuple(
            ModelRecord(
                name=name,
                place="",
                source="a net",
                source_files=(),
                attempts=(),
                artifacts=tuple(a for a in artifacts if a.path.startswith(f"{name}/")),
                interface=None,
                metadata=Metadata(),
                notes=(),
                error=error,
                exit_code=5 if error else 0,
                seconds={},
                commit=commit,
            )
            for name in dict.fromkeys(path.split("/")[0] for path in files)
        )
        record = BuildRecord(
            manifest="models.yml", commit=commit, models=models, seconds=seconds, expected=expected, shard=shard
        )
        (dist / "build.json").write_text(to_json(record))
        (dist / "SHA256SUMS").write_text(sums(artifacts))
        (dist / "report.md").write_text("# Report\n")
        return dist

    return make

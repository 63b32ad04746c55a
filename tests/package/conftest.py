import hashlib

import pytest

from converter.model import Artifact, BuildRecord, Metadata, ModelRecord
from converter.package.closing import closing_texts


@pytest.fixture
def make_part(tmp_path):
    """Write a part's folder: `make_part("1/2", "a", "b", expected="abc")`; each model has a file and references."""

    def make(shard, *names, expected, folder=None, commit="abc", manifest="models.yml", text="", failed=(), also=()):
        part = tmp_path / (folder or f"dist-{shard.replace('/', '-of-')}")
        part.mkdir(exist_ok=True)
        models = []
        for name in names:
            (part / name).mkdir(exist_ok=True)
            artifacts = []
            for path in () if name in failed else (f"{name}/{name}.mlmodel", f"{name}/{name}.references.npz", *also):
                (part / path).write_bytes(path.encode())
                digest = hashlib.sha256(path.encode()).hexdigest()
                is_published = not path.endswith(".npz")
                artifacts.append(Artifact(path=path, sha256=digest, size_bytes=len(path), published=is_published))
            models.append(
                ModelRecord(
                    name=name,
                    place=f"models.yml:1:1 {name}",
                    source="a net",
                    source_files=(),
                    attempts=(),
                    artifacts=tuple(artifacts),
                    interface=None,
                    metadata=Metadata(),
                    notes=(),
                    error="psnr_db is too low" if name in failed else "",
                    exit_code=5 if name in failed else 0,
                    seconds={},
                )
            )
        record = BuildRecord(
            manifest=manifest,
            commit=commit,
            models=tuple(models),
            seconds=1.5,
            expected=tuple(expected),
            shard=shard if "/" in shard else "",
            manifest_sha256=text,
        )
        for name, text in closing_texts(record).items():
            (part / name).write_text(text)
        return part

    return make

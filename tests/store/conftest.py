import hashlib
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.manifest import read_manifest
from converter.model import Artifact, Attempt, Conversion, Metadata, ModelRecord, SourceFile, Target, Validation
from converter.store import Index, surroundings
from converter.store.key import ingredients, key_of
from converter.store.surroundings import Surroundings

MANIFEST = """
defaults:
  metadata: {{author: somebody}}
models:
  - name: made
    source: {{factory: "code/net.py:build", arguments: {{width: 8}}, checkpoint: weights.safetensors}}
    inputs: [{{name: image, image: {{size: 8, normalize: unit}}}}]
    classifier: {{labels: labels.txt}}
    formats: [mlmodel]
    validate:
      samples: [rose.png]
      labelled: {{path: heldout, min_accuracy: 0.5}}
  - name: graph
    source: {{onnx: {{path: nets/net.onnx, sha256: {graph}}}}}
    formats: [mlmodel]
    extra: [tokenizer.json]
  - name: seen
    source: {{torchvision: resnet18, weights: DEFAULT}}
    validate: {{samples: [{{url: "https://example.org/rose.png?signed=1", sha256: {url}}}]}}
"""


class Repository:
    """A repository with three models, a factory's, an ONNX file's and torchvision's; nothing of it is converted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = root.parent / "cache"
        for name, text in {
            "code/net.py": "import layers\ndef build(width): ...\n",
            "code/layers.py": "",
            "code/generated.py": "VERSION = 1\n",
            "requirements.txt": "timm==1.0\n",
            ".gitignore": "generated.py\n",
            "README.md": "A repository.\n",
            "weights.safetensors": "weights",
            "labels.txt": "cat\ndog\n",
            "rose.png": "rose",
            "heldout/cat/1.png": "one",
            "tokenizer.json": "{}",
        }.items():
            self.write(name, text)
        self.write_graph(0.0)
        subprocess.run(["git", "init", "-q", root], check=True)
        subprocess.run(["git", "-C", root, "add", "."], check=True)
        self.text = MANIFEST.format(graph=self.digest("nets/net.onnx"), url="0" * 64)

    def write(self, name: str, text: str) -> None:
        """Write a file whose times are an hour old, and never twice the same."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        moment = time.time_ns() - 3_600_000_000_000
        os.utime(path, ns=(moment, moment))

    def write_graph(self, value: float) -> None:
        """An ONNX file, which never changes, and the weights beside it, which do."""
        weights = numpy_helper.from_array(np.full((64, 64), value, np.float32), "w")
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
            [weights],
        )
        (self.root / "nets").mkdir(exist_ok=True)
        (self.root / "nets/net.weights").unlink(missing_ok=True)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        onnx.save(model, self.root / "nets/net.onnx", save_as_external_data=True, location="net.weights")

    def digest(self, name: str) -> str:
        return hashlib.sha256((self.root / name).read_bytes()).hexdigest()

    @property
    def manifest(self):
        (self.root / "models.yml").write_text(self.text)
        return read_manifest(self.root / "models.yml")

    def made(self):
        """The ingredients of each model, as they are now."""
        index = Index(self.cache / "index.json")
        manifest = self.manifest
        around = Surroundings(manifest.root, index, self.cache / "ingredients")
        found = {model.name: ingredients(model, around) for model in manifest.models}
        index.save()
        return found

    def keys(self) -> dict[str, str]:
        return {name: made.key for name, made in self.made().items()}

    def built(self, name: str, folder: Path) -> ModelRecord:
        """What a conversion of the model would leave in `folder`, and its record."""
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        artifacts = []
        for file, text in {f"{name}.mlmodel": "a model", f"{name}.references.npz": "answers"}.items():
            (place / file).write_text(f"{text} of {name}")
            digest = hashlib.sha256((place / file).read_bytes()).hexdigest()
            size = (place / file).stat().st_size
            artifacts.append(Artifact(path=f"{name}/{file}", sha256=digest, size_bytes=size, published=True))
        made = self.made()[name]
        model = next(model for model in self.manifest.models if model.name == name)
        imported = ["code/net.py", "code/generated.py"] if name == "made" else []
        conversion = Conversion(
            route="onnx",
            target=Target(format="mlmodel", deployment_target="iOS13", compute_precision="float32"),
            path=Path(f"{name}.mlmodel"),
            seconds=1.0,
            versions={},
        )
        checked = Validation(engine="none", metrics=(), gates=(), accuracy=None, reference_accuracy=None, seconds=1.0)
        return ModelRecord(
            name=name,
            place=model.place,
            source=model.source.description,
            source_files=tuple(SourceFile(origin=file, sha256=self.digest(file), size_bytes=1) for file in imported),
            attempts=(Attempt(route="onnx", format="mlmodel", conversion=conversion, validation=checked),),
            artifacts=tuple(artifacts),
            interface=None,
            metadata=Metadata(),
            notes=(),
            error="",
            exit_code=0,
            seconds={"load": 1.0},
            commit="0" * 40,
            ingredients=made.parts,
            key=made.key,
        )

    def of_other_tools(self, record: ModelRecord) -> ModelRecord:
        """The record of a model that other tools made."""
        parts = {**record.ingredients, "tool torch": "0.1"}
        return replace(record, ingredients=parts, key=key_of(parts))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    (tmp_path / "ours").mkdir()
    monkeypatch.setattr(surroundings, "_OURS", tmp_path / "ours")  # a smaller converter, which is quicker to read
    return Repository(tmp_path / "repository")


@pytest.fixture
def index(tmp_path):
    return Index(tmp_path / "cache" / "index.json")

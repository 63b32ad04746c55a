import hashlib
import json
import subprocess
import sys
from collections import Counter

import pytest
from torchvision.models import ResNet18_Weights


@pytest.fixture(scope="module")
def labels(examples):
    return (examples / "imagenet" / "labels.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def index(examples):
    return json.loads((examples / "imagenet" / "imagenet_class_index.json").read_text(encoding="utf-8"))


def test_the_labels_are_torchvisions_and_all_different(labels):
    assert labels == ResNet18_Weights.DEFAULT.meta["categories"]
    assert len(set(labels)) == 1000


def test_the_class_index_is_the_well_known_file(examples):
    """The hash that Keras checks its download by."""
    content = (examples / "imagenet" / "imagenet_class_index.json").read_bytes()
    assert hashlib.md5(content).hexdigest() == "c2c37ea517e94d9795004a39431a14cb"


def test_the_class_index_has_two_names_twice(index):
    names = [name for _, name in index.values()]
    ids = [wordnet_id for wordnet_id, _ in index.values()]
    assert list(index) == [str(i) for i in range(1000)]
    assert ids == sorted(set(ids))
    assert {name for name, count in Counter(names).items() if count > 1} == {"crane", "maillot"}
    assert [i for i, name in enumerate(names) if name in ("crane", "maillot")] == [134, 517, 638, 639]


def test_the_script_writes_the_committed_files(examples, tmp_path):
    folder = examples / "imagenet"
    script = tmp_path / "write_labels.py"
    script.write_bytes((folder / "write_labels.py").read_bytes())
    subprocess.run([sys.executable, script], check=True)
    for name in ("labels.txt", "imagenet_class_index.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()

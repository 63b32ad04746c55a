"""What makes a model's key: each ingredient changes the key of the models that it is in, and of no other."""

import os
import sys
from pathlib import Path

import pytest

from converter.convert.coreml import MADE_BY
from converter.store import surroundings
from converter.store.surroundings import TOOLS

ALL = {"made", "graph", "seen"}


def said(old, new):
    def change(repository):
        assert old in repository.text
        repository.text = repository.text.replace(old, new, 1)

    return change


def wrote(name, text="changed"):
    return lambda repository: repository.write(name, text)


# what is changed, and the models that are then another one's
CHANGES = {
    "the factory's file": (wrote("code/net.py", "def build(width): pass\n"), {"made"}),
    "another Python file": (wrote("code/layers.py", "WIDTH = 2\n"), {"made"}),
    "a new Python file": (wrote("code/more.py", ""), {"made"}),
    "a Python file is gone": (lambda repository: (repository.root / "code/layers.py").unlink(), {"made"}),
    "its requirements": (wrote("requirements.txt", "timm==1.1\n"), {"made"}),
    "the checkpoint": (wrote("weights.safetensors"), {"made"}),
    "labels": (wrote("labels.txt", "dog\ncat\n"), {"made"}),
    "a sample": (wrote("rose.png"), {"made"}),
    "a picture of the labelled set": (wrote("heldout/cat/1.png"), {"made"}),
    "a new picture": (wrote("heldout/cat/2.png"), {"made"}),
    "a picture is in another class": (
        lambda repository: (repository.root / "heldout/cat").rename(repository.root / "heldout/dog"),
        {"made"},
    ),
    "an extra file": (wrote("tokenizer.json", "[]"), {"graph"}),
    "external data": (lambda repository: repository.write_graph(1.0), {"graph"}),
    "a remote file": (said("0" * 64, "1" * 64), {"seen"}),
    "an argument": (said("width: 8", "width: 16"), {"made"}),
    "a gate": (said("min_accuracy: 0.5", "min_accuracy: 0.6"), {"made"}),
    "a required compute unit": (
        said("min_accuracy: 0.5}", "min_accuracy: 0.5}\n      compute_units_required: [ALL]"),
        {"made"},
    ),
    "a size": (said("size: 8", "size: 16"), {"made"}),
    "a label's file": (said("labels: labels.txt", "labels: [cat, dog]"), {"made"}),
    "formats": (said("formats: [mlmodel]", "formats: [mlpackage]"), {"made"}),
    "an op in float32": (
        said("formats: [mlmodel]", "formats: [mlmodel, {mlpackage: {float32_ops: [Relu]}}]"),
        {"made"},
    ),
    "the weights' name": (said("DEFAULT", "IMAGENET1K_V1"), {"seen"}),
    "a default": (said("author: somebody", "author: nobody"), ALL),
    "a name": (said("name: seen", "name: looked"), {"seen"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_gives_another_key_to_the_models_that_it_concerns(repository, change):
    act, expected = CHANGES[change]
    before = repository.keys()
    act(repository)
    after = repository.keys()
    assert all(before.values())
    assert {name for name in before if after.get(name) != before[name]} == expected


SAME = {
    "times": lambda repository: [os.utime(file) for file in repository.root.rglob("*.*") if file.is_file()],
    "lines above": lambda repository: setattr(repository, "text", "# a comment\n\n" + repository.text),
    "how it is written": said("formats: [mlmodel]", "formats: [{mlmodel: {deployment_target: iOS13}}]"),
    "a default that is said": said("weights: DEFAULT}", "weights: DEFAULT}\n    route: auto"),
    "a signature of an address": said("signed=1", "signed=2"),
    "the order": lambda repository: setattr(repository, "text", reordered(repository.text)),
    "an unconcerned file": wrote("README.md"),
    "a file that git ignores": wrote("code/generated.py"),
    "a commit": lambda repository: os.system(
        f"git -C {repository.root} -c user.name=a -c user.email=a@b commit -q -m all"
    ),
}


def reordered(text):
    head, *models = text.split("  - name:")
    return head + "".join(f"  - name:{model}\n" for model in reversed(models))


@pytest.mark.parametrize("change", SAME)
def test_what_changes_nothing_keeps_the_keys(repository, change):
    before = repository.keys()
    SAME[change](repository)
    assert repository.keys() == before


TOOL_CHANGES = {
    **{tool: ("importlib.metadata.version", lambda name, tool=tool: "0.1" if name == tool else "9") for tool in TOOLS},
    "python": ("platform.python_version", lambda: "3.99.0"),
    "platform": ("platform.machine", lambda: "m68k"),
    "coreml-release": ("converter.store.surroundings.__version__", "0.1"),
}


@pytest.mark.parametrize("tool", TOOL_CHANGES)
def test_another_version_of_a_tool_gives_other_keys(repository, tool, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9")
    before = repository.keys()
    monkeypatch.setattr(*TOOL_CHANGES[tool])
    after = repository.keys()
    assert all(after[name] != before[name] for name in ALL)


def test_every_version_that_a_model_file_says_is_an_ingredient():
    assert set(MADE_BY) <= set(TOOLS)


def test_a_change_of_the_converter_itself_gives_other_keys(repository, monkeypatch, tmp_path):
    ours = tmp_path / "ours"
    (ours / "deep").mkdir(parents=True)
    (ours / "deep/op.py").write_text("1")
    monkeypatch.setattr(surroundings, "_OURS", ours)
    before = repository.keys()
    (ours / "deep/op.py").write_text("2")
    assert not set(before.values()) & set(repository.keys().values())


def test_an_installed_package_counts_for_a_factory_alone(repository, monkeypatch, tmp_path):
    before = repository.keys()
    (tmp_path / "site/timm-1.0.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    after = repository.keys()
    assert {name for name in ALL if after[name] != before[name]} == {"made"}


def test_without_git_every_python_file_below_the_root_counts(repository, monkeypatch):
    (repository.root / "venv/lib").mkdir(parents=True)
    (repository.root / "venv/pyvenv.cfg").write_text("")
    monkeypatch.setenv("PATH", "")
    before = repository.keys()
    repository.write("venv/lib/torch.py", "")
    assert repository.keys() == before
    repository.write("code/generated.py", "VERSION = 2\n")
    assert repository.keys()["made"] != before["made"]


@pytest.mark.parametrize(
    ("old", "new", "model", "words"),
    [
        (
            "labels: labels.txt",
            "labels: {url: 'https://example.org/l.txt'}",
            "made",
            "labels come from a URL without sha256",
        ),
        ("samples: [rose.png]", "samples: [{url: 'https://example.org/a.png'}]", "made", "a sample comes from a URL"),
        ("extra: [tokenizer.json]", "extra: [{url: 'https://example.org/t'}]", "graph", "an extra file comes from a"),
        (
            "labels: labels.txt",
            f"labels: {{path: labels.txt, sha256: {'0' * 64}}}",
            "made",
            "labels.txt is not the file",
        ),
    ],
)
def test_what_cannot_be_known_is_always_converted(repository, old, new, model, words):
    said(old, new)(repository)
    made = repository.made()
    assert made[model].key == ""
    assert words in made[model].obstacle
    assert all(made[name].key for name in ALL - {model})


def test_missing_external_data_is_an_obstacle(repository):
    (repository.root / "nets/net.weights").unlink()
    assert repository.made()["graph"].obstacle == "net.weights cannot be read: No such file or directory"


def test_ingredients_name_what_a_person_knows(repository):
    parts = repository.made()["made"].parts
    names = {name for name in parts if not name.startswith(("option", "tool"))}
    assert names == {
        "file weights.safetensors",
        "file labels.txt",
        "file rose.png",
        "file code/net.py",
        "all heldout",
        "all code",
        "all packages",
        "all coreml-release",
    }
    assert parts["file labels.txt"] == repository.digest("labels.txt")
    assert parts["tool python"] == ".".join(map(str, sys.version_info[:3]))


def test_nothing_heavy_is_imported():
    import subprocess

    heavy = "torch coremltools numpy onnx boto3"
    code = (
        "import sys, converter.store.reuse\n"
        f"sys.exit(' '.join(name for name in '{heavy}'.split() if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr


@pytest.fixture
def listed(repository):
    """The labelled set of the model `made` is a .csv."""
    repository.write("heldout/set.csv", "picture,mask\ncat/1.png,cat/mask.png\n")
    repository.write("heldout/cat/mask.png", "mask")
    asked = "labelled: {path: heldout/set.csv, segmentation: {}, min_mean_iou: 0.5}"
    repository.text = repository.text.replace("labelled: {path: heldout, min_accuracy: 0.5}", asked)
    return repository


LISTED = {
    "a picture": (wrote("heldout/cat/1.png", "two"), {"made"}),
    "a mask": (wrote("heldout/cat/mask.png", "two"), {"made"}),
    "the list": (wrote("heldout/set.csv", "picture,mask\ncat/mask.png,cat/mask.png\n"), {"made"}),
    "a picture that is not listed": (wrote("heldout/cat/2.png"), set()),
    "a gate": (said("min_mean_iou: 0.5", "min_mean_iou: 0.5, significant_drops_only: true"), {"made"}),
    "the task": (said("segmentation: {}", "segmentation: {ignore: 0}"), {"made"}),
    "a reason": (said("samples: [rose.png]", "samples: [rose.png]\n      gates: {skip: {top1: why}}"), {"made"}),
    "a baseline": (said("samples: [rose.png]", "samples: [rose.png]\n      baseline: base.json"), set()),
}


@pytest.mark.parametrize("change", LISTED)
def test_a_change_of_what_a_csv_lists_gives_another_key(listed, change):
    act, expected = LISTED[change]
    before = listed.keys()
    act(listed)
    assert all(before.values())
    assert {name for name, key in listed.keys().items() if key != before[name]} == expected


def test_a_given_file_is_an_ingredient(repository):
    """A package is a folder: each of its files counts, and nothing beside it."""
    repository.write("theirs.mlpackage/Manifest.json", "{}")
    repository.write("theirs.mlpackage/Data/weights", "weights")
    repository.write("theirs.mlmodel", "a model")
    before = repository.keys()
    said("formats: [mlmodel]", "formats: [{mlpackage: {file: theirs.mlpackage}}, {mlmodel: {file: theirs.mlmodel}}]")(
        repository
    )
    given = repository.keys()
    for name in ("theirs.mlpackage/Data/weights", "theirs.mlmodel"):
        repository.write(name, "others")
        changed = repository.keys()
        assert {model for model in changed if changed[model] != given[model]} == {"made"}
        given = changed
    assert {name for name in before if before[name] != given[name]} == {"made"}

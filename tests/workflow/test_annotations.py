from pathlib import Path

import pytest

from converter.errors import ConverterError, ManifestError, PublishError
from converter.manifest import read_manifest
from converter.model import Attempt, Classifier, Interface, Metadata, ModelRecord, Output, Published, TensorInput
from converter.workflow.annotations import Annotation, Annotations, in_workspace, of_error, of_models, of_published


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    folder = tmp_path / "workspace"
    (folder / "apps/models").mkdir(parents=True)
    (folder / "apps/models/models.yml").write_text("models: []\n")
    (tmp_path / "elsewhere.yml").write_text("models: []\n")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(folder))
    return folder


def read(runner, *annotations):
    said = Annotations()
    said.add(*annotations)
    runner.read("".join(f"{line}\n" for line in said.lines()))
    assert len(runner.did) == len(runner.issues), "nothing but annotations"
    return runner


def notes(count, level="warning"):
    return [Annotation(level=level, message=f"number {n}") for n in range(count)]


@pytest.mark.parametrize(
    ("count", "shown", "last"),
    [
        (0, 0, None),
        (1, 1, "number 0"),
        (10, 10, "number 9"),
        (11, 10, "and 2 more, see the log"),
        (32, 10, "and 23 more, see the log"),
    ],
)
def test_no_more_than_ten_of_a_level_and_the_last_one_says_how_many_more(runner, count, shown, last):
    read(runner, *notes(count), *notes(3, "error"), *notes(10, "notice"))
    warnings = [issue for issue in runner.issues if issue.level == "warning"]
    assert len(warnings) == shown
    assert runner.shown("warning") == warnings, "all that are written are seen"
    assert (warnings[-1].message if warnings else None) == last
    assert len(runner.shown("error")) == 3
    assert len(runner.shown("notice")) == 10


def test_a_long_message_is_cut_as_the_runner_counts(runner):
    read(runner, Annotation(level="error", message="𝄞" * 3000))
    (issue,) = runner.issues
    assert len(issue.message.encode("utf-16-le")) // 2 <= 4096
    assert issue.message == "𝄞" * 2047 + "…"


def test_a_message_of_the_longest_length_is_whole(runner):
    read(runner, Annotation(level="error", message="x" * 4096))
    assert runner.issues[0].message == "x" * 4096


@pytest.mark.parametrize(
    ("folder", "path", "expected"),
    [
        (".", "apps/models/models.yml", "apps/models/models.yml"),
        (".", "./apps/../apps/models/models.yml", "apps/models/models.yml"),
        (".", "{workspace}/apps/models/models.yml", "apps/models/models.yml"),
        ("apps", "models/models.yml", "apps/models/models.yml"),
        ("apps/models", "models.yml", "apps/models/models.yml"),
        ("apps/models", "apps/models/models.yml", "apps/models/models.yml"),  # a record's, from the repository's root
        ("..", "workspace/apps/models/models.yml", "apps/models/models.yml"),
        (".", "../elsewhere.yml", ""),
        (".", "gone/models.yml", "gone/models.yml"),  # where a job has no checkout
        (".", "/gone/models.yml", ""),
    ],
)
def test_a_file_is_named_from_the_workspace(workspace, monkeypatch, folder, path, expected):
    monkeypatch.chdir(workspace / folder)
    assert in_workspace(path.replace("{workspace}", str(workspace))) == expected


def test_a_link_to_the_workspace_is_the_workspace(workspace, monkeypatch, tmp_path):
    (tmp_path / "link").symlink_to(workspace)
    monkeypatch.chdir(tmp_path / "link/apps")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "link"))
    assert in_workspace("models/models.yml") == "apps/models/models.yml"


def test_each_complaint_about_a_manifest_is_an_error_on_its_line(workspace, monkeypatch, runner):
    monkeypatch.chdir(workspace / "apps")
    Path("models/models.yml").write_text("models:\n  - name: a\n    sauce: 1\n  - nam: b\n")
    with pytest.raises(ManifestError) as raised:
        read_manifest("models/models.yml")
    lines = raised.value.problem.splitlines()
    assert len(lines) > 2
    read(runner, *of_error(raised.value))
    assert [i.message for i in runner.shown("error")] == [line.split(": ", 1)[1] for line in lines]
    assert {i.properties["file"] for i in runner.issues} == {"apps/models/models.yml"}
    places = [(i.properties["line"], i.properties["col"]) for i in runner.issues]
    assert places == [tuple(line.split(":")[1:3]) for line in lines]


@pytest.mark.parametrize(
    ("error", "message", "file"),
    [
        (PublishError("no repository is named", fix="set it"), "no repository is named\n  fix: set it", None),
        (ConverterError("::error::"), "::error::", None),
        (
            ConverterError("it broke", where=("apps/models/models.yml:14:5 net", "convert"), fix="mend it"),
            "apps/models/models.yml:14:5 net > convert: it broke\n  fix: mend it",
            "apps/models/models.yml",
        ),
        (ManifestError("../elsewhere.yml:3:4: no"), "../elsewhere.yml:3:4: no", None),
        (PublishError(f"{'x' * 3000}:1:2: no path"), f"{'x' * 3000}:1:2: no path", None),
    ],
)
def test_another_error_is_one_annotation(workspace, monkeypatch, runner, error, message, file):
    monkeypatch.chdir(workspace)
    read(runner, *of_error(error))
    (issue,) = runner.issues
    assert issue.message == message
    assert issue.properties.get("file") == file


def record(name, **more):
    return ModelRecord(
        **{
            "name": name,
            "place": f"apps/models/models.yml:14:5 {name}",
            "source": "a source",
            "source_files": (),
            "attempts": (),
            "artifacts": (),
            "interface": None,
            "metadata": Metadata(),
            "notes": (),
            "error": "",
            "exit_code": 0,
            "seconds": {},
            **more,
        }
    )


def test_a_failed_model_is_an_error_on_its_line(workspace, monkeypatch, runner):
    monkeypatch.chdir(workspace / "apps")
    words = "apps/models/models.yml:14:5 net > load: there is no net.onnx\n  fix: commit it"
    read(runner, *of_models([record("net", error=words, exit_code=3)], Path("models/models.yml")))
    (issue,) = runner.issues
    assert issue.message == "load: there is no net.onnx\n  fix: commit it"
    assert issue.properties == {"file": "apps/models/models.yml", "line": "14", "col": "5", "title": "net failed"}


def test_a_route_that_was_left_and_notes_are_warnings(workspace, monkeypatch, runner):
    monkeypatch.chdir(workspace)
    left = Attempt(route="direct", format="mlpackage", error="op 'weird' is not there", exit_code=4)

    class Passed(Attempt):
        passed = True

    ids = TensorInput(name="ids", shape=(1,), dtype="int32")
    classifier = Classifier(labels=("a", "a (b)"), repairs=("'a' stands twice",))
    interface = Interface(inputs=(ids,), outputs=(Output(name="scores"),), classifier=classifier)
    attempts = (left, Passed(route="onnx", format="mlpackage"))
    net = record("net", attempts=attempts, notes=("float64 became float32",), interface=interface)
    read(runner, *of_models([net], Path("apps/models/models.yml")))
    assert [(i.level, i.properties["title"], i.message) for i in runner.issues] == [
        ("warning", "net: route direct was left for mlpackage", "op 'weird' is not there"),
        ("warning", "net", "float64 became float32"),
        ("warning", "net", "Labels: 'a' stands twice"),
    ]
    assert {i.properties["line"] for i in runner.issues} == {"14"}


def test_a_release_is_a_notice(runner):
    outputs = {"release_url": "https://example.com/v1", "release_draft": "false"}
    read(runner, *of_published(Published(target="github owner/repo v1", files=(), outputs=outputs)))
    (issue,) = runner.issues
    assert (issue.level, issue.message) == ("notice", "https://example.com/v1")
    assert issue.properties == {"title": "released: github owner/repo v1"}
    assert not list(of_published(Published(target="s3 bucket", files=(), outputs={"s3_uris": "s3://a"})))

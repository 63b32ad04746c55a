import json

import pytest

from converter.cli import main


def test_a_folder_is_published_and_then_again(make_dist, tmp_path, capsys):
    arguments = ["publish", str(make_dist()), "--to", "directory", "--set", f"folder={tmp_path / 'public'}"]
    assert main([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "would upload net.mlmodel" in said
    assert not (tmp_path / "public").exists()
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "5 of 5 files were sent" in said.out
    assert f"file://{tmp_path}/public/net.mlmodel" in said.out
    assert "sent net.mlmodel, 7 B" in said.err
    assert main(arguments) == 0
    assert "0 of 5 files were sent; all were there already" in capsys.readouterr().out


def test_a_manifest_names_the_targets(make_dist, tmp_path, capsys):
    (tmp_path / "models.yml").write_text("models: [{name: net, source: {torchvision: resnet18}}]\n")
    dist = make_dist()
    assert main(["publish", str(dist), "--manifest", str(tmp_path / "models.yml")]) == 2
    assert "has no publish targets" in capsys.readouterr().err
    with (tmp_path / "models.yml").open("a") as file:
        file.write("publish: [{directory: here}, {directory: there}]\n")
    assert main(["publish", str(dist), "--manifest", str(tmp_path / "models.yml")]) == 0
    assert (tmp_path / "here/net.mlmodel").is_file()
    assert (tmp_path / "there/SHA256SUMS").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "say where to"),
        (["--to", "github", "--set", "tga=v1"], 2, "--set tga"),
        (["--to", "github", "--set", "draft=maybe", "--set", "existing=no"], 2, "--set draft"),
        (["--to", "github", "--set", "tag"], 2, "no KEY=VALUE"),
        (["--to", "github", "--set", "tag=a", "--set", "tag=b"], 2, "given twice"),
        (["--to", "s3"], 2, "bucket"),
        (["--to", "directory"], 2, "needs a folder"),
        (["--to", "github", "--set", "tag=v1"], 8, "no repository is named"),
        (["--set", "tag=v1"], 2, "without --to"),
        (["--plan", "no.json"], 2, "--plan no.json"),
        (["--plan", "{}", "--to", "github"], 2, "no plan"),
        (["--to", "s3", "--set", "bucket=models", "--finalize"], 2, "takes no DIST"),
    ],
)
def test_what_cannot_be_published_is_one_clear_error(arguments, code, words, make_dist, capsys, monkeypatch):
    for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert main(["publish", str(make_dist()), *arguments]) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def rewrite(dist, change):
    record = json.loads((dist / "build.json").read_text())
    change(record)
    (dist / "build.json").write_text(json.dumps(record))


def publish_to(folder, dist):
    return main(["publish", str(dist), "--to", "directory", "--set", f"folder={folder}"])


@pytest.mark.parametrize(("reused", "code"), [(False, 8), (True, 0)])
def test_a_model_of_another_commit_goes_out_only_where_it_was_found_unchanged(
    make_dist, tmp_path, capsys, reused, code
):
    """A run with --only leaves the others alone, and names its own commit."""
    dist = make_dist({"a/a.mlmodel": b"a", "b/b.mlmodel": b"b"})
    rewrite(dist, lambda record: record["models"][1].update(commit="older", reused=reused))
    assert publish_to(tmp_path / "public", dist) == code
    said = "is of commit abc, but b is of older: the last run left that alone"
    assert (said in capsys.readouterr().err) == (not reused)


def test_models_of_the_manifest_that_are_not_there_are_said(make_dist, tmp_path, capsys):
    dist = make_dist({"a/a.mlmodel": b"a"}, expected=("a", "b", "c"))
    assert publish_to(tmp_path / "public", dist) == 0
    assert "note: 2 of 3 models of models.yml are not published: b, c" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda dist: (dist / "SHA256SUMS").write_text(""),
        lambda dist: (dist / "SHA256SUMS").unlink(),
        lambda dist: (dist / "report.md").unlink(),
    ],
    ids=["of before", "no sums", "no report"],
)
def test_a_folder_whose_checksums_are_not_the_record_s_is_refused(make_dist, tmp_path, capsys, change):
    dist = make_dist()
    change(dist)
    assert publish_to(tmp_path / "public", dist) == 8
    assert "does not belong to build.json" in capsys.readouterr().err
    assert not (tmp_path / "public").exists()


def test_a_failed_model_is_not_published(make_dist, tmp_path, capsys):
    dist = make_dist(error="psnr_db is too low")
    assert main(["publish", str(dist), "--to", "directory", "--set", f"folder={tmp_path / 'public'}"]) == 8
    assert "net did not pass" in capsys.readouterr().err
    assert not (tmp_path / "public").exists()


def planned(*names, commit="abc", targets=()):
    shards = [{"shard": "1/1", "models": names, "size_bytes": 1}]
    return json.dumps({"manifest": "models.yml", "commit": commit, "shards": shards, "targets": targets, "schema": 1})


def test_a_plan_names_the_targets_and_to_serves_where_it_names_none(make_dist, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dist = str(make_dist())
    assert main(["publish", dist, "--plan", planned("net", targets=[{"directory": "here"}])]) == 0
    assert (tmp_path / "here/net.mlmodel").is_file()  # where one stands: there may be no checkout
    assert main(["publish", dist, "--plan", planned("net")]) == 2
    assert "the plan has no publish targets" in capsys.readouterr().err
    to = ["--to", "directory", "--set", f"folder={tmp_path / 'there'}"]
    assert main(["publish", dist, "--plan", planned("net", targets=[{"directory": "here"}]), *to]) == 0
    assert not (tmp_path / "there").exists()
    assert main(["publish", dist, "--plan", planned("net"), *to]) == 0
    assert (tmp_path / "there/net.mlmodel").is_file()


@pytest.mark.parametrize(
    ("plan", "code", "words"),
    [
        (planned("net", commit="def"), 8, "the plan is of commit def, this is of abc"),
        (planned("net", "other"), 8, "1 planned models are missing: other"),
        (planned(), 8, "1 models were not planned: net"),
        (planned("net").replace("models.yml", "more.yml"), 8, "the plan is of more.yml"),
        (planned("net", targets=[{"ftp": "here"}]), 2, "none of directory, github, s3"),
        (planned("net", targets=[{"s3": {"bucket": "x", "secret": 1}}]), 2, "none of directory, github, s3"),
    ],
)
def test_what_is_not_planned_is_not_published(plan, code, words, make_dist, tmp_path, capsys):
    to = ["--to", "directory", "--set", f"folder={tmp_path / 'public'}"]
    assert main(["publish", str(make_dist()), "--plan", plan, *to]) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "public").exists()


@pytest.mark.parametrize("first", [[], ["--manifest", "both.yml"]])
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_part_goes_nowhere_but_to_s3(first, dry, make_dist, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "both.yml").write_text(
        "models: [{name: net, source: {torchvision: resnet18}}]\npublish: [{s3: models}, {directory: public}]\n"
    )
    dist = make_dist(shard="1/2", expected=("net", "other"))
    to = first or ["--to", "directory", "--set", "folder=public"]
    assert main(["publish", str(dist), *to, *dry]) == 8
    assert "join all parts by `merge` first" in capsys.readouterr().err
    assert not (tmp_path / "public").exists()


def test_finalize_is_for_s3(tmp_path, capsys):
    to = ["--to", "directory", "--set", f"folder={tmp_path / 'public'}"]
    assert main(["publish", "--finalize", *to]) == 2
    assert "only S3 has parts" in capsys.readouterr().err


def test_a_manifest_and_a_plan_together_are_refused(make_dist, tmp_path, capsys):
    (tmp_path / "models.yml").write_text("models: [{name: net, source: {torchvision: resnet18}}]\n")
    arguments = ["--manifest", str(tmp_path / "models.yml"), "--plan", planned("net")]
    assert main(["publish", str(make_dist()), *arguments]) == 2
    assert "give one of them" in capsys.readouterr().err

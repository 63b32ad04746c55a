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
    ],
)
def test_what_cannot_be_published_is_one_clear_error(arguments, code, words, make_dist, capsys, monkeypatch):
    for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert main(["publish", str(make_dist()), *arguments]) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_a_failed_model_is_not_published(make_dist, tmp_path, capsys):
    dist = make_dist(error="psnr_db is too low")
    assert main(["publish", str(dist), "--to", "directory", "--set", f"folder={tmp_path / 'public'}"]) == 8
    assert "net did not pass" in capsys.readouterr().err
    assert not (tmp_path / "public").exists()

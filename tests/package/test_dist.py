import errno
import subprocess
from pathlib import Path

import pytest

from converter.errors import OutputError
from converter.package.checksums import artifact, sums
from converter.package.dist import Dist, replace_whole, writing


def build(dist, name, text):
    folder = dist.workspace(name)
    (folder / f"{name}.mlmodel").write_text(text)
    (folder / f"{name}.references.npz").write_text("")


def test_a_model_is_exchanged_whole(tmp_path):
    with Dist(tmp_path / "dist") as dist:
        build(dist, "net", "one")
        dist.place("net")
        build(dist, "net", "two")
        assert (tmp_path / "dist/net/net.mlmodel").read_text() == "one"
        dist.place("net")
    assert (tmp_path / "dist/net/net.mlmodel").read_text() == "two"
    assert sorted(p.name for p in (tmp_path / "dist").iterdir()) == [".lock", "net"]


def test_what_failed_is_set_aside_and_an_earlier_success_goes(tmp_path):
    with Dist(tmp_path) as dist:
        build(dist, "net", "good")
        dist.place("net")
        build(dist, "net", "bad")
        dist.set_aside("net")
        assert not (tmp_path / "net").exists()
        assert (tmp_path / ".failed/net/net.mlmodel").read_text() == "bad"
        build(dist, "net", "good again")
        dist.place("net")
    assert not (tmp_path / ".failed/net").exists()


def test_what_a_killed_run_left_is_cleared(tmp_path):
    (tmp_path / ".work/net").mkdir(parents=True)
    (tmp_path / ".work/net/half.mlmodel").write_text("ha")
    with Dist(tmp_path):
        assert not (tmp_path / ".work/net").exists()
    assert not (tmp_path / ".work").exists()


def test_two_runs_do_not_share_a_folder(tmp_path):
    with Dist(tmp_path), pytest.raises(OutputError, match="another run is writing"), Dist(tmp_path):
        pass
    with Dist(tmp_path):
        pass


@pytest.mark.parametrize("own", ["net/model.py", "net", "report.md", "report.html", "build.json", "SHA256SUMS"])
def test_what_no_run_has_written_is_never_replaced(tmp_path, own):
    """`--output examples` beside examples/digits, say."""
    file = tmp_path / own
    file.parent.mkdir(exist_ok=True)
    file.write_text("[]")
    with pytest.raises(OutputError, match="not written by an earlier run"), Dist(tmp_path) as dist:
        build(dist, "net", "new")
    assert file.read_text() == "[]"


def test_a_folder_that_travelled_without_its_hidden_files_is_still_known(tmp_path):
    (tmp_path / "build.json").write_text('{"models": []}')
    (tmp_path / "report.md").write_text("")
    with Dist(tmp_path) as dist:
        dist.write({"report.md": "new"})
    assert (tmp_path / "report.md").read_text() == "new"


def test_a_removed_model_takes_no_folder_of_others_with_it(tmp_path):
    (tmp_path / "net").mkdir()
    with Dist(tmp_path) as dist:
        dist.remove("net")
    assert (tmp_path / "net").is_dir()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "build.json"
    target.write_text("old")

    def half(path):
        path.write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_whole(target, half)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "disk that holds .* is full"), (errno.EACCES, "cannot write .*/x: Permission")]
)
def test_what_the_system_refuses_is_one_clear_error(tmp_path, number, words):
    with pytest.raises(OutputError, match=words) as refused, writing(tmp_path):
        raise OSError(number, {errno.EACCES: "Permission denied"}.get(number, "No space left"), str(tmp_path / "x"))
    assert "--output" in refused.value.fix


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "dist").write_text("")
    with pytest.raises(OutputError, match="cannot write"), Dist(tmp_path / "dist"):
        pass


def test_sha256sum_accepts_the_sums(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/b.mlmodel", "b/a file.md", "b/hidden.npz"):
        (tmp_path / name).write_text(name)
    paths = [tmp_path / "b/b.mlmodel", tmp_path / "b/a file.md"]
    artifacts = [artifact(p, tmp_path) for p in paths] + [
        artifact(tmp_path / "b/hidden.npz", tmp_path, published=False)
    ]
    (tmp_path / "b/SHA256SUMS").write_text(sums(artifacts))
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=tmp_path / "b",
        capture_output=True,
        text=True,
        check=True,
    )
    assert checked.stdout.splitlines() == ["a file.md: OK", "b.mlmodel: OK"]
    assert [Path(a.path).parts[0] for a in artifacts] == ["b"] * 3

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import responses

from converter.errors import DownloadError, SourceError
from converter.load.files import locate
from converter.manifest.schema import File
from converter.model import SourceFile

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 123456\n"
Sha = Callable[[bytes], str]


def find(tmp_path: Path, **said: Any) -> tuple[Path, SourceFile]:
    return locate(File(**said), root=tmp_path, cache=tmp_path / "cache")


def test_a_path_is_relative_to_the_manifest(tmp_path: Path, sha256: Sha) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/net.pt").write_bytes(b"abc")
    path, file = find(tmp_path, path="models/net.pt", sha256=sha256(b"abc").upper())
    assert path == tmp_path / "models/net.pt"
    assert file == SourceFile(origin="models/net.pt", sha256=sha256(b"abc"), size_bytes=3)


@responses.activate
def test_a_url_is_recorded_without_its_query(tmp_path: Path, sha256: Sha) -> None:
    responses.get("https://example.com/a/net.pt", body=b"abc")
    path, file = find(tmp_path, url="https://example.com/a/net.pt?token=hush", sha256=sha256(b"abc"))
    assert path.read_bytes() == b"abc"
    assert file == SourceFile(origin="https://example.com/a/net.pt", sha256=sha256(b"abc"), size_bytes=3)


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/net_v2.pt").write_bytes(b"")
    with pytest.raises(SourceError, match=r"there is no file models/net-v2\.pt") as caught:
        find(tmp_path, path="models/net-v2.pt")
    assert "did you mean models/net_v2.pt?" in caught.value.fix


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(SourceError, match="models is a folder"):
        find(tmp_path, path="models")


def test_a_wrong_sha256_says_both(tmp_path: Path, sha256: Sha) -> None:
    (tmp_path / "net.pt").write_bytes(b"abc")
    with pytest.raises(SourceError) as caught:
        find(tmp_path, path="net.pt", sha256=sha256(b"abd"))
    assert sha256(b"abc") in str(caught.value)
    assert sha256(b"abd") in str(caught.value)


def test_a_git_lfs_pointer_is_explained(tmp_path: Path, sha256: Sha) -> None:
    (tmp_path / "net.pt").write_bytes(POINTER)
    with pytest.raises(SourceError, match=r"Git LFS pointer, not the file itself .*123456 bytes") as caught:
        find(tmp_path, path="net.pt", sha256=sha256(POINTER))
    assert "git lfs pull" in caught.value.fix


@responses.activate
def test_a_git_lfs_pointer_behind_a_url_is_explained(tmp_path: Path, sha256: Sha) -> None:
    responses.get("https://example.com/net.pt", body=POINTER)
    with pytest.raises(DownloadError, match="Git LFS pointer") as caught:
        find(tmp_path, url="https://example.com/net.pt", sha256=sha256(POINTER))
    assert "media.githubusercontent.com" in caught.value.fix


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"x" * 100)
    with pytest.raises(SourceError, match="larger than 99 bytes"):
        locate(File(path="labels.txt"), root=tmp_path, cache=tmp_path, limit_bytes=99)

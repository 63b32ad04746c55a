import errno
import io
import os
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from converter.errors import DownloadError, SourceError
from converter.load import download
from converter.load.download import download as fetch

CONTENT = bytes(range(256)) * 5000
Sha = Callable[[bytes], str]


def body(content: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return answer


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def broken(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(CONTENT)))
    request.end_headers()
    request.wfile.write(CONTENT[:1000])
    request.connection.close()


def files_of(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_file_is_fetched_once_and_then_taken_from_the_cache(site: Any, tmp_path: Path, sha256: Sha) -> None:
    site.says(body(CONTENT))
    for _ in range(2):
        path = fetch(f"{site.url}/a/net.onnx?signature=1", sha256=sha256(CONTENT), cache=tmp_path)
        assert path.read_bytes() == CONTENT
    assert path.name == "net.onnx"
    assert len(site.requests) == 1
    assert files_of(tmp_path) == [f"{sha256(CONTENT)}/net.onnx"]


def test_a_damaged_cache_is_fetched_again(site: Any, tmp_path: Path, sha256: Sha) -> None:
    site.says(body(CONTENT), body(CONTENT))
    path = fetch(f"{site.url}/net", sha256=sha256(CONTENT), cache=tmp_path)
    path.write_bytes(CONTENT[:-1])
    assert fetch(f"{site.url}/net", sha256=sha256(CONTENT), cache=tmp_path).read_bytes() == CONTENT


def test_without_sha256_the_address_is_read_every_time(site: Any, tmp_path: Path) -> None:
    site.says(body(b"cat\n"), body(b"dog\n"))
    assert fetch(f"{site.url}/labels.txt", sha256=None, cache=tmp_path).read_bytes() == b"cat\n"
    assert fetch(f"{site.url}/labels.txt", sha256=None, cache=tmp_path).read_bytes() == b"dog\n"


@pytest.mark.parametrize("failures", [[status(503)], [broken], [broken, status(429), status(502)]], ids=len)
def test_what_a_second_attempt_may_cure_is_tried_again(
    failures: list[Any], site: Any, tmp_path: Path, sha256: Sha
) -> None:
    site.says(*failures, body(CONTENT))
    assert fetch(f"{site.url}/net", sha256=sha256(CONTENT), cache=tmp_path).read_bytes() == CONTENT


def test_a_download_that_keeps_breaking_off_leaves_nothing(site: Any, tmp_path: Path, sha256: Sha) -> None:
    site.says(broken, broken, broken, broken)
    with pytest.raises(DownloadError, match=r"after 4 attempts: .* broke off"):
        fetch(f"{site.url}/net", sha256=sha256(CONTENT), cache=tmp_path)
    assert files_of(tmp_path) == []


def test_retry_after_is_honoured(site: Any, tmp_path: Path, sha256: Sha, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(download, "PAUSES_S", (1.0, 2.0, 4.0))
    site.says(status(503, Retry_After="7"), status(503), body(CONTENT))
    fetch(f"{site.url}/net", sha256=sha256(CONTENT), cache=tmp_path)
    assert [pause for pause in slept if pause >= 1] == [7.0, 2.0]


def test_a_server_that_asks_for_an_hour_is_not_waited_for(site: Any, tmp_path: Path) -> None:
    site.says(status(429, Retry_After="3600"))
    with pytest.raises(DownloadError, match=r"after 1 attempt: .* answered 429"):
        fetch(f"{site.url}/net", sha256=None, cache=tmp_path)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_a_refusal_is_final_and_shows_no_query(code: int, site: Any, tmp_path: Path) -> None:
    site.says(status(code))
    with pytest.raises(DownloadError) as caught:
        fetch(f"{site.url}/net.onnx?X-Signature=hush", sha256=None, cache=tmp_path)
    assert f"answered {code}" in str(caught.value)
    assert "hush" not in str(caught.value)
    assert len(site.requests) == 1


def test_another_content_is_refused_and_both_sums_are_said(site: Any, tmp_path: Path, sha256: Sha) -> None:
    site.says(body(b"other"))
    with pytest.raises(DownloadError) as caught:
        fetch(f"{site.url}/net", sha256=sha256(CONTENT), cache=tmp_path)
    assert sha256(CONTENT) in str(caught.value)
    assert sha256(b"other") in str(caught.value)
    assert files_of(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
    ],
)
def test_a_wrong_sum_names_the_usual_reason(content: bytes, words: str, site: Any, tmp_path: Path, sha256: Sha) -> None:
    site.says(body(content))
    with pytest.raises(DownloadError, match=words):
        fetch(f"{site.url}/net", sha256=sha256(CONTENT), cache=tmp_path)


def test_a_file_over_the_limit_is_refused(site: Any, tmp_path: Path) -> None:
    site.says(body(CONTENT))
    with pytest.raises(DownloadError, match="larger than 1000 bytes"):
        fetch(f"{site.url}/labels.txt", sha256=None, cache=tmp_path, limit_bytes=1000)
    assert files_of(tmp_path) == []


def test_several_threads_may_fetch_the_same_file(site: Any, tmp_path: Path, sha256: Sha) -> None:
    site.says(*[body(CONTENT)] * 4)
    found: list[bytes] = []

    def run() -> None:
        found.append(fetch(f"{site.url}/net", sha256=sha256(CONTENT), cache=tmp_path).read_bytes())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 4
    assert files_of(tmp_path) == [f"{sha256(CONTENT)}/net"]


def test_what_a_killed_run_left_is_removed_after_a_day(site: Any, tmp_path: Path) -> None:
    (tmp_path / "partial").mkdir()
    for name, age_s in (("old", 2 * 86400), ("fresh", 60)):
        left = tmp_path / "partial" / f"{name}.partial"
        left.write_bytes(b"half")
        os.utime(left, (time.time() - age_s,) * 2)
    site.says(body(b"x"))
    fetch(f"{site.url}/net", sha256=None, cache=tmp_path)
    assert [name for name in files_of(tmp_path) if "partial" in name] == ["partial/fresh.partial"]


def test_a_full_disk_is_said_and_leaves_nothing(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    site.says(body(CONTENT))
    monkeypatch.setattr(Path, "open", lambda self, mode="r": FullDisk())
    with pytest.raises(SourceError, match=r"download cache .* cannot be written: No space left on device") as caught:
        fetch(f"{site.url}/net", sha256=None, cache=tmp_path)
    assert "free space" in caught.value.fix
    assert files_of(tmp_path) == []


def test_a_cache_that_is_a_file_is_said(site: Any, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(SourceError, match="cannot be written"):
        fetch(f"{site.url}/net", sha256=None, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("path", "name"),
    [("/a/net.pt", "net.pt"), ("/a/%2e%2e%2fnet", "_net"), ("/", "file"), ("/a b", "a_b"), ("/..", "file")],
)
def test_a_cached_file_has_a_plain_name(path: str, name: str) -> None:
    assert download._name(f"https://example.com{path}") == name

import http.server
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from converter.errors import DownloadError
from converter.load import https
from converter.load.transient import TransientError

URL = "https://models.example.com/private/net.onnx?signature=hush"


def read(url: str) -> bytes:
    return b"".join(https.read(url))


def answer(content: bytes) -> Any:
    def say(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return say


def redirect(where: str) -> Any:
    def say(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", where)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return say


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "https://models.example.com/private/net.onnx"),
        ("https://user:word@host:8443/a?b#c", "https://host:8443/a"),
        ("s3://bucket/a/key", "s3://bucket/a/key"),
    ],
)
def test_an_address_is_shown_without_credentials(url: str, shown: str) -> None:
    assert https.shown(url) == shown


@pytest.mark.parametrize("url", ["http://example.com/net", "ftp://example.com/net", "https:///net"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(DownloadError, match="is not an https:// address"):
        read(url)


def test_a_password_in_the_address_is_refused_unseen() -> None:
    with pytest.raises(DownloadError, match="holds a user name or password") as caught:
        read("https://user:hush@example.com/net")
    assert "hush" not in str(caught.value)


@responses.activate
def test_a_redirect_to_plain_http_is_refused() -> None:
    responses.get("https://example.com/net", status=302, headers={"Location": "http://example.com/net"})
    with pytest.raises(DownloadError, match=r"redirects to http://example\.com/net, which is not an https"):
        read("https://example.com/net")


@responses.activate
def test_a_circle_of_redirects_ends() -> None:
    responses.get("https://example.com/net", status=302, headers={"Location": "/net"})
    with pytest.raises(DownloadError, match="redirects more than 10 times"):
        read("https://example.com/net")


def test_the_token_goes_to_its_host_and_not_to_the_next(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site.says(
        redirect("/moved"), redirect(f"{site.other}/storage?signed=1"), redirect(f"{site.url}/back"), answer(b"x")
    )
    host = site.url.removeprefix("http://")
    monkeypatch.setenv("COREML_RELEASE_TOKENS", f"{host}=hush other.example.com=psst")
    assert read(f"{site.url}/net") == b"x"
    sent = [(path, headers.get("authorization")) for path, headers in site.requests]
    assert sent == [("/net", "Bearer hush"), ("/moved", "Bearer hush"), ("/storage?signed=1", None), ("/back", None)]


def test_netrc_is_not_asked_for_a_redirect(site: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login me password hush\ndefault login me password psst\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    site.says(redirect(f"{site.other}/storage"), answer(b"x"))
    read(f"{site.url}/net")
    assert [headers.get("authorization") for _, headers in site.requests] == [None, None]


@responses.activate
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            requests.exceptions.ConnectionError(f"Max retries exceeded with url: {URL}"),
            "no connection to models.example",
        ),
        (requests.exceptions.ReadTimeout(f"timeout at {URL}"), "no connection to models.example.com (ReadTimeout)"),
        (requests.exceptions.ProxyError(f"proxy refused {URL}"), "no connection to models.example.com (ProxyError)"),
    ],
)
def test_a_lost_connection_may_be_tried_again_and_shows_no_query(error: Exception, words: str) -> None:
    responses.get(URL, body=error)
    with pytest.raises(TransientError) as caught:
        read(URL)
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


@responses.activate
def test_an_untrusted_certificate_is_final() -> None:
    responses.get(URL, body=requests.exceptions.SSLError(f"certificate verify failed: {URL}"))
    with pytest.raises(DownloadError, match="certificate is not trusted") as caught:
        read(URL)
    assert "REQUESTS_CA_BUNDLE" in caught.value.fix
    assert "hush" not in str(caught.value)


@responses.activate
def test_a_refusal_says_which_credential_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREML_RELEASE_TOKENS", "models.example.com=sesame")
    responses.get(URL, status=403)
    with pytest.raises(DownloadError, match=r"answered 403 .*\(sent with COREML_RELEASE_TOKENS\)") as caught:
        read(URL)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), ("5", 5.0), ("soon", None), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0)]
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert https._retry_after(value) == seconds

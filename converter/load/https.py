"""Reading an https:// address as a stream of bytes."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase

from converter.errors import DownloadError
from converter.load import credentials
from converter.load.transient import TransientError

CHUNK_BYTES = 1 << 20
TIMEOUT_S = (10, 60)  # to connect, between two reads
MAX_REDIRECTS = 10
_TRY_LATER = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


def shown(url: str) -> str:
    """The address as it may stand in errors, records and logs: without user, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def read(url: str) -> Iterator[bytes]:
    """The bytes behind `url`, as chunks.

    Raises TransientError for what a second attempt may cure, DownloadError for everything else. Credentials go to the
    first host alone: a redirect to another drops them for good. Proxies and certificates come from the environment
    (HTTPS_PROXY, REQUESTS_CA_BUNDLE).
    """
    credential = credentials.find(url)
    sent = ""
    with requests.Session() as session:
        here = url
        for _ in range(MAX_REDIRECTS + 1):
            _require_https(here, first=url)
            if credentials.authority(here) != credentials.authority(url):
                credential = None
            if credential:
                sent = credential.origin
            response = _get(session, here, credential, first=url)
            with response:
                if response.is_redirect:
                    here = urljoin(here, response.headers["location"])
                    continue
                _check_status(response, url, sent)
                yield from _body(response, url)
                return
    raise DownloadError(f"{shown(url)} redirects more than {MAX_REDIRECTS} times", fix="give the final address")


class _Authorization(AuthBase):
    """Says the header outright, so that requests does not look into netrc by itself."""

    def __init__(self, header: str | None) -> None:
        self.header = header

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.header:
            request.headers["Authorization"] = self.header
        return request


def _require_https(here: str, *, first: str) -> None:
    parts = urlsplit(here)
    what = shown(first) if here == first else f"{shown(first)} redirects to {shown(here)}, which"
    if parts.scheme != "https" or not parts.hostname:
        raise DownloadError(f"{what} is not an https:// address", fix="give an https:// or s3:// address")
    if parts.username or parts.password:
        raise DownloadError(
            f"{what} holds a user name or password",
            fix=f"take it out of the address; credentials come from the environment ({credentials.TOKENS}, netrc)",
        )


def _get(
    session: requests.Session, here: str, credential: credentials.Credential | None, *, first: str
) -> requests.Response:
    # identity: the bytes are hashed as they stand, and their count is compared with Content-Length
    headers = {"Accept": "application/octet-stream, */*", "Accept-Encoding": "identity"}
    try:
        return session.get(
            here,
            headers=headers,
            auth=_Authorization(credential.header if credential else None),
            allow_redirects=False,
            stream=True,
            timeout=TIMEOUT_S,
        )
    # requests' own messages quote the whole address, query included: hence `from None`
    except requests.exceptions.SSLError:
        raise DownloadError(
            f"{shown(here)}: the server's certificate is not trusted",
            fix="check the host; for a private authority point REQUESTS_CA_BUNDLE to its certificate",
        ) from None
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise TransientError(f"no connection to {urlsplit(here).hostname} ({_reason(error)})") from None
    except requests.exceptions.RequestException as error:
        raise DownloadError(
            f"{shown(first)} could not be fetched ({type(error).__name__})", fix="check the address"
        ) from None


def _reason(error: BaseException) -> str:
    """The innermost cause's class name: `NameResolutionError`, `ConnectTimeoutError`, ..."""
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return type(inner if isinstance(inner, BaseException) else error).__name__


def _check_status(response: requests.Response, url: str, sent: str) -> None:
    status = response.status_code
    if status == 200:
        return
    answered = f"{shown(url)} answered {status} {response.reason or ''}".rstrip()
    if status in _TRY_LATER:
        raise TransientError(answered, retry_after_s=_retry_after(response.headers.get("Retry-After")))
    if status in (401, 403, 404):
        with_what = f" (sent with {sent})" if sent else " (sent without credentials)"
        raise DownloadError(
            answered + with_what,
            fix="check the address; if it is private, give a token for its host in "
            f"{credentials.TOKENS}='{credentials.authority(url)}=TOKEN' (also: GITHUB_TOKEN, HF_TOKEN, netrc)",
        )
    raise DownloadError(answered, fix="check the address in a browser")


def _retry_after(value: str | None) -> float | None:
    """Seconds from now: RFC 9110, 10.2.3, a number or a date."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _body(response: requests.Response, url: str) -> Iterator[bytes]:
    promised = response.headers.get("Content-Length", "")
    got = 0
    try:
        for chunk in response.iter_content(CHUNK_BYTES):
            got += len(chunk)
            yield chunk
    except requests.exceptions.RequestException as error:
        raise TransientError(f"{shown(url)} broke off ({type(error).__name__})") from None
    if promised.isdigit() and "Content-Encoding" not in response.headers and got != int(promised):
        raise TransientError(f"{shown(url)} broke off after {got} of {promised} bytes")

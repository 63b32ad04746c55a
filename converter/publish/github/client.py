"""Requests to GitHub's API: paced, patient with limits, and never repeating what may have been done already.

This is requests and not PyGithub: nine endpoints are used, and the parts that matter here (which failures may be
repeated, uploads that stream with progress, waiting that a test can watch) are those that PyGithub decides by itself;
its retry class repeats POST after every 5xx, which is how duplicate releases are made.
"""

import itertools
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import IO, Any, Protocol, TypeVar
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from converter.errors import PublishError
from converter.version import __version__

API_VERSION = "2022-11-28"
T = TypeVar("T")
_LOG = logging.getLogger(__name__)
# its debug lines hold the signed addresses of downloads
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


class Clock(Protocol):
    def time(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast, how often and how long; GitHub asks for a second between writes, and answers 403 to who is faster."""

    between_writes_s: float = 1.0
    first_wait_s: float = 1.0  # doubles with each failure in a row
    longest_wait_s: float = 30.0  # between two tries, unless GitHub says longer
    patience_s: float = 3900.0  # for limits, which last up to an hour
    attempts: int = 8
    connect_s: float = 10.0
    answer_s: float = 120.0
    upload_grace_s: float = 30.0  # another run may still be uploading what is not complete


class UnclearError(PublishError):
    """No answer, or a 5xx: it may have been done, or half done. Look before it is tried again."""


class RefusedError(PublishError):
    """GitHub said no; `status` and the `codes` of its errors tell why."""

    def __init__(self, problem: str, *, status: int, codes: frozenset[str], where: tuple[str, ...], fix: str) -> None:
        super().__init__(problem, where=where, fix=fix)
        self.status = status
        self.codes = codes


class _Bearer(AuthBase):
    """As an auth object, because requests would let a ~/.netrc replace a plain header."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Client:
    """GitHub's API at `api_url`. Every method raises RefusedError or UnclearError, which never hold the token."""

    def __init__(self, api_url: str, token: str, *, pace: Pace, clock: Clock = time) -> None:
        self.pace = pace
        self.clock = clock
        self._api_url = api_url
        self._token = token
        self._last_write = float("-inf")
        self._waited_s = 0.0
        self._session = requests.Session()
        self._session.auth = _Bearer(token)
        self._session.headers.update(
            {
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": API_VERSION,
                "User-Agent": f"coreml-release/{__version__}",
            }
        )

    def get(self, path: str, **parameters: str | int) -> Any:
        return self._json("GET", self._url(path), params=parameters)

    def pages(self, path: str) -> Iterator[Any]:
        """Every entry of a list, 100 a page; one that moved to another page meanwhile comes once."""
        seen = set()
        for page in itertools.count(1):
            entries = self.get(path, per_page=100, page=page)
            for entry in entries:
                if entry["id"] not in seen:
                    seen.add(entry["id"])
                    yield entry
            if len(entries) < 100:
                return

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Tried once: after an UnclearError the caller has to look what became of it."""
        return self._json("POST", self._url(path), once=True, json=body)

    def patch(self, path: str, body: Mapping[str, Any], *, at_once: bool = False) -> Any:
        """With `at_once` without the pause between writes."""
        if at_once:
            self._last_write = float("-inf")
        return self._json("PATCH", self._url(path), json=body)

    def delete(self, path: str) -> None:
        """Gone already is as good as deleted."""
        try:
            self._send("DELETE", self._url(path))
        except RefusedError as error:
            if error.status != 404:
                raise

    def upload(self, url: str, body: Callable[[], IO[bytes]], *, size_bytes: int, **query: str) -> Any:
        """Send a file, tried once; `body` opens it anew where GitHub asks to wait and send it again."""
        # the one type that GitHub's description knows here; downloads come as attachments whatever it is
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
        return self._json("POST", url, once=True, headers=headers, params=query, body=body)

    def download(self, path: str, receive: Callable[[Iterator[bytes]], T]) -> T:
        """Hand a file to `receive`, in pieces; begun anew after a broken connection.

        It comes from another host, where requests does not send the token.
        """
        for attempt in itertools.count():
            answer = self._send("GET", self._url(path), headers={"Accept": "application/octet-stream"}, stream=True)
            with answer:
                try:
                    return receive(answer.iter_content(1 << 20))
                except requests.RequestException as error:
                    if attempt + 1 >= self.pace.attempts:
                        raise self._unclear("GET", self._url(path), type(error).__name__, answer) from None
            self.back_off(attempt)
        raise AssertionError("unreachable")

    def back_off(self, attempt: int) -> None:
        """Wait before the next try: longer each time, and never in step with another publisher."""
        wait = min(self.pace.first_wait_s * 2.0**attempt, self.pace.longest_wait_s)
        self.clock.sleep(wait * random.uniform(0.5, 1.0))

    def _url(self, path: str) -> str:
        return f"{self._api_url}{path}"

    def _json(self, method: str, url: str, **options: Any) -> Any:
        return self._send(method, url, decode=True, **options).json()

    def _send(
        self,
        method: str,
        url: str,
        *,
        once: bool = False,
        decode: bool = False,
        body: Callable[[], IO[bytes]] | None = None,
        **options: Any,
    ) -> requests.Response:
        failures = limits = 0
        while True:
            answer = None
            try:
                answer = self._try(method, url, body, options)
                if decode and answer.ok:
                    answer.json()
            except requests.RequestException as error:
                # its words may hold a signed address
                trouble = self._unclear(method, url, type(error).__name__, answer)
            else:
                if answer.status_code < 300:
                    return answer
                if (wait := _asked_to_wait(answer, limits, self.clock.time())) is not None:
                    limits += 1
                    self._wait(wait, method, url, answer)
                    continue
                if answer.status_code < 500:
                    raise self._refused(method, url, answer)
                trouble = self._unclear(method, url, f"it answered {answer.status_code}", answer)
            failures += 1
            if once or failures >= self.pace.attempts:
                raise trouble
            self.back_off(failures - 1)

    def _try(
        self, method: str, url: str, body: Callable[[], IO[bytes]] | None, options: dict[str, Any]
    ) -> requests.Response:
        if method != "GET":
            pause = self._last_write + self.pace.between_writes_s - self.clock.time()
            if pause > 0:
                self.clock.sleep(min(pause, self.pace.between_writes_s))
        try:
            with body() if body else nullcontext() as data:
                return self._session.request(
                    method,
                    url,
                    data=data,
                    timeout=(self.pace.connect_s, self.pace.answer_s),
                    # a redirect would turn a POST into a GET
                    allow_redirects=method == "GET",
                    **options,
                )
        finally:
            if method != "GET":
                self._last_write = self.clock.time()

    def _wait(self, seconds: float, method: str, url: str, answer: requests.Response) -> None:
        if self._waited_s + seconds > self.pace.patience_s:
            raise self._refused(method, url, answer)
        self._waited_s += seconds
        _LOG.warning("GitHub asks to wait %.0f s (%s)", seconds, _request_id(answer))
        self.clock.sleep(seconds)

    def _place(self, method: str, url: str) -> tuple[str, ...]:
        parts = urlsplit(url)
        return ("publish to github", f"{method} {parts.hostname}{parts.path}")

    def _unclear(self, method: str, url: str, words: str, answer: requests.Response | None = None) -> UnclearError:
        return UnclearError(
            f"GitHub did not answer as it should: {words}{_in_brackets(answer)}",
            where=self._place(method, url),
            fix="run it again, what is done is kept; if it stays, see https://www.githubstatus.com",
        )

    def _refused(self, method: str, url: str, answer: requests.Response) -> RefusedError:
        words, codes = _words(answer)
        return RefusedError(
            f"GitHub answered {answer.status_code}: {words.replace(self._token, '***')[:1000]}{_in_brackets(answer)}",
            status=answer.status_code,
            codes=codes,
            where=self._place(method, url),
            fix=_fix(answer.status_code),
        )


def _asked_to_wait(answer: requests.Response, times: int, now: float) -> float | None:
    """Seconds to wait for a limit, as GitHub's documentation says; None where the answer speaks of no limit."""
    if answer.status_code not in (403, 429):
        return None
    after = answer.headers.get("retry-after", "")
    if after.isdigit():
        return float(after)
    reset = answer.headers.get("x-ratelimit-reset", "")
    if answer.headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        return max(float(reset) - now, 0) + 1
    words = _words(answer)[0].lower()
    if answer.status_code == 429 or "rate limit" in words or "abuse" in words:
        return 60.0 * 2.0 ** min(times, 4)
    return None


def _words(answer: requests.Response) -> tuple[str, frozenset[str]]:
    try:
        said = answer.json()
        errors = [e if isinstance(e, dict) else {"message": str(e)} for e in said.get("errors") or ()]
        details = [" ".join(str(e[key]) for key in ("field", "code", "message") if e.get(key)) for e in errors]
        words = "; ".join([str(said.get("message", "")), *details])
        return words, frozenset(str(e.get("code", "")) for e in errors)
    except (ValueError, AttributeError):
        return "without a reason", frozenset()


def _request_id(answer: requests.Response | None) -> str:
    """What GitHub's support asks for."""
    request_id = answer.headers.get("x-github-request-id", "") if answer is not None else ""
    return f"request id {request_id[:80]}" if request_id else ""


def _in_brackets(answer: requests.Response | None) -> str:
    request_id = _request_id(answer)
    return f" ({request_id})" if request_id else ""


def _fix(status: int) -> str:
    match status:
        case 401:
            return "the token is wrong or has expired; set GITHUB_TOKEN anew"
        case 403:
            return "the token may not do this: give the job `permissions: {contents: write}`"
        case 404:
            return "check the repository's name; a token without access to it gets the same answer"
        case 301 | 302 | 307 | 308:
            return "the repository has moved: write its name of today"
        case 429:
            return "run it again later, what is done is kept"
    return "put right what it says, and run it again; what is done is kept"

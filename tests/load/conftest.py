import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from converter.load import download, https
from converter.load import load as load_model
from converter.manifest import schema
from converter.model import Source

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials, proxies or netrc of the machine, no waiting between attempts."""
    for variable in ("COREML_RELEASE_TOKENS", "GITHUB_TOKEN", "GH_TOKEN", "HF_TOKEN", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
    monkeypatch.setattr(download, "PAUSES_S", (0.0, 0.0, 0.0))


@pytest.fixture
def model() -> Callable[..., schema.Model]:
    """A model of a manifest, at a place that errors have to name."""

    def make(**said: Any) -> schema.Model:
        made = schema.Model.model_validate({"name": "net", **said})
        made._place = "models.yml:3:5 net"
        return made

    return make


@pytest.fixture
def load(model: Callable[..., schema.Model], tmp_path: Path) -> Callable[..., Source]:
    """Loads a model that is said as in a manifest standing in tmp_path."""

    def run(**said: Any) -> Source:
        return load_model(model(**said), root=tmp_path, cache=tmp_path / "cache")

    return run


@pytest.fixture
def sha256() -> Callable[[bytes], str]:
    return lambda content: hashlib.sha256(content).hexdigest()


class Site:
    """A server on two names, 127.0.0.1 and localhost, that answers with what a test says and remembers requests."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.other = f"http://localhost:{port}"
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, dict[str, str]]] = []

    def says(self, *answers: Answer) -> None:
        self.answers.extend(answers)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Plain http in place of https: TLS is the business of requests, everything above it is ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            found.answers.pop(0)(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Site(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setattr(https, "_require_https", lambda here, *, first: None)
    monkeypatch.setitem(download._TRANSPORTS, "http", https.read)
    yield found
    server.shutdown()
    thread.join()
    server.server_close()

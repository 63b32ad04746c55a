"""A GitHub of our own, on loopback: releases, assets and drafts with their state, and every fault that is asked for.

It answers as the OpenAPI description says, and as GitHub is known to where the description is silent: broken uploads
leave a `starter`, names are changed, drafts answer to no tag, and an immutable release refuses.
"""

import hashlib
import json
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit

TOKEN = "ghs_secretSECRETsecret0123456789"
RESETS, LOST, LIMITS = ("reset", "starter"), ("lost", "reset-after", "cut"), ("429", "secondary", "primary")
FAULTS = ("500", "502", *RESETS, *LOST, *LIMITS, "slow")


@dataclass
class Fault:
    """A fault for the first `times` requests whose `METHOD /path` matches."""

    pattern: str
    kind: str
    times: int = 1


@dataclass
class Seen:
    """A request, and what was answered; `gap` is when a name of a published release was free."""

    method: str
    path: str
    status: int
    fault: str = ""
    at: float = field(default_factory=time.monotonic)


class _ClosedError(Exception):
    pass


class FakeGitHub:
    def __init__(self, *, rng=None, fault_rate=0.0, described=None, prefix="", keep=True, port=0):
        self.lock = threading.RLock()
        self.releases: dict[int, dict] = {}
        self.assets: dict[int, dict] = {}  # with `release`, `content` and `name`
        self.tags: set[str] = set()
        self.faults: list[Fault] = []
        self.fault_rate, self.rng = fault_rate, rng or random.Random(0)
        self.described, self.prefix, self.keep = described, prefix, keep
        self.null_digests = self.immutable = False
        self.retry_after_s = 1
        self.rename: Callable[[str], str] = _sanitized
        self.before: list[Callable[[str, str], None]] = []  # called before each request, with method and path
        self.seen: list[Seen] = []
        self.gaps: list[tuple[str, float, float]] = []  # name of a published asset, when it went, when it was back
        self.missing: dict[tuple[int, str], float] = {}
        self._next = iter(range(1000, 10**9))
        self.problems: list[str] = []
        github = self

        class Handler(_Handler):
            server_state = github

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # a publisher that was killed

        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.api_url = f"{self.url}{prefix}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    # what a test sets up and looks at

    def add_release(self, tag="v1", *, draft=False, body="", immutable=False, published_at=None, name=None, **more):
        with self.lock:
            release_id = next(self._next)
            published = None if draft else published_at or _now()
            self.releases[release_id] = {
                "id": release_id, "tag_name": tag, "name": name or tag, "body": body, "draft": draft,
                "prerelease": False, "immutable": immutable, "created_at": _now(), "published_at": published,
                "target_commitish": "main", "make_latest": "true", **more,
            }  # fmt: skip
            if not draft:
                self.tags.add(tag)
            return release_id

    def add_asset(self, release_id, name, content=b"", *, state="uploaded", label="", created_at=None, digest=...):
        with self.lock:
            asset_id = next(self._next)
            self.assets[asset_id] = {
                "id": asset_id, "release": release_id, "name": name, "label": label, "state": state,
                "content": content, "size": len(content), "created_at": created_at or _now(),
                "sha256": hashlib.sha256(content).hexdigest() if digest is ... else digest,
            }  # fmt: skip
            return asset_id

    def files(self, release_id=None) -> dict[str, bytes]:
        """Names and contents of the only release, or of the one asked for."""
        with self.lock:
            if release_id is None:
                (release_id,) = self.releases
            found = [a for a in self.assets.values() if a["release"] == release_id]
            assert len({a["name"] for a in found}) == len(found)
            assert all(a["state"] == "uploaded" for a in found), [a for a in found if a["state"] != "uploaded"]
            return {a["name"]: a["content"] for a in found}

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, f"{s.method} {s.path}")) and s.status < 400 for s in self.seen)

    def writes(self) -> int:
        return sum(s.method != "GET" for s in self.seen)

    def readable(self, tag: str, name: str) -> bytes | None:
        """What a person downloads: None where the address answers 404."""
        with self.lock:
            for release in self.releases.values():
                if release["tag_name"] == tag and not release["draft"]:
                    for asset in self.assets.values():
                        if asset["release"] == release["id"] and asset["name"] == name and asset["state"] == "uploaded":
                            return asset["content"]
        return None

    # faults

    def fault(self, method: str, path: str) -> str:
        with self.lock:
            for fault in self.faults:
                if fault.times and re.search(fault.pattern, f"{method} {path}"):
                    fault.times -= 1
                    return fault.kind
            return self.rng.choice(FAULTS) if self.rng.random() < self.fault_rate else ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: FakeGitHub
    timeout = 60
    wbufsize = -1

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._serve()

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _serve(self):
        hub = self.server_state
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        path = unquote(parts.path)
        self.is_upload = path.startswith("/uploads/")
        self.api_path = path.removeprefix("/uploads").removeprefix(hub.prefix)
        self.body, self.sent = b"", None
        for hook in hub.before:
            hook(self.command, self.api_path)
        self.kind = kind = hub.fault(self.command, self.api_path)
        try:
            if path.startswith(("/cdn/", "/download/")):
                return self._download(path)
            self._read_body(kind)
            if kind == "slow":
                time.sleep(0.05)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self._answer(401, {"message": "Bad credentials"})
            if kind in LIMITS:
                return self._limit(kind)
            if kind in ("500", "502"):
                if kind == "502" and self.is_upload:
                    self._starter()
                return self._answer(int(kind), {"message": "Server Error"})
            if kind == "reset":
                self._break()
            self._routed()
        except (_ClosedError, ConnectionError, TimeoutError):
            self.close_connection = True

    def _read_body(self, kind):
        hub = self.server_state
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding"):
            hub.problems.append("a chunked request")
        half = length // 2 if kind in RESETS and self.is_upload else length
        self.digest, self.length, pieces = hashlib.sha256(), 0, []
        while self.length < half:
            piece = self.rfile.read1(min(1 << 20, half - self.length))
            if not piece:
                if self.is_upload:  # the publisher is gone
                    self._starter()
                raise _ClosedError
            self.length += len(piece)
            self.digest.update(piece)
            if hub.keep or self.length <= 65536:
                pieces.append(piece)
        self.body = b"".join(pieces)
        if kind in RESETS and self.is_upload:
            self._starter()
            self._break()

    def _starter(self):
        """What a broken upload leaves."""
        hub, match = self.server_state, re.search(r"/releases/(\d+)/assets$", self.api_path)
        with hub.lock:
            release_id, name = int(match[1]), hub.rename(self.query["name"])
            taken = any(a["name"] == name and a["release"] == release_id for a in hub.assets.values())
            if release_id in hub.releases and not taken:
                hub.add_asset(release_id, name, state="starter", digest=None, label=self.query.get("label", ""))

    def _break(self):
        hub = self.server_state
        hub.seen.append(Seen(self.command, self.api_path, 0, self.kind))
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        raise _ClosedError

    def _limit(self, kind):
        if kind == "429":
            return self._answer(
                429, {"message": "Too many requests"}, {"retry-after": str(self.server_state.retry_after_s)}
            )
        if kind == "secondary":
            words = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            return self._answer(403, {"message": words}, {"retry-after": str(self.server_state.retry_after_s)})
        headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()))}
        return self._answer(403, {"message": "API rate limit exceeded"}, headers)

    def _answer(self, status, value=None, headers=None):
        hub = self.server_state
        data = b"" if value is None else json.dumps(value).encode()
        kind = "application/json; charset=utf-8" if value is not None else ""
        headers = {"x-github-request-id": f"ABCD:{next(hub._next)}", **(headers or {})}
        if hub.described:
            with hub.lock:
                hub.described.check(
                    self.command, self.api_path, self.query, self.headers, self.body, status,
                    kind.partition(";")[0], data, headers, is_upload=self.is_upload,
                )  # fmt: skip
        hub.seen.append(Seen(self.command, self.api_path, status, self.kind))
        if status < 300 and self.kind in LOST:
            if self.kind == "lost":
                data, status = b'{"message": "Bad Gateway"}', 502
            elif self.kind == "reset-after":
                self._break()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        if kind:
            self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.kind == "cut":
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            raise _ClosedError
        self.wfile.write(data)
        self.wfile.flush()

    def _download(self, path):
        """What people download, without any token: by name, or by the signed address that the API leads to."""
        hub = self.server_state
        if self.headers.get("Authorization"):
            hub.problems.append("the token went to the host of the downloads")
        if path.startswith("/cdn/"):
            asset = hub.assets.get(int(path.removeprefix("/cdn/")))
            content = asset["content"] if asset and asset["state"] == "uploaded" else None
            if self.kind == "reset":
                self._break()
            if self.kind == "cut" and content:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                raise _ClosedError
        else:
            _, _, tag, name = path.split("/", 3)
            content = hub.readable(tag, name)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")
        self.wfile.flush()

    # the endpoints

    def _routed(self):
        for method, pattern, call in ROUTES:
            match = re.fullmatch(f"/repos/owner/repo{pattern}", self.api_path)
            if match and method == self.command:
                with self.server_state.lock:
                    status, value, *headers = call(self, *map(_number, match.groups()))
                return self._answer(status, value, *headers)
        return self._answer(404, NOT_FOUND)

    def _page(self, entries):
        size, page = int(self.query.get("per_page", 30)), int(self.query.get("page", 1))
        return entries[(page - 1) * size : page * size]

    def list_releases(self):
        newest = sorted(self.server_state.releases.values(), key=lambda r: (r["created_at"], r["id"]), reverse=True)
        return 200, [self._release(r) for r in self._page(newest)]

    def create_release(self):
        hub, said = self.server_state, json.loads(self.body)
        tag = said["tag_name"]
        if len(said.get("body", "")) > 125000:
            return 422, invalid("body", "custom")
        if not said.get("draft") and any(r["tag_name"] == tag and not r["draft"] for r in hub.releases.values()):
            return 422, invalid("tag_name", "already_exists")
        if "target_commitish" in said and tag in hub.tags:
            return 403, {"message": "Resource not accessible by integration"}
        release_id = hub.add_release(
            tag, draft=said.get("draft", False), body=said.get("body", ""), name=said.get("name"),
            prerelease=said.get("prerelease", False), target_commitish=said.get("target_commitish", "main"),
        )  # fmt: skip
        return 201, self._release(hub.releases[release_id])

    def get_release(self, release_id):
        release = self.server_state.releases.get(release_id)
        return (200, self._release(release)) if release else (404, NOT_FOUND)

    def edit_release(self, release_id):
        hub, said = self.server_state, json.loads(self.body)
        release = hub.releases.get(release_id)
        if release is None:
            return 404, NOT_FOUND
        if len(said.get("body", "")) > 125000:
            return 422, invalid("body", "custom")
        if release["draft"] and said.get("draft") is False:
            release |= {"published_at": _now(), "immutable": hub.immutable}
            hub.tags.add(release["tag_name"])
        release |= said
        return 200, self._release(release)

    def delete_release(self, release_id):
        hub = self.server_state
        if hub.releases.pop(release_id, None) is None:
            return 404, NOT_FOUND
        hub.assets = {i: a for i, a in hub.assets.items() if a["release"] != release_id}
        return 204, None

    def list_assets(self, release_id):
        hub = self.server_state
        if release_id not in hub.releases:
            return 404, NOT_FOUND
        return 200, [self._asset(a) for a in self._page([a for a in hub.assets.values() if a["release"] == release_id])]

    def upload(self, release_id):
        hub = self.server_state
        name = hub.rename(self.query["name"])
        release = hub.releases.get(release_id)
        if release is None:
            return 404, NOT_FOUND
        if release["immutable"]:
            return 422, {"message": "Cannot upload assets to an immutable release.", "documentation_url": "x"}
        if any(a["name"] == name and a["release"] == release_id for a in hub.assets.values()):
            return 422, invalid("name", "already_exists")
        if not self.length:
            return 422, invalid("size", "missing")
        asset_id = hub.add_asset(release_id, name, self.body, label=self.query.get("label", ""))
        hub.assets[asset_id] |= {"size": self.length, "sha256": self.digest.hexdigest()}
        self._back(release, name)
        return 201, self._asset(hub.assets[asset_id])

    def get_asset(self, asset_id):
        hub = self.server_state
        if asset_id not in hub.assets:
            return 404, NOT_FOUND
        if self.headers.get("Accept") != "application/octet-stream":
            return 200, self._asset(hub.assets[asset_id])
        return 302, None, {"Location": f"http://localhost:{hub.port}/cdn/{asset_id}?signature=s3cr3t"}

    def edit_asset(self, asset_id):
        hub, said = self.server_state, json.loads(self.body)
        asset = hub.assets.get(asset_id)
        if asset is None:
            return 404, NOT_FOUND
        if hub.releases[asset["release"]]["immutable"]:
            return 422, {"message": "immutable", "documentation_url": "x"}
        others = [a for a in hub.assets.values() if a is not asset and a["release"] == asset["release"]]
        if any(a["name"] == said.get("name") for a in others):
            return 422, invalid("name", "already_exists")
        asset |= said
        self._back(hub.releases[asset["release"]], asset["name"])
        return 200, self._asset(asset)

    def delete_asset(self, asset_id):
        hub = self.server_state
        asset = hub.assets.get(asset_id)
        if asset is None:
            return 404, NOT_FOUND
        release = hub.releases[asset["release"]]
        if release["immutable"]:
            return 422, {"message": "immutable", "documentation_url": "x"}
        if not release["draft"] and asset["state"] == "uploaded":
            hub.missing[release["id"], asset["name"]] = time.monotonic()
        del hub.assets[asset_id]
        return 204, None

    def _back(self, release, name):
        hub = self.server_state
        went = hub.missing.pop((release["id"], name), None)
        if went is not None:
            hub.gaps.append((name, went, time.monotonic()))

    def get_ref(self, tag):
        if tag not in self.server_state.tags:
            return 404, NOT_FOUND
        url = f"{self._repository_url()}/git/refs/tags/{quote(tag)}"
        return 200, {
            "ref": f"refs/tags/{tag}", "node_id": "x", "url": url,
            "object": {"type": "commit", "sha": "0" * 40, "url": url},
        }  # fmt: skip

    def _repository_url(self):
        return f"{self.server_state.api_url}/repos/owner/repo"

    def _release(self, release):
        hub, url = self.server_state, f"{self._repository_url()}/releases/{release['id']}"
        shown = release["tag_name"] if not release["draft"] else f"untagged-{release['id']}"
        return {
            **{key: value for key, value in release.items() if key != "make_latest"},
            "url": url, "assets_url": f"{url}/assets", "node_id": "x", "author": USER,
            "upload_url": f"{hub.url}/uploads/repos/owner/repo/releases/{release['id']}/assets{{?name,label}}",
            "html_url": f"https://github.com/owner/repo/releases/tag/{quote(shown)}",
            "tarball_url": None, "zipball_url": None,
            "assets": [self._asset(a) for a in hub.assets.values() if a["release"] == release["id"]],
        }  # fmt: skip

    def _asset(self, asset):
        hub, release = self.server_state, self.server_state.releases[asset["release"]]
        shown = release["tag_name"] if not release["draft"] else f"untagged-{release['id']}"
        digest = None if hub.null_digests or asset["sha256"] is None else f"sha256:{asset['sha256']}"
        return {
            "id": asset["id"], "name": asset["name"], "label": asset["label"], "state": asset["state"],
            "size": asset["size"], "digest": digest, "node_id": "x", "content_type": "application/octet-stream",
            "download_count": 0, "created_at": asset["created_at"], "updated_at": asset["created_at"],
            "uploader": USER, "url": f"{self._repository_url()}/releases/assets/{asset['id']}",
            "browser_download_url": f"{hub.url}/download/{quote(shown, safe='')}/{quote(asset['name'])}",
        }  # fmt: skip


ROUTES = [
    ("GET", "/releases", _Handler.list_releases),
    ("POST", "/releases", _Handler.create_release),
    ("GET", r"/releases/(\d+)", _Handler.get_release),
    ("PATCH", r"/releases/(\d+)", _Handler.edit_release),
    ("DELETE", r"/releases/(\d+)", _Handler.delete_release),
    ("GET", r"/releases/(\d+)/assets", _Handler.list_assets),
    ("POST", r"/releases/(\d+)/assets", _Handler.upload),
    ("GET", r"/releases/assets/(\d+)", _Handler.get_asset),
    ("PATCH", r"/releases/assets/(\d+)", _Handler.edit_asset),
    ("DELETE", r"/releases/assets/(\d+)", _Handler.delete_asset),
    ("GET", "/git/ref/tags/(.+)", _Handler.get_ref),
]
NOT_FOUND = {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}
_URLS = """avatar_url url html_url followers_url following_url gists_url starred_url subscriptions_url
organizations_url repos_url events_url received_events_url"""
USER = {
    **dict.fromkeys(_URLS.split(), "https://api.github.com/users/bot"),
    "login": "bot",
    "id": 1,
    "node_id": "x",
    "gravatar_id": "",
    "type": "Bot",
    "site_admin": False,
}


def invalid(field_, code):
    return {
        "message": "Validation Failed",
        "documentation_url": "https://docs.github.com/rest",
        "errors": [{"resource": "ReleaseAsset", "field": field_, "code": code}],
    }


def _sanitized(name: str) -> str:
    """What GitHub itself makes of a name: written after its documentation, not after our rule."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-+@") else "." for c in name)
    while ".." in kept:
        kept = kept.replace("..", ".")
    kept = kept.rstrip(".")
    return f"default{kept}" if kept.startswith(".") else kept or "default"


def _number(text):
    return int(text) if text.isdigit() else text


def _now():
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

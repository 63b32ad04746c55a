"""GitHub's own OpenAPI description, and what a request or an answer does not keep of it."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

VERSION = "23.0.2"
CACHE = Path(__file__).parents[3] / ".openapi" / f"api.github.com-{VERSION}.json"
# limits and failures, which the description leaves out of every path
UNDESCRIBED = {401, 403, 429, 500, 502, 503}
# a 404 and a 422 that GitHub does answer there
ALSO = {
    ("GET", "release_id"),
    ("PATCH", "release_id"),
    ("PATCH", "assets"),
    ("POST", "assets"),
    ("DELETE", "assets"),
    ("GET", "assets"),
}


def description() -> dict:
    """The description's paths about releases, fetched once by npm. Skips without npm, but fails where CI is set."""
    CACHE.parent.mkdir(exist_ok=True)
    with (CACHE.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not CACHE.exists():
            try:
                CACHE.write_text(json.dumps(_fetched()))
            except (OSError, subprocess.SubprocessError) as error:
                words = f"GitHub's OpenAPI description is not here, npm cannot fetch @octokit/openapi: {error}"
                pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    return json.loads(CACHE.read_text())


def _fetched() -> dict:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        pack = [npm, "pack", "--silent", f"@octokit/openapi@{VERSION}"]
        subprocess.run(pack, cwd=folder, check=True, timeout=300, capture_output=True)
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            whole = json.load(archive.extractfile("package/generated/api.github.com.json"))
    paths = {path: item for path, item in whole["paths"].items() if re.search(r"\{repo\}/(releases|git/ref/)", path)}
    trimmed = {**whole, "paths": paths, "components": {}}
    trimmed.pop("x-webhooks", None)
    todo = _references(paths)
    while todo:
        _, kind, name = todo.pop().removeprefix("#/").split("/")
        kept = trimmed["components"].setdefault(kind, {})
        if name not in kept:
            kept[name] = whole["components"][kind][name]
            todo |= _references(kept[name])
    return trimmed


def _references(node) -> set[str]:
    return set(re.findall(r'"\$ref": "(#/components/[^"]+)"', json.dumps(node)))


class Described:
    """Holds exchanges to the description; `complaints` is empty while all of them keep to it."""

    def __init__(self) -> None:
        self._api = OpenAPI.from_dict(description())
        self.complaints: list[str] = []
        self.checked = 0

    def check(self, method, path, query, headers, body, status, answer_type, answer, answer_headers, *, is_upload):
        # {ref} holds a slash, which a path of the description cannot
        if "/git/ref/" in path:
            front, _, ref = path.partition("/git/ref/")
            path = f"{front}/git/ref/{quote(ref, safe='')}"
        request = SimpleNamespace(
            host_url="https://uploads.github.com" if is_upload else "https://api.github.com",
            path=path,
            full_url_pattern=("https://uploads.github.com" if is_upload else "https://api.github.com") + path,
            method=method.lower(),
            content_type=headers.get("Content-Type", ""),
            body=body[:65536] if is_upload else body,
            parameters=RequestParameters(query=ImmutableMultiDict(query), header=Headers(list(headers.items()))),
        )
        response = SimpleNamespace(
            status_code=status,
            content_type=answer_type,
            data=answer.replace(b'"state": "starter"', b'"state": "open"'),  # undocumented, and real
            headers=Headers(list(answer_headers.items())),
        )
        self.checked += 1
        try:
            self._api.validate_request(request)
            if status not in UNDESCRIBED and not (status in (404, 422) and self._answers_too(method, path)):
                self._api.validate_response(request, response)
        except OpenAPIError as error:
            cause = error.__cause__
            details = [e.message for e in getattr(cause, "schema_errors", ())]
            self.complaints.append(f"{method} {path} {status}: {error!r} {cause!r} {details}")

    def _answers_too(self, method: str, path: str) -> bool:
        kind = "assets" if "/assets" in path else "release_id" if re.search(r"/releases/\d+$", path) else ""
        return (method, kind) in ALSO

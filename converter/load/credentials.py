"""What a private URL is fetched with, from the environment alone.

In this order, the first that names the URL's host:

- `COREML_RELEASE_TOKENS`: `host=token` pairs with spaces between them, sent as `Authorization: Bearer token`; a port
  other than 443 belongs to the host (`models.example.com:8443=token`). Hosts match exactly, never by ending.
- `GITHUB_TOKEN` (or `GH_TOKEN`): for github.com, api.github.com and raw.githubusercontent.com only.
- `HF_TOKEN`: for huggingface.co only.
- `~/.netrc`, or the file that `NETRC` names: entries of that very host; its `default` entry is not used, because it
  would send a password to every host that a manifest can name.

s3:// addresses take AWS's own chain instead (`AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, a role, ...).
"""

import base64
import netrc
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from converter.errors import SourceError

TOKENS = "COREML_RELEASE_TOKENS"
_WELL_KNOWN = {
    "github.com": ("GITHUB_TOKEN", "GH_TOKEN"),
    "api.github.com": ("GITHUB_TOKEN", "GH_TOKEN"),
    "raw.githubusercontent.com": ("GITHUB_TOKEN", "GH_TOKEN"),
    "huggingface.co": ("HF_TOKEN",),
}


@dataclass(frozen=True, kw_only=True)
class Credential:
    """An Authorization header, and the name of where it came from (the only part that may be shown)."""

    origin: str
    header: str = field(repr=False)


def find(url: str) -> Credential | None:
    """The credential for the host of `url`, or None."""
    host = authority(url)
    for name, token in _listed(os.environ.get(TOKENS, "")):
        if name == host:
            return Credential(origin=TOKENS, header=f"Bearer {token}")
    for variable in _WELL_KNOWN.get(host, ()):
        if token := os.environ.get(variable, "").strip():
            return Credential(origin=variable, header=f"Bearer {token}")
    return _from_netrc(host)


def authority(url: str) -> str:
    """Host, and port where it is not 443: what a credential belongs to."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    return host if parts.port in (None, 443) else f"{host}:{parts.port}"


def _listed(value: str) -> list[tuple[str, str]]:
    pairs = []
    for position, word in enumerate(value.split(), start=1):
        host, equals, token = word.partition("=")
        if not (host and equals and token):
            raise SourceError(
                f"entry {position} of the environment variable {TOKENS} is not host=token",
                fix=f"write {TOKENS}='models.example.com=TOKEN other.example.com=TOKEN'",
            )
        pairs.append((host.lower(), token))
    return pairs


def _from_netrc(host: str) -> Credential | None:
    named = os.environ.get("NETRC")
    path = Path(named) if named else Path.home() / ".netrc"
    if not path.is_file():
        return None
    try:
        entry = netrc.netrc(str(path)).hosts.get(host)
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        # the parser's message may quote the file, so it is left out
        raise SourceError(
            f"the netrc file {path} cannot be read ({type(error).__name__})",
            fix="repair it, or point NETRC to another file",
        ) from None
    if entry is None:
        return None
    login, _account, password = entry
    pair = base64.b64encode(f"{login}:{password}".encode()).decode("ascii")
    return Credential(origin="netrc", header=f"Basic {pair}")

from pathlib import Path

import pytest

from converter.errors import SourceError
from converter.load import credentials


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("https://models.example.com/net", "Bearer one"),
        ("https://MODELS.example.com:443/net", "Bearer one"),
        ("https://models.example.com:8443/net", "Bearer two"),
        ("https://models.example.com:9999/net", None),
        ("https://models-example.com/net", None),
        ("https://evil.models.example.com/net", None),
        ("https://github.com/o/r/releases/download/v1/net.onnx", "Bearer hub"),
        ("https://api.github.com/repos/o/r/releases/assets/1", "Bearer hub"),
        ("https://raw.githubusercontent.com/o/r/main/labels.txt", "Bearer hub"),
        ("https://github.com.example.org/net", None),
        ("https://evilgithub.com/net", None),
        ("https://objects.githubusercontent.com/net", None),
        ("https://huggingface.co/o/m/resolve/main/net.safetensors", "Bearer face"),
        ("https://netrc.example.com/net", "Basic bWU6c2VzYW1l"),
        ("https://elsewhere.example.com/net", None),
    ],
)
def test_a_credential_goes_to_its_own_host(
    url: str, header: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COREML_RELEASE_TOKENS", "models.example.com=one  Models.Example.com:8443=two")
    monkeypatch.setenv("GITHUB_TOKEN", "hub")
    monkeypatch.setenv("HF_TOKEN", "face\n")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine netrc.example.com login me password sesame\ndefault login me password everywhere\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    found = credentials.find(url)
    assert (found.header if found else None) == header
    assert header is None or header.split()[1] not in repr(found)


@pytest.mark.parametrize("value", ["hush", "host=", "=hush", "a.example.com=fine hush"])
def test_a_malformed_list_is_refused_unseen(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREML_RELEASE_TOKENS", value)
    with pytest.raises(SourceError, match=r"entry \d of the environment variable COREML_RELEASE_TOKENS") as caught:
        credentials.find("https://example.com/net")
    assert "hush" not in str(caught.value)


def test_a_malformed_netrc_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine example.com login me passwd hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(SourceError, match="cannot be read") as caught:
        credentials.find("https://example.com/net")
    assert "hush" not in str(caught.value)

import re

from converter.workflow.files import write_outputs


def read_outputs(text: str) -> dict[str, str]:
    """As the runner reads the file: NAME<<DELIMITER, lines, DELIMITER."""
    pattern = re.compile(r"^(?P<name>[^<\n]+)<<(?P<end>[^\n]+)\n(?P<value>.*?)\n(?P=end)\n", re.DOTALL | re.MULTILINE)
    assert "".join(match[0] for match in pattern.finditer(text)) == text
    return {match["name"]: match["value"] for match in pattern.finditer(text)}


def test_outputs_are_read_back_as_they_were_whatever_they_hold(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    write_outputs({"release_url": "https://example.com/v1"})
    write_outputs({"s3_uris": "s3://a/b\ns3://a/c", "evil": "end-0\nother<<end-0\nx"})
    found = read_outputs((tmp_path / "output").read_text())
    assert found == {
        "release-url": "https://example.com/v1",
        "s3-uris": "s3://a/b\ns3://a/c",
        "evil": "end-0\nother<<end-0\nx",
    }


def test_outside_a_workflow_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    write_outputs({"a": "b"})
    assert list(tmp_path.iterdir()) == []

import json
from pathlib import Path

import pytest

from converter.load import blame


def fails(code: str, path: Path) -> BaseException:
    path.write_text(code)
    with pytest.raises(BaseException) as caught:
        exec(compile(code, str(path), "exec"), {"json": json})
    caught.value.__traceback__ = caught.tb.tb_next  # this file is a user's too
    return caught.value


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero\n  at net.py:1 in <module>: 1 / 0"),
        (
            "def inner():\n    return json.loads('x')\n\ninner()",
            "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)\n"
            "  at net.py:2 in inner: return json.loads('x')\n"
            "  at net.py:4 in <module>: inner()",
        ),
        ("raise SystemExit", "SystemExit\n  at net.py:1 in <module>: raise SystemExit"),
        ("raise ValueError('a\\nb')", "ValueError: a\n  b\n  at net.py:1 in <module>: raise ValueError('a\\nb')"),
    ],
)
def test_only_the_users_lines_are_shown_the_innermost_first(code: str, expected: str, tmp_path: Path) -> None:
    assert blame.words(fails(code, tmp_path / "net.py"), tmp_path) == expected


def test_a_deep_traceback_is_cut_to_its_last_lines(tmp_path: Path) -> None:
    code = "def f(n):\n    return f(n - 1) if n else 1 / 0\n\nf(50)"
    assert blame.words(fails(code, tmp_path / "net.py"), tmp_path).count("at net.py:2 in f") == 3

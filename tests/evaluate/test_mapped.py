"""A mapped file is read where it is used, and its pages are given back on request."""

import re
from pathlib import Path

import numpy as np
import pytest

from converter.errors import EvaluationError
from converter.evaluate.mapped import Mapped

SIZE = 1 << 20


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weight.bin"
    path.write_bytes(np.arange(SIZE // 4, dtype=np.uint32).tobytes())
    return path


def resident(path):
    """The bytes of the file that this process holds in memory."""
    entries = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(encoding="utf-8"))
    own = [entry for entry in entries if entry.splitlines() and entry.splitlines()[0].endswith(str(path))]
    return sum(int(size) * 1024 for entry in own for size in re.findall(r"(?m)^Rss:\s+(\d+) kB", entry))


def test_pages_are_given_back_and_read_again(file):
    mapped = Mapped(file)
    total = int(mapped.content.sum())
    assert resident(file) == SIZE
    mapped.release(mapped.content.ctypes.data, SIZE)
    assert resident(file) == 0
    assert int(mapped.content.sum()) == total


def test_only_whole_pages_within_what_is_released_are_given_back(file):
    mapped = Mapped(file)
    total = int(mapped.content.sum())
    address = mapped.content.ctypes.data
    for start, size, kept in ((100, 3000, SIZE), (-500, 400, SIZE), (SIZE, 8192, SIZE), (4000, 5000, SIZE - 4096)):
        mapped.release(address + start, size)
        assert resident(file) == kept, (start, size)
        assert int(mapped.content.sum()) == total


def test_what_is_written_stays_out_of_the_file(file):
    before = file.read_bytes()
    mapped = Mapped(file)
    mapped.content[:] = 7
    del mapped
    assert file.read_bytes() == before


def test_a_file_that_is_written_anew_is_refused_and_one_that_is_deleted_is_not(file):
    kept, changed = Mapped(file), Mapped(file)
    replaced = file.with_name("other.bin")
    replaced.write_bytes(b"other")
    before = bytes(kept.content)
    file.write_bytes(b"short")
    with pytest.raises(EvaluationError, match=r"weight\.bin.*the file was changed after it was opened"):
        changed.content  # noqa: B018
    file.write_bytes(before)
    kept = Mapped(file)
    replaced.replace(file)
    assert bytes(kept.content) == before
    file.unlink()
    assert bytes(kept.content) == before


def test_a_file_without_content_cannot_be_mapped(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty"):
        Mapped(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        Mapped(tmp_path / "none")

"""Every revision of every op that is served was read by somebody: `revisions.txt` lists them, an op a line.

A new onnx brings new revisions. The test then names them: read what changed (onnx/docs/Changelog.md), give the op a new
version of its lowering where its meaning moved (`Softmax_13`), and add the number to the op's line. That the
parameters and defaults are the standard's, at every revision, is held by test_ops.py; the list is about what no schema
says, such as a scale that becomes one for each channel.
"""

from collections import defaultdict
from pathlib import Path

import onnx.defs
import pytest

from converter.convert.onnx.ops import TABLES
from converter.convert.onnx.prepare import sequences, unroll
from converter.convert.onnx.prepare.opsets import NEWEST_OPSET

READ = {
    line.split()[0]: [int(version) for version in line.split()[1:]]
    for line in Path(__file__).with_name("revisions.txt").read_text(encoding="utf-8").splitlines()
}
FOLDED = {"Constant"}
SERVED = sorted({op.name for op in TABLES[""]} | set(sequences.OPENERS) | set(unroll.OPENERS) | FOLDED)


def standard():
    """The revisions of each op in the installed onnx."""
    found = defaultdict(list)
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            found[schema.name].append(schema.since_version)
    return {name: sorted(versions) for name, versions in found.items()}


STANDARD = standard()


@pytest.mark.parametrize("name", SERVED)
def test_every_revision_of_an_op_was_read(name):
    unread = set(STANDARD[name]) - set(READ.get(name, ()))
    assert not unread, f"read {name} of opset {sorted(unread)}, then add it to revisions.txt"


def test_nothing_is_listed_that_is_not_served():
    assert sorted(READ) == SERVED
    assert {name: versions for name, versions in READ.items() if versions != STANDARD[name]} == {}


def test_the_newest_opset_that_was_read_is_the_newest_there_is():
    assert onnx.defs.onnx_opset_version() == NEWEST_OPSET
    assert max(version for versions in READ.values() for version in versions) <= NEWEST_OPSET

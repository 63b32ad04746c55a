"""Selection, records and figures, without running anything of coremltools."""

from dataclasses import replace

import ledger
import page
import pytest
from ledger import Known, Record

FILE = "coremltools/test/test_a.py"


def known(pattern, reason="a reason"):
    return [Known(tests=ledger.re.compile(pattern), reason=reason)]


def test_a_sample_is_about_one_in_n_and_the_same_each_time():
    ids = [f"{FILE}::test[{i}]" for i in range(10_000)]
    sample = [name for name in ids if ledger.chosen(name, 25)]
    assert 320 < len(sample) < 480
    assert sample == [name for name in ids if ledger.chosen(name, 25)]
    assert all(ledger.chosen(name, 1) for name in ids)


def test_the_choice_is_that_of_the_hash():
    # printf 'a' | sha256sum: ca978112ca1bbdca...; 0xca978112ca1bbdca is divisible by 2 and 7, not by 3
    assert [ledger.chosen("a", n) for n in (2, 3, 7)] == [0xCA978112CA1BBDCA % n == 0 for n in (2, 3, 7)]


def test_ids_hold_no_addresses_and_no_name_twice():
    ids = ["t[<function f at 0x7f00aa>]", "t[<function f at 0x7f00bb>]", "u"]
    assert ledger.unique(ids) == ["t[<function f>]", "t[<function f>]#2", "u"]


def test_records_are_read_as_written_and_a_cut_line_is_left_out(tmp_path):
    path = tmp_path / "r.jsonl"
    for outcome in ("started", "passed"):
        ledger.append(path, Record(id="a", outcome=outcome, reached=outcome == "passed", seconds=1.5))
    ledger.append(path, Record(id="b", outcome="started"))
    with path.open("a") as file:
        file.write('{"id": "c", "outc')
    assert ledger.load(path) == {
        "a": Record(id="a", outcome="passed", reached=True, seconds=1.5),
        "b": Record(id="b", outcome="started"),
    }
    assert ledger.load(tmp_path / "none.jsonl") == {}


RECORDS = [
    Record(id="passes", outcome="passed", reached=True),
    Record(id="fails", outcome="failed", reached=True, reason="wrong"),
    Record(id="is known", outcome="failed", reached=True, reason="wrong"),
    Record(id="died", outcome="started"),
    Record(id="skips", outcome="skipped", reason="needs TensorFlow"),
    Record(id="skips late", outcome="skipped", reached=True, reason="needs TensorFlow"),
    Record(id="is expected to fail", outcome="xfailed", reached=True, reason="rdar"),
    Record(id="compares nothing", outcome="passed"),
    Record(id="fails to convert", outcome="failed", reason="no such op"),
]


def test_figures_count_what_was_reached():
    figures = ledger.figures(FILE, 50, RECORDS, known("is known"))
    assert (figures.collected, figures.ran, figures.reached, figures.passed) == (50, 9, 4, 1)
    assert figures.known == {"a reason": 1}
    assert [record.id for record in figures.failed] == ["fails", "died"]
    assert figures.skipped == {"needs TensorFlow": 2, "rdar": 1}
    assert figures.unreached == {"the test compares no prediction": 1, "fails before: no such op": 1}
    assert not figures.listed_passes


def test_a_listed_test_that_passes_is_found():
    assert [r.id for r in ledger.figures(FILE, 50, RECORDS, known("passes|x")).listed_passes] == ["passes"]


def test_a_listed_test_that_passes_sometimes_may_pass():
    (entry,) = known("passes|is known")
    figures = ledger.figures(FILE, 50, RECORDS, [replace(entry, sometimes=True)])
    assert figures.listed_passes == ()
    assert figures.known == {"a reason": 1}


@pytest.mark.parametrize(("pattern", "is_listed"), [("is known", True), ("is", False), (".*known", True)])
def test_a_pattern_matches_the_whole_id(pattern, is_listed):
    assert (ledger.reason_for("is known", known(pattern)) == "a reason") == is_listed


def test_the_list_is_read_with_its_reasons(tmp_path):
    path = tmp_path / "known.toml"
    path.write_text("[[known]]\ntests = 'a\\[.*\\]'\nreason = \"it is so\"\n")
    assert ledger.reason_for("a[1]", ledger.known(path)) == "it is so"


def test_every_entry_of_the_list_says_why():
    entries = ledger.known(ledger.Path(page.__file__).parent / "known.toml")
    assert all(len(entry.reason.split()) > 2 for entry in entries)


def test_the_page_shows_each_file_the_sum_and_the_reasons():
    counted = [ledger.figures(name, 50, RECORDS, known("is known")) for name in ("a.py", "b.py")]
    text = page.summary(counted, every=25, seconds=90, versions="x 1")
    assert "**2 of 8 tests that reached the evaluator passed: 25.00 %.**" in text
    assert "| a.py | 50 | 9 | 4 | 1 | 1 | 2 | 3 | 2 |" in text
    assert "| all | 100 | 18 | 8 | 2 | 2 | 4 | 6 | 4 |" in text
    assert "| 4 | needs TensorFlow |" in text


@pytest.mark.parametrize(
    ("part", "whole", "shown"), [(1999, 2000, "99.95 %"), (99999, 100000, "99.99 %"), (1, 1, "100.00 %")]
)
def test_a_share_is_never_rounded_up(part, whole, shown):
    assert page.share(part, whole) == shown

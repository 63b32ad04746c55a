"""The log of a run in a workflow: a group a model, and what failed outside of it."""

import io

import pytest

from converter.console import Console
from converter.model import Metadata, ModelRecord
from converter.workflow.stream import Guarded


def record(name, error=""):
    return ModelRecord(
        name=name,
        place=f"models.yml:3:5 {name}",
        source="a source",
        source_files=(),
        attempts=(),
        artifacts=(),
        interface=None,
        metadata=Metadata(),
        notes=(),
        error=error,
        exit_code=3 if error else 0,
        seconds={},
    )


@pytest.fixture
def below():
    return io.StringIO()


@pytest.fixture(autouse=True)
def colours(monkeypatch):
    """Many workflows set this for other programs."""
    monkeypatch.setenv("FORCE_COLOR", "1")


def without_clock(log):
    return [line.replace("0.0", "").replace("[    s] ", "") if "[" in line else line for line in log]


def run(console, *, log=None):
    with console:
        console.stage("a", "load")
        console.stage("a", "convert")
        console.finished(record("a"), log)
        console.stage("b", "load")
        console.finished(record("b", "::error::lost\n  fix: find it"), log)
        console.table([record("a")])
        console.say("done")


def test_one_at_a_time_stands_in_an_open_group_and_failures_outside(below, runner):
    run(Console(Guarded(below)))
    runner.read(below.getvalue())
    assert runner.did == ["group", "endgroup", "group", "endgroup"]
    assert without_clock(runner.log)[:7] == [
        "> a",
        "  load",
        "  convert",
        "a: passed in  s",
        "> b",
        "  load",
        "b: FAILED",
    ]
    assert runner.log[7:9] == ["::error::lost", "  fix: find it"]
    assert runner.log[-1] == "done"
    assert "\x1b" not in below.getvalue()


def test_a_group_is_open_while_its_model_is_built(below):
    console = Console(Guarded(below))
    with console:
        console.stage("a", "load")
        assert below.getvalue().startswith("::group::a\n")
        assert "load" in below.getvalue()
        assert "endgroup" not in below.getvalue()


def test_several_at_once_are_held_until_each_ends(below, runner):
    with Console(Guarded(below), jobs=2) as console:
        console.stage("a", "load")
        console.stage("b", "load")
        console.stage("a", "convert")
        assert below.getvalue() == ""
        console.finished(record("b"))
        console.finished(record("a"))
    runner.read(below.getvalue())
    assert [line for line in without_clock(runner.log) if "passed" not in line] == [
        "> b",
        "  load",
        "> a",
        "  load",
        "  convert",
    ]


def test_an_interrupted_run_ends_its_groups(below, runner):
    for jobs in (1, 2):
        console = Console(Guarded(below), jobs=jobs)
        with console:
            console.stage("a", "load")
    runner.read(below.getvalue())
    assert runner.did == ["group", "endgroup"] * 2
    assert not runner.grouped


def test_what_the_libraries_print_is_no_command(below, runner):
    """One at a time it passes through as it comes."""
    with Console(Guarded(below), verbose=True) as console:
        console.stage("a", "load")
        below.write("::error::from a worker, without an end")
        console.finished(record("a"))
        console.stage("b", "load")
        console.finished(record("b"))
    runner.read(below.getvalue())
    assert runner.did == ["group", "endgroup", "group", "endgroup"]
    assert "  ::error::from a worker, without an end" in runner.log


def test_of_several_at_once_it_is_shown_in_their_groups(below, runner, tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"::error::from a worker\n\xff\n")
    console = Console(Guarded(below), jobs=2, verbose=True)
    assert console.is_held
    run(console, log=log)
    runner.read(below.getvalue())
    assert runner.did == ["group", "endgroup", "group", "endgroup"]
    assert runner.log.count("  ::error::from a worker") == 2


def test_it_is_not_shown_unless_asked_for(below, runner, tmp_path):
    (tmp_path / "a.log").write_text("from a worker\n")
    run(Console(Guarded(below), jobs=2), log=tmp_path / "a.log")
    assert "from a worker" not in below.getvalue()


def test_a_model_that_was_not_built_has_no_group(below):
    with Console(Guarded(below)) as console:
        console.finished(record("a"))
    assert "group" not in below.getvalue()


def test_outside_a_workflow_lines_are_plain(below, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR")
    run(Console(below), log=None)
    assert "::group" not in below.getvalue()
    assert "a: load" in below.getvalue()

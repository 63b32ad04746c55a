import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.workflow.stream import Guarded, command

# what @actions/core 3.0.1 writes for the same calls
CORE = [
    (
        command("error", "first\nsecond", file="sub/models.yml", line=6, col=28, title="a: b, c"),
        "::error file=sub/models.yml,line=6,col=28,title=a%3A b%2C c::first%0Asecond",
    ),
    (
        command("warning", "%0A is no newline\r\n::set-env name=a::b", title="100 %, 50%2C"),
        "::warning title=100 %25%2C 50%252C::%250A is no newline%0D%0A::set-env name=a::b",
    ),
    (command("notice", "https://example.com/v1?x=1&y=2"), "::notice::https://example.com/v1?x=1&y=2"),
    (command("group", "resnet50"), "::group::resnet50"),
    (
        command("error", '##[error]é, "quoted"', file="a:b,c%.yml", line=1),
        '::error file=a%3Ab%2Cc%25.yml,line=1::##[error]é, "quoted"',
    ),
]

HOSTILE = [
    "::error::no",
    "   ::error file=a::no",
    "\t\u3000::add-mask::a",
    "words ##[error]no",
    "##[add-mask]a",
    "progress 10 %\r::set-output name=x::y",
    "::stop-commands::mine\n::mine::\n::error::no",
    "::STOP-COMMANDS::mine",
    "::ERROR::no",
    "::::\n::error::no",
]


@pytest.mark.parametrize(("written", "expected"), CORE, ids=range(len(CORE)))
def test_a_command_is_what_the_toolkit_writes(written, expected):
    assert written == expected


def test_a_command_is_read_back_as_it_was(runner):
    properties = {"title": "50%2C: a, b", "file": "a%3A:b.yml"}
    runner.read(command("error", "1 %0A\r\n::x::", **properties))
    (issue,) = runner.issues
    assert (issue.message, issue.properties) == ("1 %0A\r\n::x::", properties)


def test_plain_lines_pass_as_they_are():
    below = io.StringIO()
    stream = Guarded(below)
    stream.write("one\ntw")
    stream.write("o\n\n")
    assert below.getvalue() == "one\ntwo\n\n"


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_text_is_never_a_command(text, runner):
    below = io.StringIO()
    stream = Guarded(below)
    stream.write(f"before\n{text}\nafter\n")
    stream.command(command("notice", "ours"))
    stream.write(text)
    stream.end()
    runner.read(below.getvalue())
    assert runner.did == ["notice"]
    assert runner.log == f"before\n{text}\nafter\n{text}".replace("\r", "\n").split("\n")
    assert runner.token is None, "what the step prints next is read again"


@given(st.lists(st.sampled_from([*"\n\r :#[]%=,a", "::", "##[", "error", "::error::", "::stop-commands::", "group"])))
def test_no_mixture_of_marks_is_a_command(parts):
    below = io.StringIO()
    stream = Guarded(below)
    for part in parts:
        stream.write(part)
    stream.end()
    token = stream._token
    text = below.getvalue()
    # outside of what is stopped, no line holds what the runner looks for
    stopped = False
    for line in text.split("\n"):
        if line == f"::stop-commands::{token}":
            stopped = True
        elif line == f"::{token}::":
            stopped = False
        elif not stopped:
            assert "::" not in line
            assert "##[" not in line
    assert not stopped


def test_each_stream_has_a_token_of_its_own():
    def told() -> str:
        below = io.StringIO()
        Guarded(below).write("::error::\n")
        return below.getvalue().splitlines()[0]

    first, second = told(), told()
    assert first.startswith("::stop-commands::")
    assert len(first.removeprefix("::stop-commands::")) == 32
    assert first != second


def test_what_other_processes_print_is_stopped_too(runner):
    below = io.StringIO()
    stream = Guarded(below)
    with stream.stopped():
        below.write("::error::theirs\n")
        stream.write("ours\n")
        below.write("##[error]theirs, without an end")
    stream.command(command("notice", "read again"))
    runner.read(below.getvalue())
    assert runner.did == ["notice"]
    assert runner.log[:3] == ["::error::theirs", "ours", "##[error]theirs, without an end"]


def test_a_character_that_the_stream_cannot_say_loses_no_message():
    below = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    Guarded(below).write("é \udc80\n")
    below.flush()
    assert below.buffer.getvalue() == b"\\xe9 \\udc80\n"


def test_it_takes_text_alone():
    with pytest.raises(TypeError, match="bytes"):
        Guarded(io.StringIO()).write(b"a")

import itertools
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.errors import PublishError
from converter.model import Artifact
from converter.publish import finished
from converter.publish.github.names import asset_name, hold_limits, stands_for, temporary_name, temporary_parts

# gh's own rule, and its own cases
NAMES = [
    ("net.mlmodel", "net.mlmodel"),
    ("this has spaces.txt", "this.has.spaces.txt"),
    (".env", "default.env"),
    ("..env", "default.env"),
    ("a...b", "a.b"),
    ("naïve café.txt", "naive.cafe.txt"),
    ("a (1).zip", "a.1.zip"),
    ("x_y-z+1@2.bin", "x_y-z+1@2.bin"),
    ("模型.bin", "default.bin"),
    ("模型", "default"),
    ("a\x00\n\tb", "a.b"),
    ("end.", "end"),
    ("<img src=x>.md", "default.img.src.x.md"),
    ("ﬁ.txt", "fi.txt"),
]  # fmt: skip

names = st.text(min_size=1, max_size=255)


@pytest.mark.parametrize(("name", "expected"), NAMES)
def test_names_are_those_that_github_gives(name, expected):
    assert asset_name(name) == expected


@given(names)
def test_any_name_becomes_one_that_stays(name):
    once = asset_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_+@-][A-Za-z0-9._+@-]*", once)
    assert ".." not in once
    assert not once.endswith(".")
    assert asset_name(once) == once


@given(names, st.text(string.hexdigits.lower()[:16], min_size=64, max_size=64))
def test_a_temporary_name_stays_too_and_knows_what_it_stands_for(name, sha256):
    temporary = temporary_name(asset_name(name), sha256)
    assert asset_name(temporary) == temporary
    assert len(temporary) < 100
    assert temporary_parts(temporary)[1] == sha256[:12]
    assert stands_for(temporary, asset_name(name))
    assert temporary_parts(asset_name(name)) is None


def file(name, size_bytes=1):
    return Artifact(path=f"net/{name}", sha256="0" * 64, size_bytes=size_bytes, published=True)


LIMITS = [
    ([file("a b.txt"), file("a.b.txt")], "", "both 'a b.txt' and 'a.b.txt' a.b.txt"),
    ([file("Net.bin"), file("net.bin")], "", "both 'Net.bin' and 'net.bin'"),
    ([file("模型.bin"), file("网络.bin")], "", "default.bin"),
    ([file("big.zip", 2 * 1024**3)], "", "takes less than 2 GiB"),
    ([file("empty.txt", 0)], "", "takes no empty files"),
    ([file(f"{n}.txt") for n in range(1001)], "", "there are 1001 files"),
    ([file("a" * 256)], "", "has 256 characters"),
    ([file("a")], "x" * 125_001, "the notes have 125001 characters"),
    ([file("a")], "🦊" * 62_501, "the notes have 125002 characters"),
    ([file(temporary_name("a", "0" * 64))], "", "publishing itself uses"),
]


@pytest.mark.parametrize(("files", "notes", "words"), LIMITS)
def test_what_github_would_refuse_is_said_first(files, notes, words):
    with pytest.raises(PublishError) as caught:
        hold_limits(files, notes)
    assert words in str(caught.value)


def test_everything_is_said_at_once():
    with pytest.raises(PublishError) as caught:
        hold_limits([file("a b.txt"), file("a.b.txt"), file("empty", 0)], "x" * 130_000)
    assert len(caught.value.problem.splitlines()) == 3


def test_the_limits_themselves_are_taken():
    hold_limits([file(f"{n}.txt") for n in range(999)] + [file("big.zip", 2 * 1024**3 - 1)], "x" * 125_000)


def test_nothing_is_asked_before_the_names_are_right(hub, publisher, make_dist):
    dist = make_dist({"net/a b.txt": b"x", "net/a.b.txt": b"y"})
    with pytest.raises(PublishError, match="GitHub would call both"):
        publisher().plan(finished(dist))
    assert hub.seen == []


def test_odd_names_are_published_and_found_again(hub, publish, make_dist):
    odd = ["naïve.txt", "模型.bin", ".hidden", "a b.c", "x" * 200 + ".é", "tab\there", "<b>&.md", "trail. ", "%2e%2F.x"]
    dist = make_dist({f"net/{name}": name.encode() for name in odd})
    names = {file.sha256: file.name for file in publish(dist).files}
    contents = hub.files()
    assert {contents[name] for name in names.values()} >= {name.encode() for name in odd}
    again = publish(dist)
    assert {file.action for file in again.files} == {"skipped"}
    assert {file.sha256: file.name for file in again.files} == names


def fits(name):
    """A file system takes it, and GitHub's own limits."""
    return name not in (".", "..") and "/" not in name and "\0" not in name and 0 < len(name.encode()) <= 255


file_names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255).filter(fits)


def test_any_files_and_any_notes_are_published_once_and_found_again(hub, publish, make_dist):
    dist_number = itertools.count()

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(st.lists(file_names, min_size=1, max_size=3, unique_by=lambda name: asset_name(name).lower()), st.text())
    def hold(names, notes):
        number = next(dist_number)
        dist = make_dist({f"net/{name}": name.encode() for name in names}, folder=f"dist-{number}")
        try:
            whole = finished(dist)
        except PublishError:  # two names that differ in capitals only, or the name of a record
            return
        clean = "".join(c for c in notes if c != "\r" and not 0xD800 <= ord(c) < 0xE000)
        first = publish(dist, tag=f"v{number}", notes=clean)
        assert len(first.files) == len(whole.files)
        again = publish(dist, tag=f"v{number}", notes=clean)
        assert {file.action for file in again.files} == {"skipped"}
        release = int(first.outputs["release_id"])
        assert {hub.files(release)[file.name] for file in first.files} >= {name.encode() for name in names}
        if clean not in ("append", "generate", "keep"):
            assert hub.releases[release]["body"].strip() == clean.strip()

    hold()


@pytest.mark.parametrize("tag", ["v1.0+build.5", "models/v1", "日本", "a'b\"c", "100%"])
def test_odd_tags_are_published_and_found_again(hub, publish, make_dist, tag):
    hub.tags.add(tag)
    publish(make_dist(), tag=tag, environment={"GITHUB_SHA": "1" * 40})
    assert {file.action for file in publish(make_dist(), tag=tag).files} == {"skipped"}
    (release,) = hub.releases.values()
    assert (release["tag_name"], release["target_commitish"]) == (tag, "main")

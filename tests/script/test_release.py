"""script/release-notes and script/release, with a stand-in for gh that writes down what it is asked."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHANGELOG = (
    "# Changelog\n\n## Unreleased\n\n- Later.\n\n## 1.2.0 - 2026-12-01\n\n- `One` thing.\n\n## 1.1.0\n\n- Old.\n"
)
GH = """#!/usr/bin/env bash
case "$*" in
"api --paginate "*) [[ ! -e $FAKE/silent ]] && cat "$FAKE/published" ;;
"release view "*) [[ -e $FAKE/page ]] ;;
"api repos/OWNER/REPO/git/ref/tags/"*) [[ -e $FAKE/major ]] ;;
"release "*) echo "$*" >>"$FAKE/asked" && cat >"$FAKE/notes" ;;
*) echo "$*" >>"$FAKE/asked" && [[ ! -e $FAKE/refuses ]] ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A clone at a tag: the two scripts, a version, a changelog, one commit."""
    root = tmp_path / "checkout"
    for name in ("release", "release-notes"):
        (root / "script").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "script" / name, root / "script" / name)
    (root / "converter").mkdir()
    (root / "CHANGELOG.md").write_text(CHANGELOG)
    at_version(root, "1.2.0")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-C", str(root)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "A commit"]):
        subprocess.run([*git, *command], check=True)
    return root


def at_version(root, version):
    (root / "converter/version.py").write_text(f'"""The version."""\n\n__version__ = "{version}"\n')


def notes(root, tag):
    return subprocess.run([root / "script/release-notes", tag], capture_output=True, text=True, check=False)


def test_the_notes_are_the_version_s_section_of_the_changelog(checkout):
    result = notes(checkout, "v1.2.0")
    assert (result.returncode, result.stdout.strip()) == (0, "- `One` thing.")


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("", "no version tag"),
        ("v1", "no version tag"),
        ("1.2.0", "no version tag"),
        ("v1.2.0-rc.1", "no version tag"),
        ("v01.2.0", "no version tag"),
        ("v1.2.0\nv1.3.0", "no version tag"),
        ("v1.2.0;$(touch owned)", "no version tag"),
        ("v1.1.0", "converter/version.py says 1.2.0"),
    ],
)
def test_a_tag_that_is_not_this_version_is_refused(checkout, tag, words):
    result = notes(checkout, tag)
    assert result.returncode == 2
    assert words in result.stderr
    assert not result.stdout
    assert not list(checkout.rglob("owned"))


def test_a_version_that_the_changelog_does_not_know_is_refused(checkout):
    at_version(checkout, "1.20.0")
    result = notes(checkout, "v1.20.0")
    assert result.returncode == 2
    assert "no section '## 1.20.0'" in result.stderr


def release(root, tag, *, published=(), present=()):
    """Run script/release against the stand-in; `present`: what GitHub has already, or that it refuses."""
    fake = root.parent / "fake"
    fake.mkdir()
    gh = fake / "gh"
    gh.write_text(GH)
    gh.chmod(0o755)
    (fake / "published").write_text("".join(f"{name}\n" for name in published))
    for name in present:
        (fake / name).touch()
    environment = os.environ | {
        "PATH": f"{fake}{os.pathsep}{os.environ['PATH']}",
        "FAKE": str(fake),
        "GH_REPO": "OWNER/REPO",
        "GH_TOKEN": "hush",
    }
    result = subprocess.run(
        [root / "script/release", tag], env=environment, capture_output=True, text=True, check=False
    )
    asked = fake / "asked"
    return result, asked.read_text().splitlines() if asked.exists() else []


@pytest.mark.parametrize(
    ("published", "present", "page", "moved"),
    [
        ([], [], "create latest=true", "POST"),
        (["v1.1.0"], ["major"], "create latest=true", "PATCH"),
        (["v1.1.9", "v0.9.0"], ["major"], "create latest=true", "PATCH"),
        (["v1.2.0"], ["page", "major"], "edit latest=true", "PATCH"),  # run again
        (["v1.10.0"], ["major"], "create latest=false", None),  # a backport: 10 is more than 2
        (["v2.0.0", "v1.1.0"], ["major"], "create latest=false", "PATCH"),  # v2 is another line
        (["v10.0.0"], ["major"], "create latest=false", "PATCH"),  # v10 is not v1
        (["v1.3.0-rc.1", "nightly"], ["major"], "create latest=true", "PATCH"),  # no versions
    ],
)
def test_the_major_tag_follows_the_newest_version_of_its_line(checkout, published, present, page, moved):
    result, asked = release(checkout, "v1.2.0", published=published, present=present)
    assert result.returncode == 0, result.stderr
    verb, latest = page.split()
    assert asked[0].startswith(f"release {verb} v1.2.0 ")
    assert f"--{latest} " in asked[0]
    commit = subprocess.run(
        ["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    expected = {
        "POST": [f"api --method POST repos/OWNER/REPO/git/refs -f ref=refs/tags/v1 -f sha={commit}"],
        "PATCH": [f"api --method PATCH repos/OWNER/REPO/git/refs/tags/v1 -F force=true -f sha={commit}"],
        None: [],
    }[moved]
    assert asked[1:] == expected


def test_nothing_is_asked_for_a_tag_that_is_refused(checkout):
    result, asked = release(checkout, "v1.1.0")
    assert (result.returncode, asked) == (2, [])


def test_nothing_is_moved_where_the_other_versions_cannot_be_read(checkout):
    result, asked = release(checkout, "v1.2.0", present=["major", "silent"])
    assert (result.returncode, asked) == (1, [])


def test_a_refused_move_says_how_to_do_it_by_hand(checkout):
    result, _ = release(checkout, "v1.2.0", present=["major", "refuses"])
    assert result.returncode == 1
    assert "git push --force origin v1.2.0^{commit}:refs/tags/v1" in result.stderr

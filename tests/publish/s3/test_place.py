import pytest

from converter.errors import PublishError
from converter.manifest.s3 import S3Options
from converter.model import BuildRecord
from converter.publish.s3.place import place

ON_TAG = {"GITHUB_REF": "refs/tags/v1.2", "GITHUB_REPOSITORY": "owner/nets"}


def of(prefix="{name}/{tag}/", environment=ON_TAG, commit="abc", **options):
    record = BuildRecord(manifest="models.yml", commit=commit, models=(), seconds=0)
    return place(S3Options(bucket="bucket", prefix=prefix, **options), record, environment)


@pytest.mark.parametrize(
    ("given", "root", "prefix", "version"),
    [
        ({}, "nets/", "nets/v1.2/", "v1.2"),
        ({"prefix": "{tag}/"}, "", "v1.2/", "v1.2"),
        ({"prefix": "models/{name}/{tag}/coreml/"}, "models/nets/", "models/nets/v1.2/coreml/", "v1.2/coreml"),
        ({"prefix": "a/b-{tag}-{sha}/"}, "a/", "a/b-v1.2-abc/", "b-v1.2-abc"),
        ({"prefix": "nightly/{sha}/", "environment": {}}, "nightly/", "nightly/abc/", "abc"),
        ({"tag": "net/v3", "name": "other"}, "other/", "other/net/v3/", "net/v3"),
        ({"tag": "v1", "environment": {"GITHUB_REPOSITORY": "o/n"}}, "n/", "n/v1/", "v1"),
    ],
)  # fmt: skip
def test_a_version_lies_below_its_index(given, root, prefix, version):
    found = of(**given)
    assert (found.root, found.prefix, found.version) == (root, prefix, version)
    assert (found.index, found.latest) == (f"{root}index.json", f"{root}latest.json")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"environment": {"GITHUB_REPOSITORY": "o/n"}}, "needs {tag}, which is not known\n  fix: run on a tag"),
        ({"environment": {"GITHUB_REF": "refs/heads/main", "GITHUB_REPOSITORY": "o/n"}}, "needs {tag}"),
        ({"environment": {"GITHUB_REF": "refs/tags/v1"}}, "needs {name}, which is not known\n  fix: set `name`"),
        ({"prefix": "{sha}/", "commit": ""}, "needs {sha}"),
        ({"tag": "../v1"}, "makes no sound key"),
        ({"tag": "v1/"}, "makes no sound key"),
        ({"tag": "v\u202e1"}, "makes no sound key"),
    ],
)
def test_a_prefix_that_cannot_be_filled_is_refused(given, words):
    with pytest.raises(PublishError) as caught:
        of(**given)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "a\udc80b", "a\u202eb"], ids=ascii)
def test_names_that_no_listing_could_show_are_refused(name):
    with pytest.raises(PublishError, match="is no sound key"):
        of().key(name)


@pytest.mark.parametrize(("name", "fits"), [("x" * 1015, True), ("x" * 1016, False), ("ä" * 508, False)])
def test_keys_are_at_most_1024_bytes(name, fits):
    where = of(prefix="{tag}/", tag="v1234567")
    if fits:
        assert where.key(name) == f"v1234567/{name}"
    else:
        with pytest.raises(PublishError, match="more than 1024 bytes"):
            where.key(name)

"""Several publishers at the index at once, on a server that knows If-Match."""

from concurrent.futures import ThreadPoolExecutor

from converter.publish import finished


def test_versions_published_at_once_are_all_entered(shelf, make_dist, in_child):
    dist = make_dist()
    tags = [f"v{n}" for n in range(6)]
    with ThreadPoolExecutor(len(tags)) as threads:
        codes = list(threads.map(lambda tag: in_child(lambda: shelf.publish(dist, tag=tag)), tags))
    assert codes == [0] * len(tags)
    index = shelf.json("net/index.json")
    assert sorted(version["version"] for version in index["versions"]) == tags
    named = next(version for version in index["versions"] if version["version"] == index["latest"])
    assert shelf.json("net/latest.json") == {"schema": 1, "name": "net"} | named


def test_an_index_that_changed_meanwhile_is_read_again(shelf, make_dist):
    publisher = shelf.publisher(tag="v1")
    dist = make_dist()
    others = [lambda: shelf.publish(dist, tag="v2"), lambda: shelf.publish(dist, tag="v3")]

    def another_first(request, **_):
        if others and request.url.endswith(("index.json", "latest.json")):
            others.pop(0)()

    publisher._bucket._client.meta.events.register("before-send.s3.PutObject", another_first)
    publisher.publish(finished(dist), lambda *_: None)
    index = shelf.json("net/index.json")
    assert {version["version"] for version in index["versions"]} == {"v1", "v2", "v3"}
    assert shelf.read_latest() == index["latest"]

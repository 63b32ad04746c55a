def actions(published):
    return {file.name: file.action for file in published.files}


def test_a_release_is_drafted_filled_checked_and_only_then_published(hub, publish, make_dist, files):
    dist = make_dist()
    published = publish(dist)
    assert hub.files() == files(dist)
    (release,) = hub.releases.values()
    assert not release["draft"]
    assert release["tag_name"] == release["name"] == "v1"
    writes = [s.method for s in hub.seen if s.method != "GET"]
    assert writes == ["POST", *["POST"] * 5, "PATCH"]
    assert published.target == "github owner/repo v1"
    assert published.outputs["release_id"] == str(release["id"])
    assert published.outputs["release_url"].endswith("/releases/tag/v1")
    assert set(actions(published).values()) == {"uploaded"}
    assert all("/download/v1/" in file.url for file in published.files)

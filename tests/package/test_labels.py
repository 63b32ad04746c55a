import json

from converter.package.labels import write_labels


def test_labels_keep_their_order_and_their_letters(tmp_path):
    labels = ["tench", "crâne", "a\u2028b", '"quoted"']
    write_labels(labels, tmp_path / "l.txt", tmp_path / "l.json")
    assert (tmp_path / "l.txt").read_bytes().decode().split("\n") == [*labels, ""]
    assert json.loads((tmp_path / "l.json").read_bytes()) == labels

"""Which models are whose: parsed, read from batch engines, and shared out."""

import hashlib
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.errors import ManifestError
from converter.manifest import read_manifest
from converter.shards import (
    MODEL_BYTES,
    ROOM_PERCENT,
    UNKNOWN_BYTES,
    Shard,
    balanced,
    place,
    shard_from,
    shard_of,
    size_bytes,
)

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(("text", "shard"), [("1/4", Shard(1, 4)), ("4/4", Shard(4, 4)), ("1/1", Shard(1, 1))])
def test_a_shard_is_written_as_it_is_read(text, shard):
    assert shard_of(text) == shard
    assert str(shard) == text
    assert shard.file_name == text.replace("/", "-of-")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no I/N"),
        ("2", "no I/N"),
        ("/4", "no I/N"),
        ("2/", "no I/N"),
        ("a/b", "no I/N"),
        ("-1/4", "no I/N"),
        ("1/2/3", "no I/N"),
        ("1.0/4", "no I/N"),
        ("²/4", "no I/N"),
        ("1/9999999999", "no I/N"),
        ("0/4", "shards count from 1 to 4, this is 0"),
        ("5/4", "shards count from 1 to 4, this is 5"),
        ("1/0", "0 shards"),
        ("1/10001", "10001 shards"),
    ],
)
def test_what_is_no_shard_is_refused_with_what_is_wrong(text, words):
    with pytest.raises(ManifestError, match=re.escape(words)) as error:
        shard_of(text)
    assert f"--shard {text}" in str(error.value)


KUBERNETES = ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS")
BATCH = ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE")
GITHUB = ("STRATEGY_JOB_INDEX", "STRATEGY_JOB_TOTAL")
ENGINES = pytest.mark.parametrize("names", [KUBERNETES, BATCH, GITHUB], ids=lambda names: names[0])


@ENGINES
def test_a_batch_engine_says_the_shard_counted_from_0(names):
    assert shard_from(dict(zip(names, ("0", "4"), strict=True))) == Shard(1, 4)
    assert shard_from(dict(zip(names, ("3", "4"), strict=True))) == Shard(4, 4)
    assert shard_from(dict.fromkeys(names, "")) is None


def test_without_a_batch_engine_there_is_no_shard():
    assert shard_from({"PATH": "/bin"}) is None


@ENGINES
@pytest.mark.parametrize(
    ("index", "total", "words"),
    [
        ("3", "", "{index} is 3, but {total} is not set"),
        ("", "4", "{total} is 4, but {index} is not set"),
        ("4", "4", "{index}=4 with {total}=4: the index counts from 0"),
        ("one", "4", "{index}=one with {total}=4: these are no numbers"),
        ("-1", "4", "these are no numbers"),
        ("0", "0", "the index counts from 0"),
        ("0", "10001", "10001 shards"),
    ],
)
def test_what_an_engine_says_by_half_or_wrongly_is_refused(names, index, total, words):
    with pytest.raises(ManifestError, match=re.escape(words.format(index=names[0], total=names[1]))) as error:
        shard_from({names[0]: index, names[1]: total})
    assert error.value.fix


def test_two_engines_at_once_are_refused():
    both = {KUBERNETES[0]: "0", KUBERNETES[1]: "2", GITHUB[0]: "1", GITHUB[1]: "3"}
    with pytest.raises(ManifestError, match=r"Kubernetes \(1/2\) and GitHub \(2/3\) both say"):
        shard_from(both)


WEIGHTS = st.dictionaries(
    st.text("abcdefgh-0123456789", min_size=1, max_size=12), st.integers(MODEL_BYTES, 10**11), min_size=1, max_size=60
)
TOTALS = st.integers(1, 40)


def loads(weights, total):
    found = [0] * total
    for name, at in place(weights, total).items():
        found[at] += weights[name]
    return found


@given(WEIGHTS, TOTALS)
@settings(deadline=None)
def test_every_model_has_one_shard_and_no_shard_is_too_heavy(weights, total):
    chosen = place(weights, total)
    assert chosen.keys() == weights.keys()
    assert all(0 <= at < total for at in chosen.values())
    average, largest = sum(weights.values()) / total, max(weights.values())
    assert max(loads(weights, total)) <= max(average * (1 + ROOM_PERCENT / 100), average + largest)


@given(WEIGHTS, TOTALS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_manifest_does_not_matter(weights, total, order):
    names = list(weights)
    order.shuffle(names)
    assert place({name: weights[name] for name in names}, total) == place(weights, total)


@given(st.integers(1, 40), st.integers(MODEL_BYTES, 10**9))
@settings(deadline=None)
def test_as_many_shards_as_models_of_one_size_give_one_model_each(count, weight):
    assert loads({f"model-{i}": weight for i in range(count)}, count) == [weight] * count


def test_many_models_stand_within_the_stated_room_and_few_move_when_one_is_added():
    """The figures of docs/scale.md, with room for other seeds; longest first alone moves a third to all of them."""
    chance = random.Random(0)
    for count, total in ((100, 4), (500, 20), (2000, 100)):
        weights = {f"model-{i}": MODEL_BYTES + int(chance.lognormvariate(17, 1.2)) for i in range(count)}
        before = place(weights, total)
        ideal = max(max(weights.values()), sum(weights.values()) / total)
        assert max(loads(weights, total)) <= ideal * (1 + ROOM_PERCENT / 100)
        moved = []
        for new in range(5):
            after = place({**weights, f"new-{new}": chance.choice(list(weights.values()))}, total)
            moved.append(sum(after[name] != before[name] for name in before) / count)
        assert sum(moved) / len(moved) < 0.12


def test_one_shard_more_moves_about_its_share_of_light_models():
    weights = {f"model-{i}": MODEL_BYTES for i in range(1000)}
    before, after = place(weights, 20), place(weights, 21)
    assert sum(after[name] != before[name] for name in before) < 250


def test_the_answer_is_the_same_in_another_process_with_another_hash_seed():
    code = (
        "from converter.shards import place; print(sorted(place({f'm{i}': 10**7 + i for i in range(50)}, 7).items()))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {f"{sorted(place({f'm{i}': 10**7 + i for i in range(50)}, 7).items())}\n"}


def test_the_answer_stays_what_it_was():
    """Machines of several releases may work on one manifest; a change here is a change for them."""
    chosen = place({f"model-{i}": MODEL_BYTES * (1 + i) for i in range(12)}, 4)
    assert list(chosen.values()) == [1, 0, 0, 1, 3, 2, 2, 2, 3, 3, 3, 3]


SHA = "0" * 64


def test_sizes_are_those_of_the_files_and_models_keep_the_manifests_order(tmp_path):
    (tmp_path / "nets.py").write_text("def net(): ...\n")
    (tmp_path / "net.pth").write_bytes(b"x" * 1000)
    (tmp_path / "net.onnx").write_bytes(b"x" * 2000)
    (tmp_path / "net.onnx.data").write_bytes(b"x" * 5000)
    digest = hashlib.sha256(b"x" * 2000).hexdigest()
    (tmp_path / "models.yml").write_text(
        f"""
defaults: {{inputs: [{{name: x, tensor: {{shape: [1, 3]}}}}]}}
models:
  - {{name: onnx, source: {{onnx: {{path: net.onnx, sha256: {digest}}}}}}}
  - {{name: factory, source: {{factory: "nets.py:net", checkpoint: net.pth}}}}
  - {{name: unknown, source: {{factory: "nets.py:net"}}}}
  - {{name: elsewhere, source: {{onnx: {{url: "https://example.com/a.onnx", sha256: {SHA}}}}}}}
  - {{name: torchvision, source: {{torchvision: mobilenet_v2}}, inputs: [{{name: x, image: {{}}}}]}}
"""
    )
    models = read_manifest(tmp_path / "models.yml").models
    assert {model.name: size_bytes(model) for model in models} == {
        "onnx": 7000,
        "factory": 1000,
        "unknown": UNKNOWN_BYTES,
        "elsewhere": UNKNOWN_BYTES,
        "torchvision": 4 * 3_504_872,
    }
    names = [model.name for model in models]
    for total in (1, 2, 9):
        shards = [[model.name for model in shard] for shard in balanced(models, total)]
        assert len(shards) == total
        assert sorted(name for shard in shards for name in shard) == sorted(names)
        assert all(shard == [name for name in names if name in shard] for shard in shards)
    assert [] in [list(shard) for shard in balanced(models, 9)]

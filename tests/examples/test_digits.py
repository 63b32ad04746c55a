import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from sklearn.datasets import load_digits

HELD_OUT_ACCURACY = re.compile(r"held-out accuracy: (\d+) of 360 = [\d.]+%")


@pytest.fixture(scope="module")
def folder(examples):
    return examples / "digits"


@pytest.fixture(scope="module")
def held_out(folder):
    with np.load(folder / "heldout.npz") as file:
        return file["image"], file["labels"]


@pytest.fixture(scope="module")
def entry(examples):
    manifest = yaml.safe_load((examples / "models.yml").read_text(encoding="utf-8"))
    return next(model for model in manifest["models"] if model["name"] == "digits")


@pytest.fixture(scope="module")
def retrained(folder, tmp_path_factory):
    """What the committed script writes and prints, run twice at once."""
    outputs = [tmp_path_factory.mktemp("digits") for _ in range(2)]
    runs = [
        subprocess.Popen(
            [sys.executable, folder / "train.py", "--output", output],
            env=os.environ | {"OMP_NUM_THREADS": threads},
            stdout=subprocess.PIPE,
            text=True,
        )
        for output, threads in zip(outputs, ("1", "2"), strict=True)
    ]
    printed = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    return outputs, printed


def test_the_committed_weights_have_the_accuracy_that_the_readme_states(digits_model, folder, held_out, entry):
    """Pixels are normalised by the manifest's numbers, so these are the numbers of the training."""
    network = digits_model.build()
    network.load_state_dict(load_file(folder / "digits.safetensors"))
    pixels, labels = held_out
    normalize = entry["inputs"][0]["image"]["normalize"]
    images = (torch.from_numpy(pixels).float()[:, None] / 255 - normalize["mean"][0]) / normalize["std"][0]
    with torch.inference_mode():
        answers = network.eval()(images).argmax(1)
    names = np.array((folder / "labels.txt").read_text(encoding="utf-8").splitlines())
    correct = int((names[answers.numpy()] == labels).sum())
    assert correct / 360 >= 0.98
    assert f"held-out accuracy: {correct} of 360 = {correct / 360:.2%}" in (folder / "README.md").read_text()


def test_the_script_trains_a_network_as_accurate_again(retrained):
    found = HELD_OUT_ACCURACY.search(retrained[1][0])
    assert found is not None
    assert int(found[1]) / 360 >= 0.98


@pytest.mark.parametrize("name", ["heldout.npz", "labels.txt"])
def test_the_script_writes_the_committed_bytes(retrained, folder, name):
    assert (retrained[0][0] / name).read_bytes() == (folder / name).read_bytes()


def test_two_trainings_give_the_same_weights(retrained):
    """On one machine: another processor may sum in another order, so the committed bytes are not asked for."""
    first, second = ((output / "digits.safetensors").read_bytes() for output in retrained[0])
    assert first == second


def test_the_held_out_pictures_are_scikit_learns_digits(held_out):
    digits = load_digits()
    pairs = zip(digits.images.astype(np.uint8), digits.target, strict=True)
    known = {picture.tobytes(): target for picture, target in pairs}
    pixels, labels = held_out
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    assert (pixels.shape, pixels.dtype, labels.shape) == ((360, 8, 8), np.uint8, (360,))
    assert set(labels) == set(names)
    for picture, label in zip(pixels, labels, strict=True):
        assert names[known[np.round(picture * (16 / 255)).astype(np.uint8).tobytes()]] == label


def test_the_weights_are_small(folder):
    assert (folder / "digits.safetensors").stat().st_size < 300_000


def test_the_manifest_normalises_by_the_training_pictures_mean_and_deviation(entry):
    pixels = load_digits().images / 16
    normalize = entry["inputs"][0]["image"]["normalize"]
    assert normalize["mean"][0] == pytest.approx(pixels.mean(), abs=0.01)
    assert normalize["std"][0] == pytest.approx(pixels.std(), abs=0.01)

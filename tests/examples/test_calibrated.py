import hashlib
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image
from torchvision.models import MobileNet_V2_Weights, ResNet18_Weights
from torchvision.transforms.functional import normalize, to_tensor

NAMES = ["mobilenet_v2", "resnet18"]
# An oracle for the photographs: the transforms that torchvision's own weights come with.
TRANSFORMS = {
    "mobilenet_v2": MobileNet_V2_Weights.IMAGENET1K_V1.transforms(),
    "resnet18": ResNet18_Weights.IMAGENET1K_V1.transforms(),
}
PRINT_HASHES = """
import hashlib
from calibrated import build
for name in ("mobilenet_v2", "resnet18"):
    weights = b"".join(tensor.numpy().tobytes() for tensor in build(name).state_dict().values())
    print(name, hashlib.sha256(weights).hexdigest())
"""


@pytest.fixture(scope="module")
def hashes_of_another_process(examples):
    run = subprocess.run(
        [sys.executable, "-c", PRINT_HASHES],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(examples)},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split() for line in run.stdout.splitlines())


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_the_same_in_another_process_with_other_threads(networks, hashes_of_another_process, name):
    weights = b"".join(tensor.numpy().tobytes() for tensor in networks[name].state_dict().values())
    assert hashlib.sha256(weights).hexdigest() == hashes_of_another_process[name]


@pytest.mark.parametrize("name", NAMES)
def test_different_pictures_get_different_answers(networks, calibrated, name):
    pictures = [normalize(to_tensor(p), calibrated.MEAN, calibrated.STD) for p in calibrated.calibration_pictures(0)]
    with torch.inference_mode():
        answers = networks[name](torch.stack(pictures)).argmax(1)
    assert len(pictures) == 24
    assert answers.unique().numel() >= 12


@pytest.mark.parametrize("name", NAMES)
def test_the_photographs_get_different_answers_as_an_app_crops_them(networks, examples, name):
    photographs = [Image.open(examples / "images" / file) for file in ("china.jpg", "flower.jpg")]
    with torch.inference_mode():
        logits = networks[name](torch.stack([TRANSFORMS[name](photograph) for photograph in photographs]))
    assert logits.argmax(1).unique().numel() == 2
    assert 1 < logits.std() < 10


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_ready_to_convert(networks, name):
    network = networks[name]
    assert not network.training
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values())
    assert not any(tensor.is_inference() for tensor in network.state_dict().values())


def test_a_network_that_answers_the_same_to_everything_is_refused(calibrated, monkeypatch):
    monkeypatch.setattr(calibrated, "_spread_answers", lambda network, pictures: None)
    with pytest.raises(RuntimeError, match=r"resnet18 with seed 0 gives \d+ different top-1 answers for 24 pictures"):
        calibrated.build("resnet18")


def test_threads_and_random_numbers_are_left_as_they_were(calibrated):
    torch.manual_seed(7)
    expected = torch.rand(3)
    threads = torch.get_num_threads()
    torch.manual_seed(7)
    calibrated.build("resnet18")
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads

import errno
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
import torch
import torchvision.models as models

from converter.errors import DownloadError, SourceError
from converter.load import torchvision
from converter.manifest.schema import TorchvisionSource

WEIGHTS = models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1


def build(name: str, **said: Any) -> torchvision.Loaded:
    return torchvision.build(TorchvisionSource(torchvision=name, **said))


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, sha256: Callable[[bytes], str]) -> tuple[str, bytes]:
    """Weights at an address, seeded, named by their own sum as torch.hub wants it."""
    torch.manual_seed(3)
    buffer = io.BytesIO()
    torch.save(models.shufflenet_v2_x0_5(weights=None).state_dict(), buffer)
    content = buffer.getvalue()
    url = f"https://download.example.com/shufflenet-{sha256(content)[:10]}.pth"
    monkeypatch.setattr(WEIGHTS.value, "url", url)
    return url, content


@responses.activate
def test_weights_are_fetched_into_the_folder_of_torch_hub_and_kept(
    published: tuple[str, bytes], sha256: Callable[[bytes], str], tmp_path: Path
) -> None:
    url, content = published
    responses.get(url, body=content)
    first = build("shufflenet_v2_x0_5")
    again = build("shufflenet_v2_x0_5", weights="IMAGENET1K_V1")
    assert len(responses.calls) == 1
    assert (tmp_path / "torch-home/hub/checkpoints" / url.rsplit("/", 1)[-1]).read_bytes() == content
    expected = torch.load(io.BytesIO(content), weights_only=True)
    for loaded in (first, again):
        assert all(torch.equal(loaded.module.state_dict()[k], v) for k, v in expected.items())
        assert [(f.origin, f.sha256) for f in loaded.files] == [(url, sha256(content))]
    assert first.categories[:2] == ("tench", "goldfish")


@responses.activate
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"body": requests.exceptions.ConnectionError("no route")}, "could not be fetched after 4 attempts"),
        ({"status": 404}, "answered 404"),
        ({"body": b"something else"}, "has sha256 .*, which does not begin with"),
    ],
)
def test_a_download_that_fails_says_the_address_and_the_ways_out(
    answer: dict[str, Any], words: str, published: tuple[str, bytes], tmp_path: Path
) -> None:
    url, _ = published
    responses.get(url, **answer)
    with pytest.raises(DownloadError, match=words) as caught:
        build("shufflenet_v2_x0_5")
    assert url in caught.value.problem
    assert str(tmp_path / "torch-home/hub/checkpoints") in caught.value.fix
    assert not [path for path in (tmp_path / "torch-home").rglob("*") if path.is_file()]


def test_a_damaged_file_in_the_folder_of_torch_hub_is_refused(published: tuple[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "torch-home/hub/checkpoints" / published[0].rsplit("/", 1)[-1]
    path.parent.mkdir(parents=True)
    path.write_bytes(published[1][:-1])
    with pytest.raises(SourceError, match="is damaged: its sha256 does not begin with"):
        build("shufflenet_v2_x0_5")


@responses.activate
def test_published_weights_that_want_to_run_code_are_refused(
    monkeypatch: pytest.MonkeyPatch, sha256: Callable[[bytes], str], tmp_path: Path
) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.mkdir, (tmp_path / "ran",)

    buffer = io.BytesIO()
    torch.save(Evil(), buffer)
    url = f"https://download.example.com/shufflenet-{sha256(buffer.getvalue())[:10]}.pth"
    monkeypatch.setattr(WEIGHTS.value, "url", url)
    responses.get(url, body=buffer.getvalue())
    with pytest.raises(SourceError, match="is a pickle that wants to call"):
        build("shufflenet_v2_x0_5")
    assert not (tmp_path / "ran").exists()


PRESETS = [
    ("mobilenet_v2", "IMAGENET1K_V1", (224, 224), 256, "bilinear"),
    ("mobilenet_v2", "IMAGENET1K_V2", (224, 224), 232, "bilinear"),
    ("inception_v3", "DEFAULT", (299, 299), 342, "bilinear"),
    ("efficientnet_b1", "IMAGENET1K_V2", (240, 240), 255, "bilinear"),
    ("efficientnet_b0", "DEFAULT", (224, 224), 256, "bicubic"),
    ("vit_h_14", "IMAGENET1K_SWAG_E2E_V1", (518, 518), 518, "bicubic"),
]


@pytest.mark.parametrize(("name", "weights", "size", "shorter_side", "interpolation"), PRESETS)
def test_a_preset_is_that_of_the_weights(
    name: str, weights: str, size: tuple[int, int], shorter_side: int, interpolation: str
) -> None:
    """Sizes as in torchvision's table of weights."""
    found = torchvision._preset(models.get_model_weights(name)[weights].transforms())
    assert found == torchvision.Preset(
        size=size,
        shorter_side=shorter_side,
        interpolation=interpolation,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )


def test_every_classification_model_has_a_preset_with_size_and_categories() -> None:
    without = [
        f"{name} {weights.name}"
        for name in models.list_models(models)
        for weights in models.get_model_weights(name)
        if (preset := torchvision._preset(weights.transforms())) is None
        or preset.size is None
        or not 0 < len(weights.meta["categories"] or ()) == len(set(weights.meta["categories"] or ()))
    ]
    assert without == ["vgg16 IMAGENET1K_FEATURES"]  # its head is not trained, says torchvision


def test_without_weights_the_metadata_is_that_of_the_default_and_nothing_is_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torchvision.download, "fetch", None)
    first, second = build("shufflenet_v2_x0_5", weights=None), build("shufflenet_v2_x0_5", weights=None)
    assert first.preset is not None
    assert first.preset.size == (224, 224)
    assert len(first.categories) == 1000
    assert first.files == ()
    assert first.notes == ("weights: null, so the weights of shufflenet_v2_x0_5 are random (seeded)",)
    assert all(torch.equal(a, b) for a, b in zip(first.module.parameters(), second.module.parameters(), strict=True))


def test_segmentation_without_weights_fetches_no_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.download, "fetch", None)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", None)
    loaded = build("lraspp_mobilenet_v3_large", weights=None)
    assert loaded.preset is not None
    assert loaded.preset.size is None


@pytest.mark.filterwarnings("ignore:The default weight initialization")
@pytest.mark.parametrize(("weights", "expected"), [("DEFAULT", True), (None, False)])
def test_a_checkpoint_replaces_the_download_and_keeps_the_weights_own_input_transform(
    weights: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision.download, "fetch", None)
    loaded = build("googlenet", weights=weights, checkpoint="net.pth")
    assert loaded.module.transform_input is expected
    assert loaded.notes == ()


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SourceError, match="has no model 'mobilenet_v9'"):
        build("mobilenet_v9")
    with pytest.raises(SourceError, match="mobilenet_v2 has no weights 'IMAGENET1K_V9'") as caught:
        build("mobilenet_v2", weights="IMAGENET1K_V9")
    assert "DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2, or null" in caught.value.fix


def test_a_folder_of_torch_hub_that_cannot_be_written_is_said(published: tuple[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "torch-home").write_text("")
    with pytest.raises(SourceError, match="cannot be written") as caught:
        build("shufflenet_v2_x0_5")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno in (errno.ENOTDIR, errno.EEXIST)

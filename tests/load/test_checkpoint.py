import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from converter.errors import SourceError
from converter.load import checkpoint


class Net(torch.nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = torch.nn.Conv2d(3, width, 3)
        self.norm = torch.nn.BatchNorm2d(width)
        self.head = torch.nn.Linear(width, 2)


class Evil:
    """A pickle that would make a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def trained(width: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    return {key: value.clone() for key, value in Net(width).state_dict().items()}


def fits(content: Any, tmp_path: Path, suffix: str = ".pth", **options: Any) -> tuple[str, ...]:
    path = tmp_path / f"net{suffix}"
    save_file(content, path) if suffix == ".safetensors" else torch.save(content, path, **options)
    net = Net()
    notes = checkpoint.load_into(net, path, path.name)
    assert all(torch.equal(net.state_dict()[key], value) for key, value in trained().items())
    return notes


def refuses(content: Any, tmp_path: Path) -> str:
    path = tmp_path / "net.pth"
    torch.save(content, path)
    with pytest.raises(SourceError) as caught:
        checkpoint.load_into(Net(), path, "net.pth")
    return str(caught.value)


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in trained().items()}


FROM = "net.pth: the weights were taken from its entry"
OFF = "was taken off every key"


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (trained(), ()),
        ({"state_dict": trained(), "epoch": 3}, (f"{FROM} 'state_dict'",)),
        ({"model": trained(), "optimizer": {"lr": 0.1}}, (f"{FROM} 'model'",)),
        ({"model": {"state_dict": trained()}}, (f"{FROM} 'model'", f"{FROM} 'state_dict'")),
        ({"state_dict": trained(), "best": torch.tensor(0.9)}, (f"{FROM} 'state_dict'",)),
        (prefixed("module."), (f"net.pth: the prefix 'module.' {OFF}",)),
        (
            {"state_dict": prefixed("model._orig_mod.")},
            (f"{FROM} 'state_dict'", f"net.pth: the prefix 'model.' {OFF}", f"net.pth: the prefix '_orig_mod.' {OFF}"),
        ),
        ({k: v.half() if v.is_floating_point() else v for k, v in trained().items()}, None),
        ({k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in trained().items()}, ()),
        ({k: v for k, v in trained().items() if "num_batches" not in k}, ()),
    ],
)
def test_a_state_dict_is_found_and_what_was_taken_off_is_noted(
    content: Any, notes: tuple[str, ...] | None, tmp_path: Path
) -> None:
    if notes is None:  # float16 weights are widened, not refused
        path = tmp_path / "net.pth"
        torch.save(content, path)
        net = Net()
        assert checkpoint.load_into(net, path, "net.pth") == ()
        torch.testing.assert_close(net.head.weight, trained()["head.weight"], atol=1e-3, rtol=1e-3)
        assert net.head.weight.dtype == torch.float32
    else:
        assert fits(content, tmp_path) == notes


def test_safetensors_and_the_older_format_of_torch_are_read(tmp_path: Path) -> None:
    assert fits(trained(), tmp_path, ".safetensors") == ()
    assert fits(trained(), tmp_path, _use_new_zipfile_serialization=False) == ()


def test_everything_that_does_not_fit_is_said_at_once(tmp_path: Path) -> None:
    state = trained(width=5)
    del state["norm.bias"]
    state["extra.weight"] = torch.zeros(1)
    words = refuses(state, tmp_path)
    assert "1 missing: norm.bias" in words
    assert "1 unexpected: extra.weight" in words
    assert "6 of another shape or type" in words
    assert "body.weight is float32 [5, 3, 3, 3], the model has float32 [4, 3, 3, 3]" in words
    assert "factory" in words


def test_a_long_list_is_shortened(tmp_path: Path) -> None:
    words = refuses({f"layer{i}": torch.zeros(1) for i in range(50)}, tmp_path)
    assert "50 unexpected: layer0, " in words
    assert "and 42 more" in words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 3, "lr": 0.1}, "holds no state dict: its keys are 'epoch', 'lr'"),
        (torch.zeros(3), "holds a Tensor, not a state dict"),
        ([torch.zeros(3)], "holds a list, not a state dict"),
        (trained() | {"head.bias": 3}, "head.bias is an int, the model has float32 [2]"),
        (trained() | {"head.bias": torch.zeros(2, dtype=torch.int8)}, "head.bias is int8 [2], the model has float32"),
    ],
)
def test_anything_else_is_refused(content: Any, words: str, tmp_path: Path) -> None:
    assert words in refuses(content, tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_wants_to_run_code_is_refused_by_name(zipped: bool, protocol: int, tmp_path: Path) -> None:
    path, ran = tmp_path / "net.pth", tmp_path / "ran"
    content = {"state_dict": trained(), "note": Evil(ran)}
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with pytest.raises(SourceError, match=r"net\.pth is a pickle that wants to call posix\.mkdir; it was not run"):
        checkpoint.load_into(Net(), path, "net.pth")
    assert not ran.exists()


def test_no_environment_variable_lets_a_pickle_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path, ran = tmp_path / "net.pth", tmp_path / "ran"
    torch.save(Evil(ran), path)
    with pytest.raises(SourceError, match="wants to call"):
        checkpoint.read(path, "net.pth")
    assert not ran.exists()


def test_a_plain_pickle_that_wants_to_run_code_is_refused_by_name(tmp_path: Path) -> None:
    path, ran = tmp_path / "net.pth", tmp_path / "ran"
    path.write_bytes(pickle.dumps(Evil(ran)))
    with pytest.raises(SourceError, match=r"wants to call posix\.mkdir"):
        checkpoint.read(path, "net.pth")
    assert not ran.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.nn.Linear(2, 2), "a whole pickled model"),
        ({"state_dict": trained(), "accuracy": np.float64(0.9)}, r"save only the tensors"),
    ],
)
def test_a_harmless_pickle_is_refused_with_the_way_out(content: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(content, path)
    with pytest.raises(SourceError, match="wants to call") as caught:
        checkpoint.read(path, "net.pth")
    assert words in caught.value.fix


def test_a_torchscript_archive_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(SourceError, match=r"net\.pt is a TorchScript archive"):
        checkpoint.read(path, "net.pt")


def whole(kind: str) -> bytes:
    if kind == "safetensors":
        from safetensors.torch import save

        return save(trained())
    buffer = io.BytesIO()
    torch.save(trained(), buffer, _use_new_zipfile_serialization=kind == "zip")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_file_that_breaks_off_is_refused(kind: str, share: float, tmp_path: Path) -> None:
    content = whole(kind)
    path = tmp_path / ("net.safetensors" if kind == "safetensors" else "net.pth")
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SourceError, match="is not a readable state dict"):
        checkpoint.read(path, path.name)


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_text("<html>not found</html>")
    with pytest.raises(SourceError, match="is not a readable state dict"):
        checkpoint.read(path, path.name)

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture(scope="session")
def examples() -> Path:
    return Path(__file__).parents[2] / "examples"


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def calibrated(examples) -> ModuleType:
    return load_module(examples / "calibrated.py")


@pytest.fixture(scope="session")
def digits_model(examples) -> ModuleType:
    return load_module(examples / "digits" / "model.py")


@pytest.fixture(scope="session")
def networks(calibrated) -> dict[str, torch.nn.Module]:
    """The calibrated networks by name, built while torch may use two threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        return {name: calibrated.build(name) for name in ("mobilenet_v2", "resnet18")}
    finally:
        torch.set_num_threads(threads)

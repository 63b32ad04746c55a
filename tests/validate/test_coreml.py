import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import coremltools
import numpy as np
import pytest

from converter.errors import EvaluationError, ManifestError
from converter.validate import coreml


@pytest.fixture
def model(monkeypatch):
    """coremltools' own class, signatures held, without what is inside."""
    spec = mock.create_autospec(coremltools.models.MLModel)
    monkeypatch.setattr(coremltools.models, "MLModel", spec)
    return spec


def test_a_model_is_loaded_from_its_path_for_the_cpu_alone(model):
    coreml.CoreML(Path("net.mlpackage"))
    model.assert_called_once_with("net.mlpackage", compute_units=coremltools.ComputeUnit.CPU_ONLY)


def test_other_compute_units_can_be_asked_for(model):
    coreml.CoreML(Path("net.mlpackage"), "CPU_AND_GPU")
    assert model.call_args.kwargs["compute_units"] is coremltools.ComputeUnit.CPU_AND_GPU


def test_inputs_are_handed_over_in_a_dictionary_of_their_own(model):
    """coremltools exchanges values in the dictionary that it is given."""
    given = {"x": np.zeros(3, np.float16)}
    model.return_value.predict.side_effect = lambda data: data.update(x=1) or {"y": 2}
    assert coreml.CoreML(Path("net.mlmodel")).predict(given, outputs=["y"]) == {"y": 2}
    assert given["x"].shape == (3,)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (RuntimeError("Error compiling model: x"), "Core ML refuses: Error compiling model: x"),
        (Exception("The specification has version 10 but"), "Core ML refuses: The specification has version 10"),
        (KeyError("Provided key"), "Core ML refuses: KeyError: 'Provided key'"),
        (TypeError("must be of type PIL"), "Core ML refuses: TypeError: must be of type PIL"),
    ],
)
def test_what_coremltools_raises_is_an_error_with_its_words(model, raised, said):
    model.return_value.predict.side_effect = raised
    with pytest.raises(EvaluationError, match=said) as caught:
        coreml.CoreML(Path("net.mlmodel")).predict({})
    assert caught.value.__cause__ is raised


def test_a_model_that_core_ml_refuses_to_load_is_an_error_at_once(model):
    def refuse(path, compute_units):
        try:
            raise RuntimeError("Error compiling model: y")
        except RuntimeError as error:  # as coremltools 9.0 does, MLModel._get_proxy_and_spec
            words = "You will not be able to run predict() on this Core ML model. Underlying exception message was: "
            warnings.warn(words + str(error), RuntimeWarning, stacklevel=1)

    model.side_effect = refuse
    with pytest.raises(EvaluationError, match=r"^Core ML refuses: Error compiling model: y"):
        coreml.CoreML(Path("net.mlmodel"))


class Finder:
    def find_spec(self, name, path, target=None):
        return SimpleNamespace() if name == "coremltools.libcoremlpython" else None


def test_core_ml_is_there_where_coremltools_has_its_bridge(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    coreml.require()


@pytest.mark.parametrize(
    ("system", "installed", "said"),
    [
        ("linux", True, "needs macOS"),
        ("linux", False, "needs macOS"),
        ("darwin", True, "needs coremltools, which has no bridge to Core ML"),
        ("darwin", False, "needs coremltools, which is not installed"),
    ],
)
def test_elsewhere_it_is_refused_with_the_way_out(monkeypatch, system, installed, said):
    package = SimpleNamespace(submodule_search_locations=["/nowhere"]) if installed else None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: package)
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(ManifestError, match=said):
        coreml.require()


def test_the_machine_is_named_with_its_system_and_its_chip(monkeypatch):
    run = mock.create_autospec(subprocess.run, return_value=SimpleNamespace(stdout="Apple M1 (Virtual)\n"))
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    assert coreml.machine() == "macOS 15.1, Apple M1 (Virtual)"

import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import coremltools
import numpy as np
import pytest
from coremltools.models import compute_device, compute_plan

from converter.errors import EvaluationError, ManifestError
from converter.model import Placement
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


def test_the_time_of_loading_is_core_mls_own(model, monkeypatch):
    """Without the import of coremltools, which takes seconds."""
    clock = iter(range(0, 100, 10))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    model.side_effect = lambda *_, **settings: next(clock)
    assert coreml.CoreML(Path("net.mlpackage")).load_s == 20


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


def value(name):
    return compute_plan.MLModelStructureProgramNamedValueType(
        name=name, type=compute_plan.MLModelStructureProgramValueType()
    )


def operation(operator_name, name, *blocks):
    return compute_plan.MLModelStructureProgramOperation(
        inputs={}, operator_name=operator_name, outputs=[value(name)] if name else [], blocks=list(blocks), __proxy__=0
    )


def block(*operations):
    return compute_plan.MLModelStructureProgramBlock(inputs=[], operations=list(operations), output_names=[])


def program(*operations):
    main = compute_plan.MLModelStructureProgramFunction(inputs=[], block=block(*operations))
    return structure(program=compute_plan.MLModelStructureProgram(functions={"main": main}))


def network(*layers):
    made = [
        compute_plan.MLModelStructureNeuralNetworkLayer(
            name=name, type=kind, input_names=[], output_names=[], __proxy__=0
        )
        for kind, name in layers
    ]
    return structure(neuralnetwork=compute_plan.MLModelStructureNeuralNetwork(layers=made))


def structure(**kinds):
    return compute_plan.MLModelStructure(**{"neuralnetwork": None, "program": None, "pipeline": None, **kinds})


def usage(*devices):
    devices = [mock.create_autospec(device, instance=True) for device in devices]
    return compute_plan.MLComputePlanDeviceUsage(preferred_compute_device=devices[0], supported_compute_devices=devices)


CPU, GPU = compute_device.MLCPUComputeDevice, compute_device.MLGPUComputeDevice
NE = compute_device.MLNeuralEngineComputeDevice


@pytest.fixture
def plan(model, monkeypatch):
    """coremltools' own plan, signatures held; its structure is made of coremltools' own records."""
    model.return_value.get_compiled_model_path.return_value = "/tmp/net.mlmodelc"
    found = mock.create_autospec(compute_plan.MLComputePlan, instance=True)
    spec = mock.create_autospec(compute_plan.MLComputePlan)
    spec.load_from_path.return_value = found
    monkeypatch.setattr(compute_plan, "MLComputePlan", spec)
    found.loaded = spec.load_from_path
    return found


def test_a_plan_is_asked_for_by_the_compiled_model_and_for_the_same_compute_units(plan):
    plan.model_structure = network()
    assert coreml.placements(coreml.CoreML(Path("net.mlpackage"), "CPU_AND_NE")) == ()
    plan.loaded.assert_called_once_with("/tmp/net.mlmodelc", coremltools.ComputeUnit.CPU_AND_NE)


def test_a_program_is_placed_operation_by_operation_with_those_inside_and_without_constants(plan):
    plan.model_structure = program(
        operation("const", "weight"),
        operation("ios16.conv", "features"),
        operation("ios16.while_loop", "", block(operation("const", "one"), operation("ios16.add", "counter"))),
    )
    usages = {"ios16.conv": usage(NE, CPU, GPU), "ios16.add": usage(CPU)}
    plan.get_compute_device_usage_for_mlprogram_operation.side_effect = lambda o: usages.get(o.operator_name)
    costs = {"ios16.conv": compute_plan.MLComputePlanCost(weight=0.75)}
    plan.get_estimated_cost_for_mlprogram_operation.side_effect = lambda o: costs.get(o.operator_name)
    assert coreml.placements(coreml.CoreML(Path("net.mlpackage"))) == (
        Placement(
            op_type="conv",
            name="features",
            preferred="Neural Engine",
            supported=("Neural Engine", "CPU", "GPU"),
            cost=0.75,
        ),
        Placement(op_type="while_loop", name="", preferred=None),
        Placement(op_type="add", name="counter", preferred="CPU", supported=("CPU",)),
    )


def test_a_network_is_placed_layer_by_layer_and_without_costs(plan):
    plan.model_structure = network(("convolution", "features"), ("softmaxND", "probabilities"))
    usages = {"features": usage(GPU, CPU)}
    plan.get_compute_device_usage_for_neuralnetwork_layer.side_effect = lambda layer: usages.get(layer.name)
    assert coreml.placements(coreml.CoreML(Path("net.mlmodel"))) == (
        Placement(op_type="convolution", name="features", preferred="GPU", supported=("GPU", "CPU")),
        Placement(op_type="softmaxND", name="probabilities", preferred=None),
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda plan: setattr(plan.loaded, "side_effect", RuntimeError("needs macOS 14.4")),
            "Core ML refuses: needs macOS 14.4",
        ),
        (
            lambda plan: setattr(plan.get_estimated_cost_for_mlprogram_operation, "side_effect", KeyError("x")),
            "Core ML refuses: KeyError: 'x'",
        ),
        (
            lambda plan: setattr(
                plan.get_compute_device_usage_for_mlprogram_operation,
                "side_effect",
                lambda _: usage(compute_device.MLComputeDevice),
            ),
            "a compute device that is not known",
        ),
        (lambda plan: setattr(plan, "model_structure", structure()), "neither a program nor a neural network"),
    ],
)
def test_a_plan_that_cannot_be_read_is_an_error_with_its_words(plan, spoil, said):
    plan.model_structure = program(operation("ios16.add", "y"))
    plan.get_estimated_cost_for_mlprogram_operation.return_value = None
    plan.get_compute_device_usage_for_mlprogram_operation.return_value = None
    spoil(plan)
    with pytest.raises(EvaluationError, match=said):
        coreml.placements(coreml.CoreML(Path("net.mlpackage")))


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

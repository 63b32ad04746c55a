"""Values die with their last use, weights stay in the file, and compressed ones are unpacked once."""

import functools
import weakref
from pathlib import Path

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types

from converter.evaluate import load_model
from converter.evaluate.bundle import Bundle, Weights
from converter.evaluate.evaluated import EvaluatedModel
from converter.evaluate.mil import routine
from converter.evaluate.mil.table import ops

X = np.linspace(-1, 1, 8, dtype=np.float32)


@pytest.fixture
def saved(tmp_path):
    """Save a program made by the Builder, as it is written; give the loaded model."""

    def save(function, compute="float32", **more):
        model = ct.convert(
            function,
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS18,
            pass_pipeline=ct.PassPipeline(pass_names=more.get("passes", []), pipeline_name="as_written"),
            compute_precision=more.get("precision", ct.precision.FLOAT32),
            skip_model_load=True,
        )
        model.save(str(tmp_path / "m.mlpackage"))
        return load_model(tmp_path / "m.mlpackage", compute=compute)

    return save


@pytest.fixture
def alive(monkeypatch):
    """For each call, as it begins, the names of the values made before that are still alive."""
    seen, made = [], {}
    run = routine.Call.run

    def watched(call, values, blocks):
        seen.append((call.step.op_type, sorted(name for name, value in made.items() if value() is not None)))
        results = run(call, values, blocks)
        made.update((name, weakref.ref(r)) for (name, _), r in zip(call.step.outputs, results, strict=True))
        return results

    monkeypatch.setattr(routine.Call, "run", watched)
    return seen


@mb.program(input_specs=[mb.TensorSpec((8,))], opset_version=ct.target.iOS18)
def chain(x):
    a = mb.exp(x=x, name="a")
    b = mb.sin(x=a, name="b")
    mb.split(x=b, num_splits=2, axis=0, name="unused")
    c = mb.add(x=b, y=b, name="c")
    d = mb.mul(x=c, y=a, name="d")
    return mb.cos(x=d, name="y")


def test_no_value_outlives_its_last_use(saved, alive):
    saved(chain).predict({"x": X})
    assert alive == [("exp", []), ("sin", ["a"]), ("add", ["a", "b"]), ("mul", ["a", "c"]), ("cos", ["d"])]


def test_what_is_wanted_decides_how_long_values_live(saved, alive):
    answer = saved(chain).predict({"x": X}, outputs=["c"])
    assert alive == [("exp", []), ("sin", ["a"]), ("add", ["b"])]
    np.testing.assert_allclose(answer["c"], 2 * np.sin(np.exp(X)), rtol=1e-6)


def test_a_value_that_nothing_uses_dies_at_once(saved, alive):
    model = saved(chain)
    halves = [name for name in model.value_names() if name.startswith("unused")]
    model.predict({"x": X}, outputs=halves[:1])
    assert alive[-1] == ("split", ["b"])
    alive.clear()
    model.predict({"x": X}, outputs=[halves[0], "y"])
    assert [what for what, _ in alive] == ["exp", "sin", "split", "add", "mul", "cos"]
    assert halves[1] not in alive[3][1]


def test_each_wish_is_answered_whatever_was_wished_before(saved):
    model = saved(chain)
    for wanted in (["y"], ["a", "y"], ["d"], "all", ["y"]):
        answer = model.predict({"x": X}, outputs=wanted)
        assert set(answer) >= (set(wanted) if wanted != "all" else {"a", "b", "c", "d", "y"})
        for name, value in answer.items():
            if name == "d":
                np.testing.assert_allclose(value, 2 * np.sin(np.exp(X)) * np.exp(X), rtol=1e-5)


def test_values_around_a_loop_live_as_long_as_it_needs_them(saved, alive):
    @mb.program(input_specs=[mb.TensorSpec((8,))], opset_version=ct.target.iOS18)
    def loop(x):
        step = mb.exp(x=x, name="step")
        start = mb.sin(x=x, name="start")
        total = mb.while_loop(
            _cond=lambda v: mb.less(x=mb.reduce_max(x=v, keep_dims=False), y=20.0),
            _body=lambda v: [mb.add(x=v, y=step, name="grown")],
            loop_vars=(start,),
        )
        return mb.cos(x=total, name="y")

    answer = saved(loop).predict({"x": X})["y"]
    wanted = np.sin(X)
    while wanted.max() < 20:
        wanted = wanted + np.exp(X)
    np.testing.assert_allclose(answer, np.cos(wanted), rtol=1e-4, atol=1e-5)
    assert "step" not in alive[-1][1]
    assert all("step" in names for what, names in alive if what == "add")


@pytest.fixture
def given(monkeypatch):
    """Every weight that `linear` is called with."""
    weights = []
    op = ops.find("linear", 18)
    function = op.function

    @functools.wraps(function)
    def watched(x, weight, bias=None):
        weights.append(weight)
        return function(x, weight, bias)

    monkeypatch.setitem(op.__dict__, "function", watched)
    return weights


def _linear(dtype):
    weight = np.random.default_rng(0).standard_normal((64, 8)).astype(dtype)

    @mb.program(
        input_specs=[mb.TensorSpec((1, 8), dtype=types.fp16 if dtype is np.float16 else types.fp32)],
        opset_version=ct.target.iOS18,
    )
    def net(x):
        return mb.linear(x=x, weight=weight, bias=np.zeros(64, dtype), name="y")

    return net, weight


def _addresses(path):
    """The ranges of memory that this process maps the file to."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    lines = [line.split() for line in maps if line.endswith(str(path))]
    return [tuple(int(end, 16) for end in line[0].split("-")) for line in lines]


def test_float32_weights_are_the_mapped_file(saved, given):
    net, weight = _linear(np.float32)
    model = saved(net)
    for _ in range(2):
        model.predict({"x": X[None]})
    path = model.name + "/Data/com.apple.CoreML/weights/weight.bin"
    assert len(_addresses(path)) == 1
    for tensor in given:
        assert any(first <= tensor.data_ptr() < last for first, last in _addresses(path))
        np.testing.assert_array_equal(tensor.numpy(), weight)


def test_float16_weights_are_widened_once_in_float32_and_stay_mapped_in_float16(saved, given):
    net, weight = _linear(np.float16)
    model = saved(net)
    for _ in range(2):
        model.predict({"x": X[None]})
    assert given[0] is given[1]
    path = model.name + "/Data/com.apple.CoreML/weights/weight.bin"
    given.clear()
    half = load_model(model.name, compute="float16")
    references = []
    for _ in range(2):
        half.predict({"x": X[None]})
        np.testing.assert_array_equal(given[0].numpy(), weight.astype(np.float32))
        references.append(weakref.ref(given.pop()))
    assert [reference() for reference in references] == [None, None]
    assert _addresses(path)


@pytest.mark.parametrize("compute", ["float32", "float16"])
def test_compressed_weights_are_unpacked_once(compute, tmp_path, monkeypatch):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)).eval()
    traced = torch.jit.trace(module, torch.zeros(1, 64))
    model = ct.convert(
        traced,
        inputs=[ct.TensorType(name="x", shape=(1, 64))],
        outputs=[ct.TensorType(name="y")],
        minimum_deployment_target=ct.target.iOS16,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )
    config = ct.optimize.coreml.OptimizationConfig(ct.optimize.coreml.OpPalettizerConfig(nbits=4, weight_threshold=0))
    compressed = ct.optimize.coreml.palettize_weights(model, config)
    compressed.save(str(tmp_path / "m.mlpackage"))
    op = ops.find("constexpr_lut_to_dense", 16)
    function, calls = op.function, []

    @functools.wraps(function)
    def counted(**arguments):
        calls.append(arguments)
        return function(**arguments)

    monkeypatch.setitem(op.__dict__, "function", counted)
    loaded = load_model(tmp_path / "m.mlpackage", compute=compute)
    assert calls == []
    x = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
    answers = [loaded.predict({"x": x})["y"] for _ in range(2)]
    assert len(calls) == 2
    np.testing.assert_array_equal(*answers)
    everything = loaded.predict({"x": x}, outputs="all")
    np.testing.assert_array_equal(everything["y"], answers[0])
    assert len([name for name, value in everything.items() if value.shape == (64, 64)]) >= 2
    plain = ct.optimize.coreml.decompress_weights(compressed)
    np.testing.assert_allclose(answers[0], load_model(plain, compute=compute).predict({"x": x})["y"], atol=1e-6)


def test_a_long_chain_of_constexpr_ops_takes_no_longer_than_its_length(saved, monkeypatch):
    op = ops.find("constexpr_blockwise_shift_scale", 18)
    function, calls = op.function, []

    @functools.wraps(function)
    def counted(**arguments):
        calls.append(arguments)
        return function(**arguments)

    monkeypatch.setitem(op.__dict__, "function", counted)

    @mb.program(input_specs=[mb.TensorSpec((8,))], opset_version=ct.target.iOS18)
    def net(x):
        return mb.add(x=x, y=mb.constexpr_blockwise_shift_scale(data=np.arange(8, dtype=np.int8), scale=X, name="c0"))

    spec = saved(net).spec
    block = spec.mlProgram.functions["main"].block_specializations["CoreML8"]
    (first,) = (o for o in block.operations if o.type.startswith("constexpr"))
    place = list(block.operations).index(first)
    for number in range(1, 40):
        link = type(first).FromString(first.SerializeToString())
        for parameter in ("data", "scale"):
            link.inputs[parameter].arguments[0].Clear()
            link.inputs[parameter].arguments[0].name = f"c{number - 1}"
        link.outputs[0].name = f"c{number}"
        link.attributes["name"].immediateValue.tensor.strings.values[0] = f"c{number}"
        block.operations.insert(place + number, link)
    block.operations[-1].inputs["y"].arguments[0].name = "c39"
    answer = EvaluatedModel(Bundle("chain", spec, Weights(None), 0), compute="float32").predict({"x": 0 * X})
    assert set(next(iter(answer.values()))) <= {0, np.inf, -np.inf} | set(np.float32([1, -1]))
    assert 40 <= len(calls) < 60

"""The plugin in a process of its own, on tests as coremltools writes them: what is right passes, what is wrong not."""

import os
import subprocess
import sys
from pathlib import Path

import ledger
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

TESTS = """
import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil.frontend.torch.test.testing_utils import TorchBaseTest
from coremltools.converters.mil.mil import Builder as mb, types
from coremltools.converters.mil.mil.ops.tests.testing_utils import run_compare_builder
from coremltools.converters.mil.testing_reqs import BackendConfig

X = np.array([[1.0, 2.0, -3.0]], np.float32)

def compare(expected, precision, target=ct.target.iOS17, dtype=types.fp32, build=lambda x: mb.square(x=x)):
    run_compare_builder(
        build, {"x": mb.placeholder(shape=X.shape, dtype=dtype)}, {"x": X}, (*X.shape, dtype), expected,
        backend=BackendConfig(backend="mlprogram", precision=precision, opset_version=target),
    )

def test_right_fp16():
    compare(X * X, "fp16")

def test_right_fp32():
    compare(X * X, "fp32")

def test_two_percent_off_fp16():
    compare(X * X * 1.02, "fp16")

def test_a_thousandth_off_fp32():
    compare(X * X * 1.001, "fp32")

def test_a_thousandth_off_in_a_program_of_fp16():
    compare(X * X * 1.001, "fp32", dtype=types.fp16)

class Torch(torch.nn.Module):
    def forward(self, x):
        return x * 3

@pytest.mark.parametrize("factor", [1, 1.05])
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_torch(factor, precision):
    x = torch.ones(2, 3)
    TorchBaseTest.run_compare_torch(
        x, Torch(), expected_results=3 * x * factor, input_as_shape=False, backend=("mlprogram", precision),
    )

def test_no_model():
    assert ct.models.utils._is_macos()

def test_wrong_before():
    raise ValueError("no model yet")

@pytest.mark.skipif(not ct.models.utils._is_macos(), reason="needs macOS")
def test_skipped_elsewhere():
    pytest.skip("but not here")

def test_a_refusal_that_is_wanted():
    prog = mb.program(input_specs=[mb.TensorSpec(shape=(2,))])(lambda x: mb.square(x=x, name="y"))
    model = ct.convert(prog, minimum_deployment_target=ct.target.iOS16)
    with pytest.raises(RuntimeError):
        model.predict({"x": np.zeros(3)})
"""

PASS = ["right_fp16", "right_fp32", "a_thousandth_off_in_a_program_of_fp16", "torch[fp16-1]", "torch[fp32-1]"]
FAIL = ["two_percent_off_fp16", "a_thousandth_off_fp32", "torch[fp16-1.05]", "torch[fp32-1.05]"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_them.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "plugin", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["-c", str(HERE / "suite.ini"), "--rootdir", str(folder), "-W", "ignore"]
    command += ["--results", str(folder / "results.jsonl"), str(folder / "test_them.py")]
    environment = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}"}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return {name.split("::test_")[1]: record for name, record in ledger.load(folder / "results.jsonl").items()}


def test_what_is_right_passes(records):
    assert {name: (records[name].outcome, records[name].reached) for name in PASS} == dict.fromkeys(
        PASS, ("passed", True)
    )


def test_what_is_wrong_fails_in_float16_too(records):
    assert {name: (records[name].outcome, records[name].reached) for name in FAIL} == dict.fromkeys(
        FAIL, ("failed", True)
    )
    assert all("Not equal to tolerance" in records[name].reason for name in FAIL)


def test_a_test_that_opens_no_model_is_not_reached(records):
    assert (records["no_model"].outcome, records["no_model"].reached) == ("passed", False)
    assert (records["wrong_before"].outcome, records["wrong_before"].reached) == ("failed", False)
    assert "no model yet" in records["wrong_before"].reason


def test_the_tests_run_as_on_macos(records):
    assert (records["skipped_elsewhere"].outcome, records["skipped_elsewhere"].reason) == (
        "skipped",
        "Skipped: but not here",
    )


def test_what_the_evaluator_refuses_in_a_passing_test_is_written_down(records):
    record = records["a_refusal_that_is_wanted"]
    assert record.outcome == "passed"
    assert "needs the shape [2], got [3]" in record.refused

"""The pytest plugin: installs the stand-in, chooses tests, tightens fp16, and writes down what became of each test."""

import asyncio
import gc
import inspect
import json
import os
import random
import re
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import ledger
import numpy as np
import pytest
import standin

os.environ["INCLUDE_MIL_FP32_UNIT_TESTS"] = "1"
os.environ["RUN_BACKWARD_COMPATIBILITY"] = "1"  # an op's tests in every opset that has it
standin.install()

# The suite compares fp16 models at atol 0.5 and rtol 0.05. Here: half a percent of the value, and of the
# largest value; fp16 rounds by a twentieth of a percent at each step.
LOOSE_ATOL, LOOSE_RTOL = 0.5, 0.05
FP16_RTOL = 5e-3
FP16_OF_LARGEST = 5e-3

SEED = 2026
_errors: dict[str, str] = {}
_state = pytest.StashKey[dict]()


def fp16_atol(expected):
    """An absolute tolerance for arrays of this size."""
    largest = [np.abs(e[np.isfinite(e)]).max(initial=0) for e in map(_numbers, expected) if e is not None]
    return FP16_OF_LARGEST * float(max(largest, default=0.0))


def _numbers(value):
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _tighten():
    """Two places of the suite loosen fp16: compare_backend and convert_and_compare."""
    from coremltools.converters.mil import testing_utils

    compare_backend, assert_allclose = testing_utils.compare_backend, np.testing.assert_allclose

    def compared(mlmodel, input_key_values, expected_outputs, dtype="fp32", atol=1e-4, rtol=1e-5, **more):
        if dtype == "fp16" or standin.tally.computes_fp16:
            dtype = "fp32"
            atol = max(atol, fp16_atol((expected_outputs or {}).values()))
            rtol = max(rtol, FP16_RTOL)
        return compare_backend(mlmodel, input_key_values, expected_outputs, dtype=dtype, atol=atol, rtol=rtol, **more)

    def allclose(actual, desired, rtol=1e-07, atol=0, *arguments, **more):
        if atol >= LOOSE_ATOL and rtol >= LOOSE_RTOL:
            rtol, atol = FP16_RTOL, fp16_atol([desired])
        return assert_allclose(actual, desired, rtol, atol, *arguments, **more)

    testing_utils.compare_backend = compared
    np.testing.assert_allclose = allclose


_tighten()


def _validate_less():
    """coremltools validates a program before and after each of some 90 passes: a third of a test. Here: after all."""
    from coremltools.converters.mil.mil.passes import pass_pipeline

    def applied(prog, pipeline):
        pipeline.validate()
        for name in pipeline.passes:
            graph_pass = pass_pipeline.PASS_REGISTRY[name]
            graph_pass.set_options(pipeline.get_options(name))
            graph_pass(prog)
        prog.validate()

    pass_pipeline.PassPipelineManager.apply_pipeline = staticmethod(applied)


_validate_less()


def _collect_less():
    """coremltools collects garbage in each conversion, which is two thirds of a test: Python does it when it is due."""
    from coremltools.converters import _converters_entry

    _converters_entry.gc = SimpleNamespace(collect=lambda: 0)


_collect_less()


def pytest_addoption(parser):
    group = parser.getgroup("conformance")
    group.addoption("--results", type=Path, required=True, help="the file that holds the records")
    group.addoption("--every", type=int, default=1, help="run one test in so many")
    group.addoption("--only", default="", help="run tests whose id holds this regular expression")
    group.addoption("--at-most", type=int, default=4000, help="stop after so many tests")


def pytest_make_parametrize_id(config, val, argname):
    """A name for what pytest would number; where coremltools names its parameters itself, that comes first."""
    if type(val).__name__ == "BackendConfig":
        return f"{val.backend}-{val.precision}-{val.opset_version.name}"
    return None


def pytest_collectreport(report):
    if report.failed or report.skipped:
        lines = str(report.longrepr[2] if report.skipped else report.longrepr).strip().splitlines()
        _errors[report.nodeid] = lines[-1].removeprefix("E").strip()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    path, every = config.getoption("--results"), config.getoption("--every")
    only, at_most = re.compile(config.getoption("--only")), config.getoption("--at-most")
    ids = ledger.unique([item.nodeid for item in items])
    done = ledger.load(path)
    wanted = [
        (item, name) for item, name in zip(items, ids, strict=True) if ledger.chosen(name, every) and only.search(name)
    ]
    left = [(item, name) for item, name in wanted if name not in done]
    kept = left[:at_most]
    content = {"collected": Counter(map(ledger.file_of, ids)), "left": len(left) - len(kept), "errors": _errors}
    path.with_suffix(".json").write_text(json.dumps(content))
    running = {item for item, _ in kept}
    config.hook.pytest_deselected(items=[item for item in items if item not in running])
    items[:] = [item for item, _ in kept]
    config.stash[_state] = {"path": path, "ids": dict(kept)}


def pytest_collection_finish(session):
    """Collecting garbage takes longer than a test among the objects of 34,027 items."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    state = item.config.stash[_state]
    name = state["ids"][item]
    standin.tally.reset()
    _seed()
    ledger.append(state["path"], ledger.Record(id=name, outcome="started"))
    state["reports"], start = [], time.monotonic()
    try:
        return (yield)
    finally:
        ledger.append(state["path"], _record(name, state["reports"], time.monotonic() - start))


def pytest_pyfunc_call(pyfuncitem):
    """Some tests of debugging tools are coroutines, for which coremltools has a plugin of pytest that is not needed."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    state = item.config.stash[_state]
    state["reports"].append((report, call.excinfo))
    return report


def _seed():
    """What a test may depend on, as if it were the first: random numbers, and the counters in operations' names."""
    import torch
    from coremltools.converters.mil.mil import Builder

    Builder.name_count.clear()
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


def _record(name, reports, seconds):
    outcome, reason = "passed", ""
    for report, raised in reports:
        if report.skipped:
            outcome = "xfailed" if hasattr(report, "wasxfail") else "skipped"
            reason = getattr(report, "wasxfail", "") or (report.longrepr[2] if report.longrepr else "")
        elif report.failed:
            outcome = "failed"
            reason = _words(raised) if raised else str(report.longrepr)
            break
    tally = standin.tally
    return ledger.Record(
        id=name,
        outcome=outcome,
        reached=tally.constructed > 0,
        reason=reason[:400],
        refused=" | ".join(tally.refusals)[:400] if outcome == "passed" else "",
        seconds=round(seconds, 2),
    )


def _words(raised):
    lines = [line.strip() for line in str(raised.value).splitlines() if line.strip()]
    return f"{raised.typename}: {' / '.join(lines[:6])}"

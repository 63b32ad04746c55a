"""Cases: (name, opset, op on MIL's Builder, oracle on torch tensors, inputs...).

An input is a shape, which gives seeded normal floats, or an array; floats are rounded to fp16. All cases of a module
become one program per opset and precision, saved and loaded again; each case then runs alone.
"""

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Program, types

from converter.evaluate import load_model
from converter.evaluate.proto import MIL_pb2

PRECISIONS = ("float32", "float16")
# Results of one op on the same inputs: float32 up to the order of summation, fp16 up to its rounding of parameters,
# intermediates of composed cases, and the result (2**-11 each).
TOLERANCE = {"float32": {"rtol": 1e-5, "atol": 2e-6}, "float16": {"rtol": 3e-3, "atol": 3e-3}}


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", metafunc.module.CASES, ids=[case[0] for case in metafunc.module.CASES])
        metafunc.parametrize("precision", PRECISIONS)


def arrays(case):
    random = np.random.default_rng(len(case[0]))
    made = [random.standard_normal(x) if isinstance(x, tuple) else np.asarray(x) for x in case[4:]]
    return [x.astype(np.float16).astype(np.float32) if x.dtype.kind == "f" else x.astype(np.int32) for x in made]


def program(cases, opset):
    """The program, and the number of outputs of each case."""
    placeholders = {
        f"x{i}_{j}": mb.placeholder(shape=x.shape, dtype=types.fp32 if x.dtype == np.float32 else types.int32)
        for i, case in enumerate(cases)
        for j, x in enumerate(arrays(case))
    }
    outputs, counts = [], []
    with Function(placeholders, opset_version=opset) as function:
        for i, case in enumerate(cases):
            results = case[2](*(function.inputs[f"x{i}_{j}"] for j in range(len(case) - 4)))
            results = results if isinstance(results, (list, tuple)) else [results]
            counts.append(len(results))
            for result in results:
                is_plain = result.dtype in (types.fp32, types.int32)
                outputs.append(mb.identity(x=result) if is_plain else mb.cast(x=result, dtype="int32"))
        function.set_outputs(outputs)
    whole = Program()
    whole.add_function("main", function)
    return whole, counts


def check_rounded(model, inputs):
    """Every value that the program declares fp16 is a number of fp16, whatever op made it."""
    declared = {
        output.name
        for operation in main(model.spec).operations
        for output in operation.outputs
        if output.type.WhichOneof("type") == "tensorType" and output.type.tensorType.dataType == MIL_pb2.FLOAT16
    }
    values = model.predict(inputs, outputs=sorted(declared & model.value_names()))
    with np.errstate(over="ignore"):
        unrounded = [n for n, x in values.items() if not np.array_equal(x, x.astype(np.float16), equal_nan=True)]
    assert values or not declared
    assert unrounded == []


def main(spec):
    function = spec.mlProgram.functions["main"]
    return function.block_specializations[function.opset]


@pytest.fixture(scope="module")
def answers(request, tmp_path_factory):
    """Case and precision -> the arrays that the saved program gives for the case."""
    found = {}
    for number in sorted({case[1] for case in request.module.CASES}):
        cases = [case for case in request.module.CASES if case[1] == number]
        inputs = {f"x{i}_{j}": x for i, case in enumerate(cases) for j, x in enumerate(arrays(case))}
        for precision in PRECISIONS:
            written, counts = program(cases, ct.target[f"iOS{number}"])
            names = [] if precision == "float32" else ["common::add_fp16_cast"]
            model = ct.convert(
                written,
                convert_to="mlprogram",
                minimum_deployment_target=ct.target[f"iOS{number}"],
                compute_precision=ct.precision[precision.upper()],
                pass_pipeline=ct.PassPipeline(pass_names=names, pipeline_name="as_written"),
                skip_model_load=True,
            )
            path = tmp_path_factory.mktemp("ops") / "ops.mlpackage"
            model.save(str(path))
            opened = load_model(path)
            if precision == "float16":
                check_rounded(opened, inputs)
            found[number, precision] = opened, inputs, dict(zip((c[0] for c in cases), counts, strict=True))

    def answer(case, precision):
        model, inputs, counts = found[case[1], precision]
        before = sum(list(counts.values())[: list(counts).index(case[0])])
        names = [feature.name for feature in model.spec.description.output][before : before + counts[case[0]]]
        answered = model.predict(inputs, outputs=names)
        return [answered[name] for name in names]

    return answer


@pytest.fixture
def compare(answers):
    def check(case, precision):
        expected = case[3](*map(torch.from_numpy, arrays(case)))
        expected = expected if isinstance(expected, (list, tuple)) else [expected]
        for answered, wanted in zip(answers(case, precision), expected, strict=True):
            reference = np.atleast_1d(torch.as_tensor(wanted).numpy())
            assert answered.shape == reference.shape
            np.testing.assert_allclose(answered.astype(np.float64), reference, **TOLERANCE[precision])

    return check

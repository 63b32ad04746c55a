"""Cases: (name, opset, op on MIL's Builder, oracle on torch tensors, inputs...).

An input is a shape, which gives seeded normal floats, or an array; floats are rounded to fp16. All cases of a module
become one program per opset and precision, saved and loaded again; each case then runs alone.
"""

import os

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Program, types
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from converter.evaluate import load_model
from converter.evaluate.mil.program import OPSETS
from converter.evaluate.mil.program import Program as MilProgram
from converter.evaluate.proto import MIL_pb2, Model_pb2

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


# Random shapes. RANDOM_SHAPES asks for more examples of each op than the suite takes, to look for faults.
settings.register_profile(
    "random_shapes",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=int(os.environ.get("RANDOM_SHAPES", "25")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

_DATA_TYPES = {"float16": "FLOAT16", "float32": "FLOAT32", "bool": "BOOL", "str": "STRING"}
_OPSETS = {number: name for name, number in OPSETS.items()}


class Drawing:
    """What a formula draws its inputs and parameters with. Small shapes: the numbers come from a drawn seed."""

    def __init__(self, data):
        self.draw = data.draw
        self.random = np.random.default_rng(data.draw(st.integers(0, 9999), "seed"))

    def integer(self, low, high):
        return self.draw(st.integers(low, high))

    def integers(self, count, low, high):
        return [self.integer(low, high) for _ in range(count)]

    def flag(self):
        return self.draw(st.booleans())

    def one(self, *options):
        return self.draw(st.sampled_from(options))

    def some(self, **parameters):
        """Any of the parameters: the others take their defaults."""
        return {name: value for name, value in parameters.items() if self.flag()}

    def shape(self, low=1, high=5, largest=4, smallest=1):
        return tuple(self.integers(self.integer(low, high), smallest, largest))

    def floats(self, shape, dtype="float32", low=None, high=None):
        """Normal numbers, or uniform ones between `low` and `high`; each is a number of fp16."""
        numbers = self.random.standard_normal(shape) if low is None else self.random.uniform(low, high, shape)
        return np.asarray(numbers).astype(np.float16).astype(dtype)

    def array(self, shape, dtype=None):
        """Of the type, or of any that MIL's ops mostly take."""
        dtype = dtype or self.one("float32", "float16", "int32")
        if dtype == "bool":
            return self.random.random(shape) < 0.5
        if dtype == "int32":
            return self.random.integers(-9, 9, shape, dtype=np.int32)
        return self.floats(shape, dtype)

    def places(self, size, shape, negative=False):
        """Indices of an axis of the size."""
        return np.asarray(self.random.integers(-size if negative else 0, size, shape, dtype=np.int32))

    def permutation(self, count):
        return [int(i) for i in self.random.permutation(count)]

    def signed(self, axis, rank):
        """The axis, or the same one counted from the end."""
        return axis - rank if self.flag() else axis

    def axis(self, rank):
        return self.integer(-rank, rank - 1)

    def axes(self, rank, low=1):
        chosen = self.permutation(rank)[: self.integer(low, rank)]
        return [self.signed(axis, rank) for axis in chosen]

    def broadcast(self, shape):
        """A shape that broadcasts to the given one, of the same or a smaller rank."""
        kept = shape[self.integer(0, len(shape)) :]
        return tuple(1 if self.flag() else size for size in kept)


def _value_type(message, data_type, shape):
    tensor = message.tensorType
    tensor.dataType = MIL_pb2.DataType.Value(data_type)
    if shape is None:
        tensor.rank = 1
        tensor.dimensions.add().unknown.variadic = True
        return
    tensor.rank = len(shape)
    for size in shape:
        tensor.dimensions.add().constant.size = size


def _add_constant(value, given):
    array = np.asarray(given)
    kind = {"f": "float32", "i": "int32", "b": "bool", "U": "str"}[array.dtype.kind]
    _value_type(value.type, _DATA_TYPES.get(kind, kind.upper()), array.shape)
    field = {"float32": "floats", "int32": "ints", "bool": "bools", "str": "strings"}[kind]
    getattr(value.immediateValue.tensor, field).values.extend(array.reshape(-1).tolist())


def evaluated(op_type, opset, arguments, data_types):
    """The results of a program of one op: arrays are its inputs, Python's values its constants."""
    spec = Model_pb2.Model()
    function = spec.mlProgram.functions["main"]
    function.opset = _OPSETS[opset]
    block = function.block_specializations[function.opset]
    operation = block.operations.add(type=op_type)
    inputs = {}
    for key, argument in arguments.items():
        for given in argument if isinstance(argument, tuple) else (argument,):
            binding = operation.inputs[key].arguments.add()
            if not isinstance(given, (np.ndarray, np.generic)):
                _add_constant(binding.value, given)
                continue
            binding.name = f"input_{len(inputs)}"
            inputs[binding.name] = torch.from_numpy(np.array(given))
            named = function.inputs.add(name=binding.name)
            _value_type(named.type, _DATA_TYPES.get(given.dtype.name, given.dtype.name.upper()), given.shape)
    for i, data_type in enumerate(data_types):
        _value_type(operation.outputs.add(name=f"output_{i}").type, _DATA_TYPES.get(data_type, data_type.upper()), None)
        block.outputs.append(f"output_{i}")
    return list(MilProgram(spec, None, compute="float16").run(inputs, block.outputs).values())


def _holds(op_type, opset, arguments, expected):
    """The op's results have the formula's shapes and, up to their data type's rounding, its numbers."""
    expected = [np.asarray(x) for x in (expected if isinstance(expected, list) else [expected])]
    given = [
        x
        for a in arguments.values()
        for x in (a if isinstance(a, tuple) else (a,))
        if isinstance(x, (np.ndarray, np.generic))
    ]
    floats = next((x.dtype.name for x in given if x.dtype.kind == "f"), "float32")
    narrow = {"int8", "uint8", "int16", "uint16"}
    names = [
        floats
        if x.dtype.kind == "f"
        else "bool"
        if x.dtype.kind == "b"
        else str(x.dtype)
        if str(x.dtype) in narrow
        else "int32"
        for x in expected
    ]
    for answer, wanted, name in zip(evaluated(op_type, opset, arguments, names), expected, names, strict=True):
        assert tuple(answer.shape) == wanted.shape, f"{op_type}: shape {tuple(answer.shape)}, not {wanted.shape}"
        if wanted.dtype.kind in "biu":
            np.testing.assert_array_equal(answer.numpy(), wanted)
        else:
            # half a unit of fp16's last place is 2**-11
            rtol = 2**-10 if name == "float16" else 2e-5
            np.testing.assert_allclose(answer.double().numpy(), wanted.astype(np.float64), rtol=rtol, atol=1e-5)


@pytest.fixture(scope="session")
def holds():
    return lambda data, formula: _holds(*formula(Drawing(data)))

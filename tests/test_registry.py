import pytest

from converter.errors import ConversionError, UnsupportedOpsError
from converter.registry import BindError, Table


@pytest.fixture
def table():
    table = Table("test")

    @table.op
    def Softmax(input, axis=1):
        return "old", input, axis

    @table.op
    def Softmax_13(input, axis=-1):
        return "new", input, axis

    @table.op
    def Concat(*inputs, axis):
        return inputs, axis

    @table.op
    def Clip(input, min=None, max=None):
        return input, min, max

    return table


@pytest.mark.parametrize(("version", "since"), [(1, 1), (12, 1), (13, 13), (28, 13)])
def test_the_largest_version_not_above_the_one_asked_for_wins(table, version, since):
    assert table.find("Softmax", version).since == since


def test_an_unknown_op_is_none(table):
    assert table.find("Softmin", 13) is None
    assert table.find("Softmax", 0) is None


@pytest.mark.parametrize(
    ("name", "positional", "named", "result"),
    [
        ("Softmax", ["x"], {}, ("old", "x", 1)),
        ("Softmax", ["x"], {"axis": 3}, ("old", "x", 3)),
        ("Concat", ["a", "b", "c"], {"axis": 0}, (("a", "b", "c"), 0)),
        ("Clip", ["x", None, 6], {}, ("x", None, 6)),
        ("Clip", ["x", None, None], {"max": 1}, ("x", None, 1)),
    ],
)
def test_arguments_find_their_parameters(table, name, positional, named, result):
    assert table.find(name, 1).bind(positional, named)() == result


@pytest.mark.parametrize(
    ("name", "positional", "named", "parameter"),
    [
        ("Softmax", ["x"], {"beta": 3}, "beta"),
        ("Softmax", [], {}, "input"),
        ("Softmax", [None], {}, "input"),
        ("Softmax", ["x", 1], {"axis": 1}, "axis"),
        ("Softmax", ["x", 1, 2], {}, None),
        ("Concat", ["a", None], {"axis": 0}, "inputs"),
        ("Concat", ["a", "b"], {}, "axis"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(table, name, positional, named, parameter):
    with pytest.raises(BindError) as refused:
        table.find(name, 1).bind(positional, named)
    assert refused.value.parameter == parameter


def test_a_version_is_declared_once(table):
    with pytest.raises(ValueError, match="declared twice"):

        @table.op
        def Softmax(input):
            return input


def test_errors_cross_processes_whole():
    import pickle

    error = UnsupportedOpsError("2 nodes", where=("convert",), fix="remove them").within("models.yml:3:5 net")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is UnsupportedOpsError
    assert str(copy) == str(error) == "models.yml:3:5 net > convert: 2 nodes\n  fix: remove them"
    assert copy.exit_code == ConversionError.exit_code

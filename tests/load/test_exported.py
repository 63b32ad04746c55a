import contextlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.export import Dim

from converter.errors import SourceError
from converter.load import exported

PROGRAM = "serialized_exported_program.json"


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(6, 3)
        self.register_buffer("shift", torch.ones(3))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = torch.einsum("ij,j->i", self.layer(x) + self.shift, y)
        return z.reshape(2, -1), torch.cat([z, z]) * (x.shape[0] // 2)


def save(path: Path) -> torch.export.ExportedProgram:
    program = torch.export.export(
        Net().eval(),
        (torch.randn(4, 6), torch.randn(3)),
        dynamic_shapes={"x": {0: 2 * Dim("half", min=2, max=32)}, "y": None},
    )
    torch.export.save(program, path)
    return program


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_program_with_flexible_sizes_answers_as_it_did(tmp_path: Path) -> None:
    program = save(tmp_path / "net.pt2")
    loaded = exported.load(tmp_path / "net.pt2", "net.pt2")
    x, y = torch.randn(8, 6), torch.randn(3)
    for found, expected in zip(loaded.module()(x, y), program.module()(x, y), strict=True):
        assert torch.equal(found, expected)
    features = exported.features(loaded, "net.pt2")
    assert [(f.name, f.dtype) for f in features] == [("x", "float32"), ("y", "float32")]
    assert isinstance(features[0].shape[0], str)
    assert features[0].shape[1] == 6


class Evil:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize(
    "member", ["serialized_state_dict.pt", "serialized_constants.pt", "serialized_example_inputs.pt"]
)
def test_a_planted_pickle_is_refused_by_name(member: str, tmp_path: Path) -> None:
    path, ran = tmp_path / "net.pt2", tmp_path / "ran"
    save(path)

    def plant(members: dict[str, bytes]) -> None:
        buffer = io.BytesIO()
        torch.save({"w": Evil(ran)}, buffer)
        members[member] = buffer.getvalue()

    rewrite(path, plant)
    with pytest.raises(SourceError, match=rf"net\.pt2 \({member}\) is a pickle that wants to call posix\.mkdir"):
        exported.load(path, "net.pt2")
    assert not ran.exists()


def program_of(members: dict[str, bytes]) -> Any:
    return json.loads(members[PROGRAM])


def plant_formula(program: Any, code: str) -> None:
    program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0]["as_expr"]["expr_str"] = code


def plant_name(program: Any, code: str) -> None:
    text = json.dumps(program)
    name = json.dumps(f"y_={code}")
    text = text.replace('"name": "y"', f'"name": {name}').replace('"y": {"dtype"', f'{name}: {{"dtype"')
    program.clear()
    program.update(json.loads(text))


def plant_key(program: Any, code: str) -> None:
    program["range_constraints"][code] = {"min_val": 2, "max_val": 4}


def plant_argument_name(program: Any, code: str) -> None:
    program["graph_module"]["graph"]["nodes"][0]["inputs"][0]["name"] = f"x)+{code}+("


def plant_nested_metadata(program: Any, code: str) -> None:
    program["graph_module"]["graph"]["nodes"][0]["metadata"] = {"deeper": {"name": code}}


def plant_tree(program: Any, _: str) -> None:
    signature = program["graph_module"]["module_call_graph"][0]["signature"]
    tree = {
        "type": "collections.defaultdict",
        "context": {"default_factory_module": "antigravity"},
        "children_spec": [],
    }
    signature["in_spec"] = json.dumps([1, tree])


@pytest.mark.parametrize(
    "plant", [plant_formula, plant_name, plant_key, plant_argument_name, plant_nested_metadata, plant_tree]
)
def test_a_program_whose_text_would_be_run_is_refused(plant: Callable[[Any, str], None], tmp_path: Path) -> None:
    path, ran = tmp_path / "net.pt2", tmp_path / "ran"
    save(path)

    def change(members: dict[str, bytes]) -> None:
        program = program_of(members)
        plant(program, f"__import__('os').mkdir({str(ran)!r})")
        members[PROGRAM] = json.dumps(program).encode()

    rewrite(path, change)
    with pytest.raises(SourceError, match=r"net\.pt2 could run code: torch would interpret"):
        exported.load(path, "net.pt2")
    assert not ran.exists()


@pytest.mark.parametrize("plant", [plant_formula, plant_name])
def test_torch_would_run_such_text(plant: Callable[[Any, str], None], tmp_path: Path) -> None:
    """When this fails, torch has learned to refuse it, and the check may go."""
    path, ran = tmp_path / "net.pt2", tmp_path / "ran"
    save(path)

    def change(members: dict[str, bytes]) -> None:
        program = program_of(members)
        plant(program, f"__import__('os').mkdir({str(ran)!r})")
        members[PROGRAM] = json.dumps(program).encode()

    rewrite(path, change)
    with contextlib.suppress(Exception):
        torch.export.load(path)
    assert ran.exists()


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("s0", True),
        ("2*s0 + 1", True),
        ("Mul(Integer(2), Symbol('s1', positive=True, integer=True))", True),
        ("Max(1, s0) // 2", True),
        ("Float('0.5', precision=53)", True),
        ("Piecewise((s0, s0 > 1), (1, True))", False),
        ("exec('1')", False),
        ("Symbol('x').subs(1)", False),
        ("Symbol(Symbol)('x')", False),
        ("(lambda: 1)()", False),
        ("[s0 for s0 in y]", False),
        ("s0.__class__", False),
        ("__builtins__", False),
        ("Symbol('a b')", False),
        ("Integer('__import__(1)')", False),
        ("1 if s0 else 2", False),
        ("", False),
    ],
)
def test_a_formula_is_numbers_symbols_and_known_functions(text: str, sound: bool) -> None:
    assert exported._is_formula(text) is sound


def drop(name: str) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.pop(name) and None


def put(name: str, content: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.update({name: content})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop(PROGRAM), "lacks serialized_exported_program.json"),
        (put("data.pkl", b""), "holds data.pkl"),
        (put(PROGRAM, b"{"), "is not a readable .pt2 file"),
        (put(PROGRAM, b"{}"), "could not be loaded by torch"),
        (put("version", b"99.1"), "could not be loaded by torch"),
        (put("serialized_state_dict.pt", b"PK"), "is not a readable state dict"),
    ],
)
def test_a_damaged_program_is_refused(change: Callable[[dict[str, bytes]], None], words: str, tmp_path: Path) -> None:
    save(tmp_path / "net.pt2")
    rewrite(tmp_path / "net.pt2", change)
    with pytest.raises(SourceError) as caught:
        exported.load(tmp_path / "net.pt2", "net.pt2")
    assert words in str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_stands_twice_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "net.pt2")
    with zipfile.ZipFile(tmp_path / "net.pt2", "a") as archive:
        archive.writestr("version", b"8.5")
    with pytest.raises(SourceError, match="holds version more than once"):
        exported.load(tmp_path / "net.pt2", "net.pt2")


def test_no_zip_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_text("version https")
    with pytest.raises(SourceError, match=r"is not a readable \.pt2 file"):
        exported.load(tmp_path / "net.pt2", "net.pt2")


def test_a_program_that_takes_a_mapping_is_refused(tmp_path: Path) -> None:
    class Mapped(torch.nn.Module):
        def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return batch["x"] + 1

    torch.export.save(torch.export.export(Mapped(), ({"x": torch.ones(2)},)), tmp_path / "net.pt2")
    program = exported.load(tmp_path / "net.pt2", "net.pt2")
    with pytest.raises(SourceError, match="takes keywords, or tensors inside"):
        exported.features(program, "net.pt2")

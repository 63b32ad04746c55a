from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch

from converter.errors import SourceError
from converter.load import outputs

A, B, C = torch.zeros(1), torch.ones(1), torch.full((1,), 2.0)
Pair = namedtuple("Pair", ["scores", "features"])


@pytest.mark.parametrize(
    ("answer", "names", "flat"),
    [
        (A, [""], True),
        ((A, B), ["", ""], True),
        ([A, B], ["", ""], False),
        ((A, (B, C)), ["", "", ""], False),
        ((A, None), [""], False),
        (OrderedDict(out=A, aux=B), ["out", "aux"], False),
        ({"out": (A, B), "aux": C}, ["out", "out", "aux"], False),
        (Pair(A, B), ["scores", "features"], False),
    ],
)
def test_every_tensor_is_found_and_named(answer: Any, names: list[str], flat: bool) -> None:
    found = outputs.named(answer)
    assert [name for name, _ in found] == names
    assert [tensor.item() for _, tensor in found] == list(range(len(names)))
    assert outputs.is_flat(answer) is flat


class Answering(torch.nn.Module):
    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: torch.Tensor) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_flat_module_answers_with_a_tuple_and_can_be_traced() -> None:
    class Mapped(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"out": x + 1, "aux": x * 2}

    flat = outputs.Flat(Mapped())
    x = torch.ones(2)
    assert [t.tolist() for t in torch.jit.trace(flat, (x,))(x)] == [[2.0, 2.0], [2.0, 2.0]]
    assert torch.equal(outputs.Flat(Answering([A]))(x), A)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (3, "returns int among its outputs"),
        ((A, "text"), "returns str among its outputs"),
        (None, "returns nothing"),
        (RuntimeError("shapes differ"), r"refuses an input of the promised size, image \[1, 3\]: RuntimeError: shapes"),
    ],
)
def test_what_is_no_answer_is_refused(answer: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words):
        outputs.run(Answering(answer), [torch.ones(1, 3)], ["image"], tmp_path)


def test_gradients_are_off(tmp_path: Path) -> None:
    answer = outputs.run(torch.nn.Linear(3, 1), [torch.ones(1, 3)], ["x"], tmp_path)
    assert not answer.requires_grad


def test_an_answer_that_changes_is_refused_and_rounding_is_not() -> None:
    outputs.refuse_chance(["a", "b"], [B * 100, torch.tensor([7])], [B * 100.01, torch.tensor([7])])
    for first, again in (([B], [B * 1.1]), ([torch.tensor([70000])], [torch.tensor([70001])]), ([B], [torch.ones(2)])):
        with pytest.raises(SourceError, match="output a differs from one run to the next"):
            outputs.refuse_chance(["a"], first, again)


def test_nan_is_refused_by_the_outputs_name() -> None:
    outputs.refuse_nan(["a", "b"], [A, torch.tensor([1, 2])], "image")
    with pytest.raises(SourceError, match=r"output b holds NaN, 2 of 3 values, for image \[1, 3\]"):
        outputs.refuse_nan(["a", "b"], [A, torch.tensor([float("nan"), 1, float("nan")])], "image [1, 3]")

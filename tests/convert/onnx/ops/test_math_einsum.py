"""Einsum, held to onnxruntime: random equations, and by name what they may miss."""

import string

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

R = np.random.default_rng(5)
w = lambda *shape: R.uniform(-1, 1, shape).astype(np.float32)  # noqa: E731

EQUATIONS = [
    ("ij->ji", [(2, 3)]),
    ("ij", [(2, 3)]),
    ("ji", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ii->i", [(4, 4)]),
    ("ii->", [(4, 4)]),
    ("iji->ij", [(3, 2, 3)]),
    ("iii->i", [(3, 3, 3)]),
    ("...ii->...i", [(2, 5, 3, 3)]),
    ("i,j->ij", [(2,), (3,)]),
    ("i,i->", [(4,), (4,)]),
    ("i,i->i", [(4,), (4,)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("bhqk,bhkd->bqhd", [(2, 3, 4, 5), (2, 3, 5, 6)]),
    ("bqhd,hdm->bqm", [(2, 3, 4, 5), w(4, 5, 6)]),
    ("...ij,...jk->...ik", [(2, 1, 3, 4), (1, 5, 4, 2)]),
    ("...ij,...jk", [(5, 3, 4), (1, 4, 2)]),
    ("b...,b...->b...", [(3, 2, 4), (3, 1, 4)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
    ("ij,jk,kl->il", [w(2, 3), (3, 4), w(4, 5)]),
    ("i,j,k->kji", [(2,), (3,), (4,)]),
    ("abc,acd,adb->a", [(2, 3, 4), (2, 4, 5), (2, 5, 3)]),
    ("abcde,edfga->gfbc", [(2, 3, 2, 3, 2), (2, 3, 2, 3, 2)]),
    ("ij, jk -> ik", [(2, 3), (3, 4)]),
    (",ij->ji", [np.array(2.0, np.float32), (2, 3)]),
    ("ij,ij->", [(2, 3), w(2, 3)]),
]


@pytest.mark.parametrize(("equation", "operands"), EQUATIONS, ids=str)
def test_an_equation(equation, operands, held):
    held(("Einsum", 12, operands, {"equation": equation}), atol=1e-5)


@pytest.mark.parametrize("equation", ["ij,jk->ik", "ii->i", "ij->j", "bij,bij->b"])
def test_integers(equation, held):
    shapes = [[2, 2] if len(term) == 2 else [2, 3, 3] for term in equation.split("->")[0].split(",")]
    operands = [{"input": R.integers(-9, 9, shape).astype(np.int32)} for shape in shapes]
    held(("Einsum", 12, operands, {"equation": equation}))


def test_a_product_of_matrices_is_one_operation(built):
    case = ("Einsum", 12, [(2, 3, 4, 5), (2, 3, 5, 6)], {"equation": "bhqk,bhkd->bhqd"})
    assert built(case) == ["matmul"]


@st.composite
def equations(draw):
    """One to three operands of rank 0 to 3 over five letters, with a result of some of the letters."""
    letters = st.sampled_from("abcde")
    terms = draw(st.lists(st.lists(letters, max_size=3), min_size=1, max_size=3))
    seen = sorted({label for term in terms for label in term})
    result = draw(st.permutations(seen))[: draw(st.integers(0, len(seen)))]
    return ",".join("".join(term) for term in terms) + "->" + "".join(result)


@settings(
    derandomize=True,
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(equations())
def test_random_equations(held, equation):
    sizes = dict(zip(string.ascii_lowercase, (2, 3, 4, 1, 2), strict=False))
    terms = equation.split("->")[0].split(",")
    if not any(terms):
        return
    operands = [tuple(sizes[label] for label in term) or np.array(1.5, np.float32) for term in terms]
    held(("Einsum", 12, operands, {"equation": equation}), atol=1e-5)

"""Paired tests and Holm's correction."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.eval.significance import holm, paired_tests

A = np.array([0.9, 0.4, 0.55, 0.7, 0.62, 0.3, 0.81, 0.5])
B = np.array([0.5, 0.45, 0.30, 0.6, 0.20, 0.35, 0.70, 0.1])


def test_few_queries_are_enumerated_exactly() -> None:
    differences = A - B
    means = [np.mean(differences * signs) for signs in product((1, -1), repeat=8)]
    exact = np.mean([abs(mean) >= abs(differences.mean()) - 1e-12 for mean in means])
    (found,) = paired_tests(A[None], B[None])
    assert found.delta == pytest.approx(differences.mean())
    assert found.p_randomisation == pytest.approx(exact, abs=1e-12)
    assert 0 < exact < 0.1


def test_the_t_test_by_hand() -> None:
    """Five differences 1 2 3 4 5: t = 3 / sqrt(2.5 / 5) = 4.243, two-sided p = .0132 at 4 df."""
    system = np.array([[1.0, 2, 3, 4, 5]])
    (found,) = paired_tests(system, np.zeros((1, 5)))
    assert found.p_t == pytest.approx(0.013235, abs=2e-6)
    assert found.p_randomisation == 2 / 32


def test_many_queries_agree_with_the_t_test() -> None:
    rng = np.random.default_rng(0)
    system, baseline = rng.random((3, 400)), rng.random((3, 400))
    system[0] += 0.05
    for found in paired_tests(system, baseline):
        assert found.p_t is not None
        assert found.p_randomisation == pytest.approx(found.p_t, abs=0.02)


def test_p_values_are_uniform_when_nothing_differs() -> None:
    rng = np.random.default_rng(1)
    system, baseline = rng.random((500, 30)), rng.random((500, 30))
    p_values = np.array([found.p_randomisation for found in paired_tests(system, baseline)])
    assert 0.02 < np.mean(p_values < 0.05) < 0.08
    assert 0.42 < np.mean(p_values < 0.5) < 0.58


@pytest.mark.parametrize("queries", [1, 2, 8, 50])
def test_identical_systems_have_p_1(queries: int) -> None:
    values = np.random.default_rng(2).random((2, queries))
    for found in paired_tests(values, values.copy()):
        assert (found.delta, found.p_randomisation) == (0, 1)
        assert found.p_t == (1 if queries > 1 else None)


def test_one_query_proves_nothing() -> None:
    (found,) = paired_tests(np.array([[0.9]]), np.array([[0.1]]))
    assert (found.p_randomisation, found.p_t) == (1, None)


def test_both_directions_count_alike() -> None:
    (better,) = paired_tests(A[None], B[None])
    (worse,) = paired_tests(B[None], A[None])
    assert better.delta == -worse.delta
    assert better.p_randomisation == worse.p_randomisation
    assert better.p_t == pytest.approx(worse.p_t)


def test_seeded_and_never_zero() -> None:
    rng = np.random.default_rng(3)
    system = rng.random((1, 40))
    baseline = rng.random((1, 40))
    assert paired_tests(system, baseline, seed=1) == paired_tests(system, baseline, seed=1)
    assert paired_tests(system, baseline, seed=1) != paired_tests(system, baseline, seed=2)
    (sure,) = paired_tests(system + 5, baseline)
    assert 0 < sure.p_randomisation <= 2 / 10_001


def test_holm_by_hand() -> None:
    # sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04, and no later one is smaller
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_the_raw_p_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for raw, held in zip(p_values, adjusted, strict=True):
        assert raw <= held <= min(1.0, len(p_values) * raw)
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[place] for place in order] == sorted(adjusted)

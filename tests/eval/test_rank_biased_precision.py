"""RBP, worked by hand."""

from __future__ import annotations

import pytest

from tamis.eval.rbp import rank_biased_precision

GRADES = {"q": {"a": 2, "b": 0, "c": 1, "d": -1}, "r": {"x": 4}}
RUN = {"q": {"u": 5.0, "c": 4.0, "b": 3.0, "a": 2.0, "d": 1.0}}


def test_binary_gains() -> None:
    # relevant at ranks 2 and 4 (grade >= 1), then at 4 only (grade >= 2)
    assert rank_biased_precision(GRADES, RUN, p=0.5, rel=1) == {"q": 0.5 * (0.5 + 0.125)}
    assert rank_biased_precision(GRADES, RUN, p=0.5, rel=2) == {"q": 0.5 * 0.125}


def test_graded_gains_are_shares_of_the_highest_grade_of_all() -> None:
    wanted = 0.2 * (0.25 * 0.8 + 0.5 * 0.8**3)
    assert rank_biased_precision(GRADES, RUN)["q"] == pytest.approx(wanted, rel=1e-12)


def test_cutoff() -> None:
    assert rank_biased_precision(GRADES, RUN, p=0.5, rel=1, cutoff=3) == {"q": 0.25}


def test_nothing_relevant_anywhere_is_worth_nothing() -> None:
    assert rank_biased_precision({"q": {"a": 0}}, {"q": {"a": 1.0}}) == {"q": 0.0}

"""The regression is fitted as scikit-learn and an optimiser without derivatives would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tamis.core.errors import BadArguments
from tamis.encoders.quality.features import FEATURES, features
from tamis.encoders.quality.fitting import fit_columns, fit_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

N = 300
GOOD = "The river {n} is long. It rises in the old mountains, and it ends in the sea."
JUNK = "HOME | {n} | LOGIN | cart {n} {n} >> >>"


def examples(seed: int, *, n: int = N) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Columns of several sizes, one of them constant; labels by some of them; uneven weights."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n, len(FEATURES))) * np.arange(1, len(FEATURES) + 1) + 3.0
    columns[:, 5] = 2.5
    odds = 0.8 * (columns[:, 0] - 3) - 0.3 * (columns[:, 1] - 3) / 2 - 1.0
    labels = rng.random(n) < 1 / (1 + np.exp(-odds))
    return columns, labels, rng.integers(0, 4, n) / 2


def parts(model: Any) -> tuple[float, dict[str, float]]:
    stored = model._stored()
    return stored["bias"], {name: each["weight"] for name, each in stored["weights"].items()}


def test_fitted_twice_it_is_the_same() -> None:
    columns, labels, weights = examples(1)
    first, second = (fit_columns(columns, labels, weights) for _ in range(2))
    assert first.card == second.card


@pytest.mark.parametrize("l2", [0.01, 1.0, 100.0])
def test_scikit_learn_finds_the_same(l2: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    columns, labels, weights = examples(2)
    means = np.average(columns, axis=0, weights=weights)
    spread = np.sqrt(np.average((columns - means) ** 2, axis=0, weights=weights))
    spread[5] = 1.0
    theirs = linear.LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000)
    theirs.fit((columns - means) / spread, labels, sample_weight=weights)
    bias, found = parts(fit_columns(columns, labels, weights, l2=l2))
    assert list(FEATURES)[5] not in found
    expected = np.delete(theirs.coef_[0], 5)
    np.testing.assert_allclose(list(found.values()), expected, atol=1e-4)
    np.testing.assert_allclose(bias, theirs.intercept_[0], atol=1e-4)


def test_no_small_step_away_costs_less() -> None:
    """The loss from its definition."""
    columns, labels, weights = examples(3)
    l2 = 0.7
    model = fit_columns(columns, labels, weights, l2=l2)
    bias, found = parts(model)
    stored = model._stored()["weights"]
    table = np.stack(
        [(columns[:, list(FEATURES).index(n)] - w["mean"]) / w["scale"] for n, w in stored.items()],
        axis=1,
    )
    best = np.array([bias, *found.values()])

    def loss(place: NDArray[Any]) -> float:
        chance = 1 / (1 + np.exp(-(table @ place[1:] + place[0])))
        each = -np.log(np.where(labels, chance, 1 - chance))
        return float((weights * each).sum() + l2 / 2 * (place[1:] ** 2).sum())

    least = loss(best)
    for place in range(len(best)):
        for step in (-1e-3, 1e-3):
            moved = best.copy()
            moved[place] += step
            assert loss(moved) > least


@pytest.mark.parametrize("l2", [0.01, 1.0, 100.0])
def test_the_slope_is_flat_and_the_search_ends(l2: float) -> None:
    """On 2,000 examples rounding hides the last gains: a search that waits for them never ends."""
    columns, labels, weights = examples(5, n=2_000)
    columns[:, 7] = columns[:, 8] + 1e-4 * columns[:, 9]
    bias, found = parts(model := fit_columns(columns, labels, weights, l2=l2))
    stored = model._stored()["weights"]
    table = np.stack(
        [(columns[:, list(FEATURES).index(n)] - w["mean"]) / w["scale"] for n, w in stored.items()],
        axis=1,
    )
    at = np.array(list(found.values()))
    wrong = weights * (1 / (1 + np.exp(-(table @ at + bias))) - labels)
    assert abs(wrong.sum()) < 1e-5
    assert np.abs(table.T @ wrong + l2 * at).max() < 1e-5


def test_a_weight_of_two_is_an_example_twice_and_of_none_absent() -> None:
    columns, labels, _ = examples(4, n=60)
    counts = np.arange(60) % 3
    weighted = parts(fit_columns(columns, labels, counts))
    repeated = parts(fit_columns(np.repeat(columns, counts, 0), np.repeat(labels, counts)))
    np.testing.assert_allclose(weighted[0], repeated[0], rtol=1e-6)
    np.testing.assert_allclose(list(weighted[1].values()), list(repeated[1].values()), rtol=1e-6)


def test_labels_that_one_column_tells_apart_are_settled() -> None:
    """Without the penalty the weights would grow for ever."""
    columns = np.zeros((40, len(FEATURES)))
    columns[:, 3] = np.arange(40)
    model = fit_columns(columns, np.arange(40) >= 20, l2=0.001)
    _, found = parts(model)
    assert list(found) == [list(FEATURES)[3]]
    assert 5 < found[list(FEATURES)[3]] < 1000


def test_from_texts_to_a_model_that_sorts_others() -> None:
    texts = [pattern.format(n=n) for n in range(30) for pattern in (GOOD, JUNK)]
    model = fit_features(texts, [1, 0] * 30)
    others = ["The cat sleeps, and it dreams of the sea.", "MENU | TOP | 17 | 17 >>"]
    assert model.score(others)[0] > 0 > model.score(others)[1]
    assert model.card == fit_columns(features(texts), [1, 0] * 30).card


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"columns": np.zeros((4, 3))}, r"shape \[4, 3\]; expected one row an example"),
        ({"labels": [1, 0]}, r"labels have shape \[2\] for 4 examples"),
        ({"labels": [1, 1, 1, 1]}, r"count are \[1.0\]; expected 0 and 1"),
        ({"labels": [1, 0, 2, 0]}, r"\[0.0, 1.0, 2.0\]; expected 0 and 1"),
        ({"weights": [0, 1, 0, 1]}, r"count are \[0.0\]"),
        ({"weights": [1, 1, 1]}, r"weights have shape \[3\]"),
        ({"weights": [1, 1, 1, -1]}, "below 0"),
        ({"weights": [1, 1, 1, np.nan]}, "not finite"),
        ({"l2": 0.0}, "expected a number above 0"),
    ],
)
def test_what_cannot_be_fitted(changed: dict[str, Any], told: str) -> None:
    asked: dict[str, Any] = {
        "columns": np.random.default_rng(0).normal(size=(4, len(FEATURES))),
        "labels": [1, 0, 1, 0],
        "weights": None,
        "l2": 1.0,
        **changed,
    }
    with pytest.raises(BadArguments, match=told):
        fit_columns(asked["columns"], asked["labels"], asked["weights"], l2=asked["l2"])

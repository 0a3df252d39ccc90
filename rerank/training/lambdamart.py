"""Train the LambdaMART reranker: rankings with their passages and judgments to a model's text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import BadArguments, BadData
from ...core.optional import need
from ..features import feature_names, features
from ..forest_file import mean_of_forests
from ..terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from ...core.protocols import Candidates
    from ...core.records import Float32Array, Judgments

PARAMETERS: dict[str, Any] = {
    "objective": "lambdarank",
    "metric": "ndcg",
    "eval_at": [10],
    "lambdarank_truncation_level": 20,
    "learning_rate": 0.1,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True)
class Example:
    """One ranking to learn from: its query, features [n, columns] and grades [n], from 0."""

    query: str
    table: Float32Array
    grades: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Trained:
    """``text`` is the model as LightGBM writes it; the rest says how it came about.

    ``dev_ndcg`` is nDCG@10 over the held-out queries' candidates, gain 2^grade - 1; ``gains`` the
    total split gain by feature, highest first. Of several folds, ``trees`` are all of them,
    ``queries`` those that taught one at least, ``dev_ndcg`` the folds' mean.
    """

    text: str
    trees: int
    queries: int
    dev_queries: int
    dev_ndcg: float
    gains: dict[str, float]


def train_lambdamart(
    rankings: Sequence[Candidates],
    judgments: Judgments,
    *,
    trees: int = 100,
    patience: int = 20,
    dev_share: float = 0.2,
    folds: int = 1,
    seed: int = 0,
    threads: int = 2,
    stages: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
) -> Trained:
    """Fit trees to the judged order of the candidates; the same call gives the same text.

    A query may come with several rankings (hybrid, dense alone, lexical alone): all of them land
    on one side of the train/dev split. Unjudged candidates have grade 0, negative grades too.
    Rankings whose candidates all have one grade teach nothing and are left out. ``stages`` are the
    rerankers before this one whose scores are features. The rest as ``train_on`` takes it.
    """
    found = examples(rankings, judgments, stages=stages)
    return train_on(
        found,
        trees=trees,
        patience=patience,
        dev_share=dev_share,
        folds=folds,
        seed=seed,
        threads=threads,
        stages=stages,
        parameters=parameters,
    )


def examples(
    rankings: Iterable[Candidates], judgments: Judgments, *, stages: Sequence[str] = ()
) -> list[Example]:
    """The rankings that can teach, with their features."""
    terms = Terms()
    found = []
    for candidates in rankings:
        query = candidates.ranking.query.id
        judged = judgments.get(query, {})
        grades = np.array([max(judged.get(p.id, 0), 0) for p in candidates.passages], np.int32)
        if len(np.unique(grades)) > 1:
            found.append(Example(query, features(candidates, terms, stages), grades))
    return found


def train_on(
    examples: Sequence[Example],
    *,
    more: Sequence[Example] = (),
    trees: int = 100,
    patience: int = 20,
    dev_share: float = 0.2,
    folds: int = 1,
    seed: int = 0,
    threads: int = 2,
    stages: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
) -> Trained:
    """Fit trees to examples that are there already.

    With one fold, ``dev_share`` of the queries, drawn by seed, are held out; training stops after
    ``patience`` trees without a better nDCG@10 there, or at ``trees``. With more, the queries are
    dealt into so many folds, each is held out once, and the model is the mean of the forests:
    every query teaches, and chance weighs less, which suits few queries. ``more`` are examples of
    other collections: they teach every forest and none is held out. ``parameters`` replace some of
    PARAMETERS.

    Raises BadData when no query is left to train or to stop on, BadArguments for a wrong number of
    folds; MissingDependency (``ltr``).
    """
    lightgbm = need("lightgbm", "training LambdaMART")
    if folds < 1:
        raise BadArguments(f"folds is {folds}; expected 1, or how many forests are to be joined")
    queries = sorted({example.query for example in examples})
    settings = {**PARAMETERS, **(parameters or {}), "num_threads": threads}
    names = list(feature_names(stages))
    found = []
    for fold, held_out in enumerate(_held_out(queries, dev_share, folds, seed)):
        train = [*(each for each in examples if each.query not in held_out), *more]
        dev = [each for each in examples if each.query in held_out]
        own = {**settings, "seed": seed + fold}
        found.append(_fitted(lightgbm, train, dev, own, trees, patience, names))
    gains = np.sum([each.gains for each in found], axis=0)
    named = dict(zip(names, gains.tolist(), strict=True))
    stopped_on = {query for each in found for query in each.held_out}
    return Trained(
        text=mean_of_forests([each.text for each in found]),
        trees=sum(each.trees for each in found),
        queries=len(queries) - (len(stopped_on) if folds == 1 else 0),
        dev_queries=len(stopped_on),
        dev_ndcg=float(np.mean([each.dev_ndcg for each in found])),
        gains=dict(sorted(named.items(), key=lambda item: -item[1])),
    )


@dataclass(frozen=True, slots=True)
class _Forest:
    """What one call of LightGBM gave."""

    text: str
    trees: int
    held_out: AbstractSet[str]
    dev_ndcg: float
    gains: NDArray[np.float64]


def _fitted(
    lightgbm: Any,
    train: list[Example],
    dev: list[Example],
    settings: Mapping[str, Any],
    trees: int,
    patience: int,
    names: list[str],
) -> _Forest:
    scores: dict[str, Any] = {}
    booster = lightgbm.train(
        dict(settings),
        _dataset(lightgbm, train, names),
        num_boost_round=trees,
        valid_sets=[_dataset(lightgbm, dev, names)],
        valid_names=["dev"],
        callbacks=[
            lightgbm.early_stopping(patience, verbose=False),
            lightgbm.record_evaluation(scores),
        ],
    )
    best = booster.best_iteration
    return _Forest(
        text=booster.model_to_string(num_iteration=best),
        trees=best,
        held_out={example.query for example in dev},
        dev_ndcg=scores["dev"]["ndcg@10"][best - 1],
        gains=booster.feature_importance("gain", best),
    )


def _held_out(queries: list[str], share: float, folds: int, seed: int) -> list[set[str]]:
    """The queries that each forest is stopped on, drawn by seed."""
    number = round(len(queries) * share) if folds == 1 else len(queries) // folds
    if not 0 < number < len(queries):
        raise BadData(
            f"{len(queries)} queries have candidates of different grades, {number} of them to "
            f"hold out; give more queries, or rankings that hold relevant passages"
        )
    shuffled = np.random.default_rng(seed).permutation(np.array(queries, object)).tolist()
    if folds == 1:
        return [set(shuffled[:number])]
    return [set(shuffled[fold::folds]) for fold in range(folds)]


def _dataset(lightgbm: Any, examples: list[Example], names: list[str]) -> Any:
    return lightgbm.Dataset(
        np.concatenate([example.table for example in examples]),
        label=np.concatenate([example.grades for example in examples]),
        group=[len(example.grades) for example in examples],
        feature_name=names,
        free_raw_data=True,
    )

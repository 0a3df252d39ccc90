"""Train the LambdaMART reranker: rankings with their passages and judgments to a model's text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import BadData
from ...core.optional import need
from ..features import FEATURES, features
from ..terms import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

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
class Trained:
    """``text`` is the model as LightGBM writes it; the rest says how it came about.

    ``dev_ndcg`` is nDCG@10 over the held-out queries' candidates, gain 2^grade - 1; ``gains`` the
    total split gain by feature, highest first.
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
    seed: int = 0,
    threads: int = 2,
) -> Trained:
    """Fit trees to the judged order of the candidates; the same call gives the same text.

    A query may come with several rankings (hybrid, dense alone, lexical alone): all of them land
    on one side of the train/dev split. Unjudged candidates have grade 0, negative grades too.
    Rankings whose candidates all have one grade teach nothing and are left out. Training stops
    after ``patience`` trees without a better dev nDCG@10, or at ``trees``.

    Raises BadData when no query is left to train or to stop on; MissingDependency (``ltr``).
    """
    lightgbm = need("lightgbm", "training LambdaMART")
    examples = _examples(rankings, judgments)
    queries = sorted({example.query for example in examples})
    held_out = _held_out(queries, dev_share, seed)
    train, dev = (
        _dataset(lightgbm, [e for e in examples if (e.query in held_out) is side])
        for side in (False, True)
    )
    scores: dict[str, Any] = {}
    booster = lightgbm.train(
        {**PARAMETERS, "seed": seed, "num_threads": threads},
        train,
        num_boost_round=trees,
        valid_sets=[dev],
        valid_names=["dev"],
        callbacks=[
            lightgbm.early_stopping(patience, verbose=False),
            lightgbm.record_evaluation(scores),
        ],
    )
    best = booster.best_iteration
    gains = dict(zip(FEATURES, booster.feature_importance("gain", best).tolist(), strict=True))
    return Trained(
        text=_portable(booster.model_to_string(num_iteration=best)),
        trees=best,
        queries=len(queries) - len(held_out),
        dev_queries=len(held_out),
        dev_ndcg=scores["dev"]["ndcg@10"][best - 1],
        gains=dict(sorted(gains.items(), key=lambda item: -item[1])),
    )


@dataclass(frozen=True, slots=True)
class _Example:
    """One ranking: its query, features [n, FEATURES] and grades [n]."""

    query: str
    table: Float32Array
    grades: np.ndarray


def _examples(rankings: Sequence[Candidates], judgments: Judgments) -> list[_Example]:
    terms = Terms()
    examples = []
    for candidates in rankings:
        query = candidates.ranking.query.id
        judged = judgments.get(query, {})
        grades = np.array([max(judged.get(p.id, 0), 0) for p in candidates.passages], np.int32)
        if len(np.unique(grades)) > 1:
            examples.append(_Example(query, features(candidates, terms), grades))
    return examples


def _held_out(queries: list[str], share: float, seed: int) -> set[str]:
    """The queries that training is stopped on, drawn by seed."""
    number = round(len(queries) * share)
    if not 0 < number < len(queries):
        raise BadData(
            f"{len(queries)} queries have candidates of different grades, {number} of them to "
            f"hold out; give more queries, or rankings that hold relevant passages"
        )
    shuffled = np.random.default_rng(seed).permutation(np.array(queries, object))
    return set(shuffled[:number].tolist())


def _dataset(lightgbm: Any, examples: list[_Example]) -> Any:
    return lightgbm.Dataset(
        np.concatenate([example.table for example in examples]),
        label=np.concatenate([example.grades for example in examples]),
        group=[len(example.grades) for example in examples],
        feature_name=list(FEATURES),
        free_raw_data=True,
    )


def _portable(text: str) -> str:
    """Without the list of training parameters (threads, paths), which prediction never reads."""
    head, _, tail = text.partition("\nparameters:\n")
    return head + "\n" + tail.partition("\nend of parameters\n")[2].lstrip("\n")

"""How well simple models that learn from judgments tell the relevant from the judged and useless.

    .venv/bin/python benchmarks/quality_baselines.py COLLECTION [--train train] [--dev dev]
        [--test test] [--json FILE]

COLLECTION is a BEIR folder whose judgments also say what is not relevant. The examples of a split
are the passages that its queries have judged: positive where one of them is relevant. A passage
that two splits have judged is left out of both. Models: logistic regression over TF-IDF of words
and word pairs (scikit-learn), logistic regression over the cheap features, and length alone. How
much each is held back is chosen by the area under the ROC curve on the dev split; the area on the
test split comes with a bootstrap over its queries, 2,000 resamples, seed 0. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from measuring import hardware

from tamis.core.corpus import Flaw, open_corpus
from tamis.core.qrels import read_qrels
from tamis.encoders.quality.features import features
from tamis.encoders.quality.fitting import fit_columns
from tamis.encoders.quality.length import LengthQuality
from tamis.eval.discrimination import area_under_roc, clustered_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    from numpy.typing import NDArray

    Scorer: TypeAlias = Callable[[Sequence[str]], NDArray[Any]]

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
"""What a squared weight costs; scikit-learn's C is one over it."""


@dataclass(frozen=True)
class Split:
    """Judged passages in the order of their ids, and the queries that judged each."""

    texts: list[str]
    labels: NDArray[np.bool_]
    queries: list[list[str]]


def fit_tfidf(texts: Sequence[str], labels: NDArray[np.bool_], penalty: float) -> Scorer:
    """Log-odds by logistic regression over TF-IDF of words and pairs that two texts share."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    model = LogisticRegression(C=1 / penalty, max_iter=2_000)
    model.fit(words.fit_transform(texts), labels)
    return lambda wanted: model.decision_function(words.transform(wanted))


def fit_cheap(texts: Sequence[str], labels: NDArray[np.bool_], penalty: float) -> Scorer:
    return fit_columns(features(texts), labels, l2=penalty).score


def splits(folder: Path, names: Sequence[str]) -> dict[str, Split]:
    """Of each name, what its judgments say alone."""
    judged: dict[str, dict[str, list[tuple[str, int]]]] = {}
    for name in names:
        found = defaultdict(list)
        for query, grades in read_qrels(folder / "qrels" / f"{name}.tsv").judgments.items():
            for passage, grade in grades.items():
                found[passage].append((query, grade))
        judged[name] = found
    times = defaultdict(int)
    for found in judged.values():
        for passage in found:
            times[passage] += 1
    texts = {
        item.id: item.full_text
        for item in open_corpus(folder)
        if not isinstance(item, Flaw) and times.get(item.id) == 1
    }
    made = {}
    for name, found in judged.items():
        ids = sorted(found.keys() & texts.keys())
        labels = np.array([any(grade > 0 for _, grade in found[i]) for i in ids], np.bool_)
        queries = [[query for query, _ in found[i]] for i in ids]
        made[name] = Split([texts[i] for i in ids], labels, queries)
        if len(set(labels.tolist())) < 2:
            raise SystemExit(f"{name} has judgments of one kind only: nothing to tell apart")
    return made


def chosen(
    fit: Callable[[Sequence[str], NDArray[np.bool_], float], Scorer], train: Split, dev: Split
) -> tuple[float, float, Scorer]:
    """(penalty, area on dev, scorer) of the best on dev."""
    tried = []
    for penalty in PENALTIES:
        scorer = fit(train.texts, train.labels, penalty)
        tried.append((area_under_roc(scorer(dev.texts), dev.labels), penalty, scorer))
    area, penalty, scorer = max(tried, key=lambda each: each[:2])
    return penalty, area, scorer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("collection", type=Path)
    for name in ("train", "dev", "test"):
        parser.add_argument(f"--{name}", default=name)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = splits(asked.collection, [asked.train, asked.dev, asked.test])
    train, dev, test = (found[name] for name in (asked.train, asked.dev, asked.test))
    for name, split in found.items():
        print(f"{name}: {len(split.labels):,} passages, {int(split.labels.sum()):,} relevant")
    rows = {"length": (None, area_under_roc(LengthQuality().score(dev.texts), dev.labels))}
    scorers: dict[str, Scorer] = {"length": LengthQuality().score}
    for name, fit in (("features", fit_cheap), ("TF-IDF", fit_tfidf)):
        penalty, on_dev, scorers[name] = chosen(fit, train, dev)
        rows[name] = (penalty, on_dev)
    body: dict[str, Any] = {"hardware": hardware(), "models": {}}
    for name, (penalty, on_dev) in rows.items():
        area = clustered_interval(scorers[name](test.texts), test.labels, test.queries)
        body["models"][name] = {
            "penalty": penalty,
            "dev": on_dev,
            "test": [area.value, area.low, area.high],
        }
        print(
            f"{name:10} dev {on_dev:.3f}  test {area.value:.3f} [{area.low:.3f}, {area.high:.3f}]"
        )
    if asked.json:
        asked.json.write_text(json.dumps(body, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

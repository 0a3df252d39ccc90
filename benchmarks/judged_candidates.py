"""What the learning-to-rank programs share: judged queries, their hybrid candidates, features.

A sibling script, as ``measuring.py``. Hybrid candidates are the best 100 of reciprocal rank fusion
of a dense and a BM25 search, 1,000 each. Queries go through the search one by one, so that every
stage's milliseconds are those of a query alone. All of it is kept in WORK under the fingerprints
of index, features and queries.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import tamis
import tamis.rerank
from tamis.core.durable import replacing
from tamis.core.fingerprints import of_file, of_value
from tamis.core.qrels import read_qrels
from tamis.core.records import Ranking
from tamis.core.topk import best_first
from tamis.eval.evaluate import evaluate
from tamis.pipeline.candidates import candidates
from tamis.pipeline.progress import Bars
from tamis.rerank.features import features
from tamis.rerank.terms import Terms
from tamis.rerank.training.lambdamart import Example

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tamis.core.records import Float64Array, Judgments, Query
    from tamis.pipeline.opening import Index

DEPTH = 100
MEASURE = "nDCG@10"
FIRST = ("dense", "bm25", "rrf")
CODE = ("features", "matching", "coverage", "proximity", "lexical_scores", "stage_scores", "terms")


@dataclass(frozen=True)
class Judged:
    """One query: its candidates by reciprocal rank fusion, with features and grades, row for row.

    ``first`` are the scores of dense and BM25, NaN where one did not find the passage.
    """

    query: Query
    rows: np.ndarray
    scores: np.ndarray
    first: Mapping[str, np.ndarray]
    table: np.ndarray
    grades: np.ndarray

    @property
    def example(self) -> Example:
        return Example(self.query.id, self.table, self.grades)

    @property
    def teaches(self) -> bool:
        return len(np.unique(self.grades)) > 1

    @property
    def ranking(self) -> Ranking:
        return Ranking(self.query, self.rows, self.scores, dict(self.first))


@dataclass(frozen=True)
class Split:
    """Judged queries of a split; values [queries] by first stage; milliseconds [queries] by step:
    encode, dense, lexical, fuse, features (texts read and features computed); of the last also
    what the processor was busy with it, which other work on the machine does not lengthen."""

    name: str
    index: Index
    queries: Sequence[Judged]
    judgments: Judgments
    values: Mapping[str, Float64Array]
    milliseconds: Mapping[str, Float64Array]

    def first_stage_ms(self, system: str) -> Float64Array:
        steps = {
            "dense": ("encode", "dense"),
            "bm25": ("lexical",),
            "rrf": ("encode", "dense", "lexical", "fuse"),
        }
        return np.sum([self.milliseconds[step] for step in steps[system]], axis=0)


def opened(collection: Path, encoder: str, work: Path) -> Index:
    """The index of a collection, built where it is not there yet."""
    folder = work / f"{collection.name}-{Path(encoder).name}"
    if folder.exists():
        return tamis.open_index(folder)
    return tamis.build(collection, folder, encoder=encoder, progress=Bars())


def judged(collection: Path, split: str, index: Index, work: Path, most: int = 0) -> Split:
    """The queries of a split that have a relevant passage; at most ``most``, drawn with seed 0."""
    grades = read_qrels(collection / "qrels" / f"{split}.tsv").judgments
    path = next(iter(sorted(collection.glob("queries.jsonl*"))))
    asked = [
        query
        for query in tamis.read_queries(path)
        if any(grade > 0 for grade in grades.get(query.id, {}).values())
    ]
    if most and most < len(asked):
        drawn = np.random.default_rng(0).permutation(len(asked))[:most]
        asked = [asked[place] for place in sorted(drawn.tolist())]
    own = {query.id: grades[query.id] for query in asked}
    arrays = _kept(work, f"{collection.name}-{split}", index, asked, own)
    ends = np.cumsum(arrays["lengths"])[:-1]
    parts = {
        name: np.split(arrays[name], ends)
        for name in ("rows", "scores", "dense", "lexical", "table", "grades")
    }
    queries = [
        Judged(
            query,
            parts["rows"][n],
            parts["scores"][n],
            {name: parts[name][n] for name in ("dense", "lexical")},
            parts["table"][n],
            parts["grades"][n],
        )
        for n, query in enumerate(asked)
    ]
    values = {name: arrays[f"value {name}"] for name in FIRST}
    spent = {name[3:]: arrays[name] for name in arrays if name.startswith("ms ")}
    return Split(collection.name, index, queries, own, values, spent)


def _kept(
    work: Path, name: str, index: Index, asked: Sequence[Query], judgments: Judgments
) -> Mapping[str, np.ndarray]:
    home = Path(tamis.rerank.__file__).parent
    code = [of_file(home / f"{each}.py") for each in CODE]
    told = of_value([index.fingerprint, code, [query.id for query in asked]])[:16]
    path = work / f"{name}-{told}.npz"
    if not path.is_file():
        made = _made(index, asked, judgments)
        with replacing(path, "wb") as out:
            np.savez(out, **made)
    with np.load(path, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def _made(index: Index, asked: Sequence[Query], judgments: Judgments) -> dict[str, np.ndarray]:
    search = tamis.Search(dense=index.dense(1000), lexical=index.lexical(1000))
    search.run(asked[:3])  # what is loaded at first use is loaded now
    run = search.run(asked, at_once=1, progress=Bars())
    tables, grades, spent, busy, terms = [], [], [], [], Terms()
    tops = [ranking.top(DEPTH) for ranking in run]
    for top in tops:
        began, busy_since = time.perf_counter(), time.thread_time()
        (seen,) = candidates(index.passages, [top])
        tables.append(features(seen, terms))
        spent.append(1000 * (time.perf_counter() - began))
        busy.append(1000 * (time.thread_time() - busy_since))
        own = judgments[top.query.id]
        grades.append(np.array([max(own.get(p.id, 0), 0) for p in seen.passages], np.int32))
    steps = {name.split(" ")[0]: 1000 * time.seconds for name, time in run.times.items()}
    return {
        "lengths": np.array([len(top) for top in tops]),
        "rows": np.concatenate([top.rows for top in tops]),
        "scores": np.concatenate([top.scores for top in tops]),
        **{
            stage: np.concatenate([top.stages[stage] for top in tops])
            for stage in ("dense", "lexical")
        },
        "table": np.concatenate(tables),
        "grades": np.concatenate(grades),
        **_values(index, run.rankings, judgments),
        **{f"ms {name}": each for name, each in steps.items()},
        "ms features": np.array(spent),
        "ms features (cpu)": np.array(busy),
    }


def _values(
    index: Index, rankings: Sequence[Ranking], judgments: Judgments
) -> dict[str, np.ndarray]:
    """nDCG@10 of dense, BM25 and their fusion, in the order of the queries."""
    systems = {
        "dense": [_alone(ranking, "dense") for ranking in rankings],
        "bm25": [_alone(ranking, "lexical") for ranking in rankings],
        "rrf": [(ranking.rows[:DEPTH], ranking.scores[:DEPTH]) for ranking in rankings],
    }
    names = [ranking.query.id for ranking in rankings]
    return {
        f"value {name}": values_of(
            index, names, [rows for rows, _ in found], [s for _, s in found], judgments
        )
        for name, found in systems.items()
    }


def _alone(ranking: Ranking, stage: str) -> tuple[np.ndarray, np.ndarray]:
    scores = ranking.stages[stage]
    there = ~np.isnan(scores)
    rows, scores = best_first(ranking.rows[there], scores[there])
    return rows[:DEPTH], scores[:DEPTH]


def values_of(
    index: Index,
    queries: Sequence[str],
    rows: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    judgments: Judgments,
) -> Float64Array:
    """nDCG@10 of each query, in their order."""
    run = {
        query: dict(zip(index.passages.ids(own), np.asarray(score, float).tolist(), strict=True))
        for query, own, score in zip(queries, rows, scores, strict=True)
    }
    found = evaluate(run, judgments, [MEASURE])
    place = {query: number for number, query in enumerate(found.queries)}
    return found.values[MEASURE][[place[query] for query in queries]]


def folds_of(queries: Sequence[Judged], number: int = 5, seed: int = 0) -> np.ndarray:
    """[queries]: the fold of each, dealt out by seed."""
    found = np.empty(len(queries), np.int64)
    found[np.random.default_rng(seed).permutation(len(queries))] = np.arange(len(queries)) % number
    return found


def over_the_best(ours: str, lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines, those of the system ``ours`` with the ratio of its measure to that of the best
    other system of the same collection."""
    found = []
    for line in lines:
        others = [
            each[MEASURE]
            for each in lines
            if each["collection"] == line["collection"] and each["system"] != ours
        ]
        if line["system"] == ours and others and max(others) > 0:
            mean, best = line[MEASURE], max(others)
            told = {"ratio": round(mean / best, 4), "ours": mean, "peer": best, "unit": MEASURE}
            found.append({**line, **told})
        else:
            found.append(line)
    return found

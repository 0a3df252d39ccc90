"""A cascade of three stages against each of its stages alone, on test queries.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/cascade_stages.py COLLECTIONS WORK
        [--encoder tamis-small] [--second minilm] [--only cranfield scifact ...] [--most N]
        [--train N] [--timed N] [--cache FOLDER] [--json FILE]

The cascade: hybrid search (reciprocal ranks of dense and BM25, 1,000 each), LambdaMART over the
best 100, and over the best 50 of these a second encoder's cosine (``encoder=minilm:50``), blended
with everything before it by a second small LambdaMART that sees it as six more features. Each
stage's scorer alone: dense, BM25, their fusion, LambdaMART over the fusion's 100, the second
encoder over the same 100. Both forests learn from four folds of the test split's queries (and from
the train split where there is one, at most 1,000, drawn with seed 0) and order the fifth, so every
query is judged once, by forests that have not seen it; settings as in lambdamart_folds.py, fixed
beforehand. The blend learns from the fusion's 100 candidates, and is used on the 50 that LambdaMART
leaves. Paired randomisation tests of the cascade against every stage: in the table one Holm family
over all comparisons of all collections. That it is above *every* stage of a collection is claimed
by an intersection-union test (Berger 1982), whose p is the largest of the collection's five, with
Holm over the collections. Exits 1 unless three such claims have p < .05. The ratio of a collection
is the cascade's nDCG@10 over that of the best stage, chosen afterwards.

The second encoder's vectors of whole collections come from the cache of retention.py (made where
they are not there: some minutes a collection for MiniLM on one core); the milliseconds, of --timed
queries asked one by one, are those of encoding the candidates when they are asked for.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from judged_candidates import (
    DEPTH,
    MEASURE,
    Judged,
    Split,
    folds_of,
    judged,
    opened,
    over_the_best,
    values_of,
)
from lambdamart_folds import COLLECTIONS, SETTINGS
from measuring import hardware
from rich.console import Console
from rich.table import Table

import tamis
from tamis.core.fingerprints import of_texts
from tamis.core.records import Ranking
from tamis.core.topk import best_first
from tamis.eval.intervals import bootstrap_intervals
from tamis.eval.significance import holm, paired_tests
from tamis.pipeline.candidates import candidates
from tamis.rerank.features import feature_names
from tamis.rerank.lambdamart import LambdamartReranker
from tamis.rerank.stage_scores import scores_so_far, stage_scores
from tamis.rerank.training.lambdamart import Example, train_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tamis.core.protocols import Encoder
    from tamis.core.records import Float32Array

QUICK = "{collections} {work} --only cranfield --most 60 --timed 0"

KEEP = 50
SECOND = "encoder"
CASCADE = "cascade"
TOLD = {
    "dense": "dense",
    "bm25": "BM25",
    "rrf": "their fusion",
    "lambdamart": f"lambdamart over {DEPTH}",
    SECOND: f"second encoder over {DEPTH}",
    CASCADE: f"lambdamart:{DEPTH}, second encoder:{KEEP}, blend",
}


@dataclass(frozen=True)
class SecondOpinion:
    """Vectors of a collection's rows and of queries by their id."""

    passages: Float32Array
    queries: dict[str, Float32Array]

    @classmethod
    def of(cls, encoder: Encoder, splits: Sequence[Split], cache: Path) -> SecondOpinion:
        index = splits[0].index
        rows = np.arange(len(index.passages))
        texts = [passage.full_text for passage in index.passages.passages(rows)]
        asked = [each.query for split in splits for each in split.queries]
        vectors = _kept(encoder, cache, [query.text for query in asked], "query")
        by_query = dict(zip([query.id for query in asked], vectors, strict=True))
        return cls(_kept(encoder, cache, texts, "passage"), by_query)

    def scores(self, query: str, rows: np.ndarray) -> Float32Array:
        return np.asarray(self.passages[rows] @ self.queries[query], np.float32)


def _kept(encoder: Encoder, cache: Path, texts: list[str], role: Any) -> Float32Array:
    """As retention.py keeps MiniLM's vectors, under the same names."""
    path = cache / f"{encoder.card.name}-{role}-{of_texts(texts)[:24]}.npy"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, encoder.encode(texts, role).vectors)
    return np.asarray(np.load(path))


def with_second(given: Judged, second: Float32Array) -> Example:
    """What the blend learns from: the features that are there, and those of the second opinion.

    The ranking so far is the second encoder's, as it is where the blend is used.
    """
    ranking = Ranking(given.query, given.rows, second, {**given.first, SECOND: second})
    columns = stage_scores(ranking, ["dense", "lexical", SECOND])
    columns |= scores_so_far(ranking, columns, None)
    names = list(feature_names([SECOND]))
    table = np.empty((len(given.rows), len(names)), np.float32)
    table[:, : given.table.shape[1]] = given.table
    for place, name in enumerate(names):
        if name in columns and not name.startswith("quality"):
            table[:, place] = columns[name]
    return Example(given.query.id, table, given.grades)


@dataclass(frozen=True)
class Fold:
    """The two forests of a fold, as rerankers."""

    first: LambdamartReranker
    blend: LambdamartReranker

    @classmethod
    def of(
        cls, plain: Sequence[Example], blended: Sequence[Example], folder: Path, name: str
    ) -> Fold:
        made = []
        for kind, examples, stages in (("first", plain, ()), ("blend", blended, (SECOND,))):
            path = folder / f"{name}-{kind}.txt"
            teaching = [each for each in examples if len(np.unique(each.grades)) > 1]
            path.write_text(train_on(teaching, stages=stages, **SETTINGS).text, "utf-8")
            made.append(LambdamartReranker(model=path, keep=DEPTH if kind == "first" else KEEP))
        return cls(*made)

    def order(
        self, split: Split, given: Judged, opinion: SecondOpinion
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Rows and scores of LambdaMART alone and of the cascade."""
        (seen,) = candidates(split.index.passages, [given.ranking])
        (scores,) = self.first.score([seen])
        rows, ordered = best_first(given.rows, scores)
        top = rows[:KEEP]
        second = opinion.scores(given.query.id, top)
        place = {row: number for number, row in enumerate(given.rows.tolist())}
        places = [place[row] for row in top.tolist()]
        stages = {name: values[places] for name, values in given.first.items()}
        ranking = Ranking(
            given.query, top, second, {**stages, "lambdamart": ordered[:KEEP], SECOND: second}
        )
        (final,) = self.blend.score(candidates(split.index.passages, [ranking]))
        return {"lambdamart": (rows, ordered), CASCADE: best_first(top, final)}


def measured(
    split: Split, train: Split | None, opinion: SecondOpinion, work: Path
) -> dict[str, Any]:
    """Values [queries] by system, and the last fold's forests for timing."""
    fold, queries = folds_of(split.queries), split.queries
    more = train.queries if train else []
    joined = {
        each.query.id: with_second(each, opinion.scores(each.query.id, each.rows))
        for each in (*queries, *more)
    }
    orders: list[dict[str, tuple[np.ndarray, np.ndarray]]] = [{} for _ in queries]
    forests = None
    for number in range(fold.max() + 1):
        own = [each for each, f in zip(queries, fold, strict=True) if f != number]
        taught = [*own, *more]
        forests = Fold.of(
            [each.example for each in taught],
            [joined[each.query.id] for each in taught],
            work,
            f"{split.name}-{number}",
        )
        for place in np.flatnonzero(fold == number):
            orders[place] = forests.order(split, queries[place], opinion)
            second = opinion.scores(queries[place].query.id, queries[place].rows)
            orders[place][SECOND] = (queries[place].rows, second)
    names = [each.query.id for each in queries]
    values = dict(split.values)
    for system in ("lambdamart", SECOND, CASCADE):
        found = [each[system] for each in orders]
        values[system] = values_of(
            split.index, names, [r for r, _ in found], [s for _, s in found], split.judgments
        )
    return {"values": values, "forests": forests}


def milliseconds(split: Split, forests: Fold, encoder: Encoder, timed: int) -> dict[str, float]:
    """Median of each system, every query asked alone, everything computed when it is asked for."""
    from tamis.rerank.whole_vectors import EncoderReranker

    index, asked = split.index, [each.query for each in split.queries[:timed]]
    stages = {
        "dense": tamis.Search(dense=index.dense(1000)),
        "bm25": tamis.Search(lexical=index.lexical(1000)),
    }
    both: dict[str, Any] = {"dense": index.dense(1000), "lexical": index.lexical(1000)}
    stages["rrf"] = tamis.Search(**both)
    stages["lambdamart"] = tamis.Search(**both, rerank=[forests.first])
    wide, narrow = (EncoderReranker(whole_encoder=encoder, keep=k) for k in (DEPTH, KEEP))
    stages[SECOND] = tamis.Search(**both, rerank=[wide])
    stages[CASCADE] = tamis.Search(**both, rerank=[forests.first, narrow, forests.blend])
    found = {}
    for name, search in stages.items():
        search.run(asked[:1])
        spent = []
        for query in asked:
            began = time.perf_counter()
            search.run([query])
            spent.append(1000 * (time.perf_counter() - began))
        found[name] = float(np.median(spent))
    return found


def judged_all(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A line a system and collection; p of the cascade against it after Holm over all lines."""
    keys = [(name, system) for name, each in found.items() for system in TOLD if system != CASCADE]
    tests = [
        paired_tests(found[name]["values"][CASCADE][None], found[name]["values"][system][None])[0]
        for name, system in keys
    ]
    adjusted = dict(zip(keys, holm([test.p_randomisation for test in tests]), strict=True))
    plain = dict(zip(keys, tests, strict=True))
    lines = []
    for name, each in found.items():
        systems = list(TOLD)
        intervals = bootstrap_intervals(np.stack([each["values"][system] for system in systems]))
        for system, interval in zip(systems, intervals, strict=True):
            test = plain.get((name, system))
            lines.append(
                {
                    "collection": name,
                    "queries": len(each["values"][system]),
                    "system": system,
                    MEASURE: round(float(each["values"][system].mean()), 4),
                    "low": round(interval.low or 0.0, 4),
                    "high": round(interval.high or 0.0, 4),
                    "cascade minus it": None if test is None else round(test.delta, 4),
                    "p": None if test is None else test.p_randomisation,
                    "p_holm": adjusted.get((name, system)),
                    "p50_ms": round(each["ms"][system], 1) if each["ms"] else None,
                }
            )
    return lines


def claims(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """By collection, p after Holm of "above every single stage"; 1 where it is not."""
    largest: dict[str, float] = {}
    for line in lines:
        if line["p"] is not None:
            p = line["p"] if line["cascade minus it"] > 0 else 1.0
            largest[line["collection"]] = max(p, largest.get(line["collection"], 0.0))
    return dict(zip(largest, holm(list(largest.values())), strict=True))


def on_the_front(line: dict[str, Any], lines: Sequence[dict[str, Any]]) -> bool:
    """Nobody is better and as quick."""
    rivals = [each for each in lines if each["collection"] == line["collection"]]
    return line["p50_ms"] is not None and not any(
        each[MEASURE] > line[MEASURE] and each["p50_ms"] <= line["p50_ms"] for each in rivals
    )


def table(lines: Sequence[dict[str, Any]]) -> Table:
    found = Table("collection", "system", MEASURE, "cascade -", "p", "p Holm", "p50 ms", "front")
    for line in lines:
        ours = line["p"] is None
        found.add_row(
            f"{line['collection']} ({line['queries']})",
            TOLD[line["system"]],
            f"{line[MEASURE]:.4f} ({line['low']:.3f}-{line['high']:.3f})",
            "" if ours else f"{line['cascade minus it']:+.4f}",
            "" if ours else f"{line['p']:.2g}",
            "" if ours else f"{line['p_holm']:.2g}",
            "" if line["p50_ms"] is None else f"{line['p50_ms']:.1f}",
            "*" if on_the_front(line, lines) else "",
            end_section=ours,
        )
    return found


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("collections", type=Path)
    options.add_argument("work", type=Path)
    options.add_argument("--encoder", default="tamis-small")
    options.add_argument("--second", default="minilm")
    options.add_argument("--only", nargs="+", default=COLLECTIONS)
    options.add_argument("--most", type=int, default=0, metavar="N")
    options.add_argument("--train", type=int, default=1000, metavar="N")
    options.add_argument("--timed", type=int, default=20, metavar="N")
    options.add_argument("--cache", type=Path, default=Path.home() / ".cache/tamis/retention")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    work = chosen.work
    (work / "forests").mkdir(parents=True, exist_ok=True)
    second = tamis.encoder(chosen.second)
    found: dict[str, dict[str, Any]] = {}
    for name in chosen.only:
        folder = chosen.collections / name
        index = opened(folder, chosen.encoder, work)
        split, train = judged(folder, "test", index, work, chosen.most), None
        if (folder / "qrels" / "train.tsv").is_file():
            train = judged(folder, "train", index, work, chosen.train)
        splits = [split] if train is None else [split, train]
        opinion = SecondOpinion.of(second, splits, chosen.cache)
        each = measured(split, train, opinion, work / "forests")
        timed = chosen.timed
        each["ms"] = milliseconds(split, each["forests"], second, timed) if timed else {}
        found[name] = each
        Console(width=150).print(table(judged_all(found)))
    lines = judged_all(found)
    above = claims(lines)
    for name, p in above.items():
        print(f"{name}: above every single stage, p after Holm over the collections: {p:.2g}")
    body = {
        "lines": over_the_best(CASCADE, lines),
        "above every stage, p": above,
        "encoder": chosen.encoder,
        "second": chosen.second,
        "command": shlex.join(["python", *sys.argv]),
        "hardware": hardware(),
    }
    print(json.dumps(body))
    if chosen.json:
        chosen.json.write_text(json.dumps(body, indent=2))
    return 0 if sum(p < 0.05 for p in above.values()) >= min(3, len(found)) else 1


if __name__ == "__main__":
    sys.exit(main())

"""LambdaMART over hybrid candidates, five folds by query: is it worth its milliseconds?

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/lambdamart_folds.py COLLECTIONS WORK
        [--encoder tamis-small] [--only cranfield scifact ...] [--most N] [--train N] [--json FILE]

For each collection the test split's queries that have a relevant passage are dealt into five folds;
trees learn from four and order the fifth, so every query is judged once, by a model that has not
seen it. Queries of the train split (at most 1,000, drawn with seed 0), where there is one, join
every training set and are never judged. The settings were fixed beforehand, the same for all
collections: 7 leaves, rate .05, at most 200 trees, stopped on folds *inside* the training queries
(four, each held out once, the forests averaged). Beside it dense search, BM25 and their reciprocal
rank fusion; 95 % bootstrap intervals; paired randomisation tests against each of the three, one
Holm family over all comparisons of all collections. Milliseconds are those of one query alone on
this machine: first stages as they are, and what LambdaMART adds for its 100 candidates (texts
read, features, trees); of the latter also the processor's own time, which other work on the
machine does not lengthen. Exits 1 unless it is above all three with p < .05 after Holm on at least
three collections and adds at most 10 ms at the median. The ratio of a collection is its nDCG@10
over that of the best of the three, chosen afterwards. --most caps the queries of each test split
(drawn with seed 0). WORK keeps indexes and features; a second run is quick.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
from judged_candidates import (
    FIRST,
    MEASURE,
    Split,
    folds_of,
    judged,
    opened,
    over_the_best,
    values_of,
)
from measuring import hardware
from rich.console import Console
from rich.table import Table

from tamis.eval.intervals import bootstrap_intervals
from tamis.eval.significance import holm, paired_tests
from tamis.rerank.features import FEATURES
from tamis.rerank.lambdamart import forest_scores
from tamis.rerank.training.lambdamart import train_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tamis.core.records import Float64Array
    from tamis.rerank.training.lambdamart import Example

QUICK = "{collections} {work} --only cranfield --most 60"

COLLECTIONS = ("cranfield", "scifact", "medquad", "msmarco-dl19-pool")
SETTINGS: dict[str, Any] = {
    "trees": 200,
    "patience": 30,
    "folds": 4,
    "threads": 1,
    "parameters": {
        "num_leaves": 7,
        "learning_rate": 0.05,
        "min_data_in_leaf": 50,
        "feature_fraction": 0.4,
    },
}
OURS = "lambdamart"
ALLOWED_MS = 10.0


def cross_validated(
    split: Split, more: Sequence[Example]
) -> tuple[Float64Array, Float64Array, dict[str, float]]:
    """nDCG@10 [queries], milliseconds that the trees take [queries], and the gains of features."""
    fold = folds_of(split.queries)
    scores: list[np.ndarray] = [np.empty(0)] * len(split.queries)
    spent = np.zeros(len(split.queries))
    gains = dict.fromkeys(FEATURES, 0.0)
    for number in range(fold.max() + 1):
        own = [q.example for q, f in zip(split.queries, fold, strict=True) if f != number]
        own = [each for each in own if len(np.unique(each.grades)) > 1]
        trained = train_on([*own, *more], **SETTINGS)
        gains = {name: gains[name] + trained.gains[name] for name in gains}
        booster = lightgbm.Booster(model_str=trained.text)
        for place in np.flatnonzero(fold == number):
            began = time.thread_time()
            scores[place] = forest_scores(booster, split.queries[place].table)
            spent[place] = 1000 * (time.thread_time() - began)
    names = [each.query.id for each in split.queries]
    rows = [each.rows for each in split.queries]
    return values_of(split.index, names, rows, scores, split.judgments), spent, gains


def measured(split: Split, more: Sequence[Example]) -> dict[str, Any]:
    """Values [queries] and milliseconds by system, before any test."""
    values, trees, gains = cross_validated(split, more)
    added = split.milliseconds["features"] + trees
    busy = split.milliseconds["features (cpu)"] + trees
    milliseconds = {name: split.first_stage_ms(name) for name in FIRST}
    total = sum(gains.values())
    best = sorted(gains.items(), key=lambda item: -item[1])[:10]
    return {
        "collection": split.name,
        "queries": len(values),
        "taught by the train split": len(more),
        "values": {**split.values, OURS: values},
        "ms": {**milliseconds, OURS: added},
        "busy_ms": round(float(np.median(busy)), 2),
        "gains": {name: round(gain / total, 3) for name, gain in best},
    }


def judged_all(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line a system and collection, with p after Holm over all comparisons."""
    p_values = [
        paired_tests(each["values"][OURS][None], each["values"][name][None])[0].p_randomisation
        for each in found
        for name in FIRST
    ]
    adjusted = iter(zip(p_values, holm(p_values), strict=True))
    lines = []
    for each in found:
        intervals = bootstrap_intervals(np.stack(list(each["values"].values())))
        for (name, values), interval in zip(each["values"].items(), intervals, strict=True):
            p, p_holm = next(adjusted) if name != OURS else (None, None)
            middle, high = np.percentile(each["ms"][name], (50, 95))
            lines.append(
                {
                    "collection": each["collection"],
                    "queries": each["queries"],
                    "system": name,
                    MEASURE: round(float(values.mean()), 4),
                    "low": round(interval.low or 0.0, 4),
                    "high": round(interval.high or 0.0, 4),
                    "ours minus it": round(float((each["values"][OURS] - values).mean()), 4),
                    "p": p,
                    "p_holm": p_holm,
                    "p50_ms": round(float(middle), 2),
                    "p95_ms": round(float(high), 2),
                }
            )
    return lines


def table(lines: list[dict[str, Any]]) -> Table:
    found = Table(
        "collection", "queries", "system", MEASURE, "ours -", "p", "p Holm", "p50 ms", "p95 ms"
    )
    for line in lines:
        ours = line["system"] == OURS
        found.add_row(
            line["collection"],
            str(line["queries"]),
            "+ lambdamart" if ours else line["system"],
            f"{line[MEASURE]:.4f} ({line['low']:.3f}-{line['high']:.3f})",
            "" if ours else f"{line['ours minus it']:+.4f}",
            "" if ours else f"{line['p']:.2g}",
            "" if ours else f"{line['p_holm']:.2g}",
            f"{'+' if ours else ''}{line['p50_ms']:.1f}",
            f"{'+' if ours else ''}{line['p95_ms']:.1f}",
            end_section=ours,
        )
    return found


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("collections", type=Path)
    options.add_argument("work", type=Path)
    options.add_argument("--encoder", default="tamis-small")
    options.add_argument("--only", nargs="+", default=COLLECTIONS)
    options.add_argument("--most", type=int, default=0, metavar="N")
    options.add_argument("--train", type=int, default=1000, metavar="N")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    found = []
    for name in chosen.only:
        folder = chosen.collections / name
        index = opened(folder, chosen.encoder, chosen.work)
        split = judged(folder, "test", index, chosen.work, chosen.most)
        more = []
        if (folder / "qrels" / "train.tsv").is_file():
            train = judged(folder, "train", index, chosen.work, chosen.train)
            more = [each.example for each in train.queries if each.teaches]
        found.append(measured(split, more))
        Console(width=160).print(table(judged_all(found)))
    lines = judged_all(found)
    better = [
        each["collection"]
        for each in found
        if all(
            line["ours minus it"] > 0 and line["p_holm"] < 0.05
            for line in lines
            if line["collection"] == each["collection"] and line["system"] != OURS
        )
    ]
    slowest = max(line["p50_ms"] for line in lines if line["system"] == OURS)
    print(f"above dense, BM25 and RRF, p < .05 after Holm: {', '.join(better) or 'nowhere'}")
    print(f"at most {slowest:.1f} ms added at the median, {len(FEATURES)} features")
    busy = max(each["busy_ms"] for each in found)
    print(f"of the processor's own time at most {busy:.1f} ms at the median")
    body = {
        "lines": over_the_best(OURS, lines),
        "gains": {each["collection"]: each["gains"] for each in found},
        "busy_p50_ms": {each["collection"]: each["busy_ms"] for each in found},
        "encoder": chosen.encoder,
        "settings": SETTINGS,
        "command": shlex.join(["python", *sys.argv]),
        "hardware": hardware(),
    }
    print(json.dumps(body))
    if chosen.json:
        chosen.json.write_text(json.dumps(body, indent=2))
    return 0 if len(better) >= min(3, len(found)) and slowest <= ALLOWED_MS else 1


if __name__ == "__main__":
    sys.exit(main())

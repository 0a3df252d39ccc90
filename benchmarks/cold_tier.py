"""What a cold tier buys: R@100 with few queries sent there, against the whole collection's.

    .venv/bin/python benchmarks/cold_tier.py COLLECTIONS [--only wikiqa-passage msmarco-dl19-pool]
        [--keep 0.75 0.85] [--split test] [--encoder tamis-small] [--quality recurrent]
        [--budget 0.25] [--work FOLDER]

COLLECTIONS holds BEIR folders. Each is built with ``--keep`` and ``--cold``; thresholds are learned
by ``tamis tune-cold --budget`` from the judged queries of the train and dev splits that are not in
--split, or are the build's own where there are none. Then the queries of --split are searched in
the hot tier alone, with the thresholds, and in both tiers. Shares are means over means, in %; their
intervals are a bootstrap over queries, 10,000 resamples, seed 0. "At random" is what as many
queries drawn at random would keep on average, "best of 30 %" what that share of the queries would
that lost most: no signal can do better. Milliseconds are a query's own, asked alone, in
dense search: telling from the sketch whether it goes cold, searching the hot tier's vectors and,
where it went there, the cold one's; "sketch" is the size of what tells, beside the hot vectors.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measuring import hardware
from rich.console import Console
from rich.table import Table

import tamis
from tamis.core.qrels import read_qrels
from tamis.core.queries import read_queries
from tamis.eval.evaluate import evaluate
from tamis.index.cold_sketch import TERMS, VECTORS
from tamis.pipeline.cold.tuning import tune_cold
from tamis.pipeline.progress import Bars

if TYPE_CHECKING:
    from tamis.pipeline.opening import Index

QUICK = "{collections} --only wikiqa-passage --split dev --keep 0.75 --encoder tamis-tiny"

MOST = 0.3  # of the queries may go cold
RESAMPLES = 10_000
MODES = ("dense", "lexical", "hybrid")
WHENS = ("never", "auto", "always")
GRADES = {"msmarco-dl19-pool": 2}
"""The lowest grade that counts as relevant, where it is not 1."""


class Collection:
    """A BEIR folder, its judged queries in the split, and those of the other splits."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.grade = folder, GRADES.get(folder.name, 1)
        self.measure = f"R(rel={self.grade})@100" if self.grade > 1 else "R@100"
        self.judgments = self._judged(folder / "qrels" / f"{split}.tsv")
        self.other: dict[str, Any] = {}
        for path in sorted((folder / "qrels").glob("*.tsv")):
            if path.stem not in (split, "test"):
                self.other |= self._judged(path)
        self.other = {q: own for q, own in self.other.items() if q not in self.judgments}
        queries = read_queries(next(iter(sorted(folder.glob("queries.jsonl*")))))
        self.queries = [query for query in queries if query.id in self.judgments]
        self.learning = [query for query in queries if query.id in self.other]

    def _judged(self, path: Path) -> dict[str, Any]:
        found = read_qrels(path).judgments
        return {q: own for q, own in found.items() if any(g >= self.grade for g in own.values())}

    def tune(self, index: Path, budget: float) -> str:
        """Learn the thresholds; says from what."""
        if not self.learning:
            return "as built"
        queries, qrels = index.with_name("queries.tsv"), index.with_name("qrels.txt")
        queries.write_text("".join(f"{q.id}\t{q.text}\n" for q in self.learning), "utf-8")
        lines = [f"{q} 0 {p} {g}\n" for q, own in self.other.items() for p, g in own.items()]
        qrels.write_text("".join(lines), "utf-8")
        tune_cold(index, str(queries), str(qrels), budget=budget, progress=Bars())
        return f"{len(self.learning)} queries, budget {budget:g}"


@dataclass(frozen=True)
class Line:
    """One mode of one index; recall of each query by the hot tier, with thresholds, of all."""

    system: str
    thresholds: str
    hot: np.ndarray
    tiered: np.ndarray
    whole: np.ndarray
    cold: np.ndarray
    milliseconds: dict[str, float]

    def kept(self, part: np.ndarray) -> str:
        """A part of the whole's recall, in %, with its interval."""
        drawn = np.random.default_rng(0).integers(0, len(part), (RESAMPLES, len(part)))
        low, high = np.percentile(part[drawn].mean(1) / self.whole[drawn].mean(1), (2.5, 97.5))
        return f"{100 * self.ratio(part):.1f} [{100 * low:.1f}, {100 * high:.1f}]"

    def ratio(self, part: np.ndarray) -> float:
        return float(part.mean() / self.whole.mean())

    @property
    def at_random(self) -> float:
        share = float(self.cold.mean())
        return share + (1 - share) * self.ratio(self.hot)

    @property
    def at_best(self) -> float:
        """What a choice in full knowledge would keep, of 30 % of the queries."""
        gains = np.sort(self.whole - self.hot)[::-1][: int(MOST * len(self.hot))]
        return self.ratio(self.hot) + float(gains.sum() / self.whole.sum())

    def cells(self) -> list[str]:
        return [
            self.system,
            self.thresholds,
            f"{self.whole.mean():.4f}",
            self.kept(self.hot),
            f"{100 * self.cold.mean():.1f} %",
            self.kept(self.tiered),
            f"{100 * self.at_random:.1f}",
            f"{100 * self.at_best:.1f}",
            ", ".join(f"{name} {ms:.3f}" for name, ms in self.milliseconds.items()),
        ]

    def to_json(self) -> dict[str, Any]:
        values = {"ours": float(self.tiered.mean()), "peer": float(self.whole.mean())}
        told = {
            "cold": self.cold.mean(),
            "hot": self.ratio(self.hot),
            "random": self.at_random,
            "best": self.at_best,
        }
        about = {name: round(float(share), 4) for name, share in told.items()}
        return {
            "system": self.system,
            **about,
            "ratio": self.ratio(self.tiered),
            **values,
            "unit": "R@100",
        }


def measured(index: Index, mode: Any, collection: Collection, system: str, source: str) -> Line:
    values, milliseconds, cold = {}, {}, np.zeros(len(collection.queries), bool)
    for when in WHENS:
        search = index.searcher(100, mode=mode, cold=when)
        run = search.run(collection.queries, at_once=1, progress=Bars())
        found = evaluate(run.scores(), collection.judgments, [collection.measure])
        values[when] = np.asarray(next(iter(found.values.values())))
        if when == "auto":
            order = np.argsort([q.id for q in collection.queries], kind="stable")
            assert [collection.queries[n].id for n in order] == list(found.queries)
            cold = run.cold[order]
            for name in ("cold sketch", mode, f"{mode} (cold)"):
                if name in run.times and run.times[name].ran.any():
                    took = run.times[name].seconds[run.times[name].ran]
                    milliseconds[name] = 1e3 * float(np.median(took))
    hot, tiered, whole = (values[when] for when in WHENS)
    return Line(system, source, hot, tiered, whole, cold, milliseconds)


def sizes(folder: Path, index: Index) -> str:
    """Bytes of the sketch, of both tiers' vectors and of the BM25 indexes."""
    assert index.folder.manifest is not None
    held = {name: record.bytes for name, record in index.folder.manifest.files.items()}

    def under(start: str) -> float:
        return sum(size for name, size in held.items() if name.startswith(start)) / 1e6

    return (
        f"{folder.name}: sketch {held[VECTORS] / 1e6:.2f} MB of vectors and "
        f"{held[TERMS] / 1e6:.2f} MB of terms; vectors {held['index'] / 1e6:.2f} MB hot, "
        f"{held['cold/index'] / 1e6:.2f} MB cold; BM25 {under('lexical/'):.2f} MB hot, "
        f"{under('cold/lexical/'):.2f} MB cold"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("collections", type=Path)
    arguments.add_argument("--only", nargs="+", default=["wikiqa-passage", "msmarco-dl19-pool"])
    arguments.add_argument("--keep", nargs="+", type=float, default=[0.75, 0.85])
    arguments.add_argument("--split", default="test")
    arguments.add_argument("--encoder", default="tamis-small")
    arguments.add_argument("--quality", default="recurrent")
    arguments.add_argument("--budget", type=float, default=0.25)
    arguments.add_argument("--work", type=Path, help="Where indexes stay for a second run.")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        lines = list(all_lines(chosen, chosen.work or Path(temporary)))
    names = ("hot %", "went cold", "with it %", "at random %", "best of 30 %", "median ms")
    table = Table("index and mode", "thresholds by", "whole", *names)
    for line in lines:
        table.add_row(*line.cells())
    Console(width=200).print(table)
    print(f"R@100 in % of the whole's, 95 % bootstrap interval; {hardware()}")
    body = [line.to_json() for line in lines]
    print(json.dumps({"benchmark": "cold tier", "hardware": hardware(), "lines": body}))


def all_lines(chosen: argparse.Namespace, work: Path) -> Any:
    for name in chosen.only:
        collection = Collection(chosen.collections / name, chosen.split)
        for keep in chosen.keep:
            folder = work / f"{name}-{chosen.encoder}-{chosen.quality}-{keep:g}"
            if not (folder / "tamis.json").is_file():
                how: dict[str, Any] = {"keep": keep, "cold": True, "quality": chosen.quality}
                tamis.build(
                    collection.folder, folder, encoder=chosen.encoder, progress=Bars(), **how
                )
            source = collection.tune(folder, chosen.budget)
            index = tamis.open_index(folder)
            print(sizes(folder, index), flush=True)
            for mode in MODES:
                system = f"{name}, keep {keep:g}, {mode}"
                yield measured(index, mode, collection, system, source)


if __name__ == "__main__":
    main()

"""What a student keeps of its teacher: nDCG@10 as a share of MiniLM's, collection by collection.

    .venv/bin/python benchmarks/retention.py COLLECTIONS [--encoders tamis-small tamis-tiny static]
        [--adapt 20000] [--only scifact:test wikiqa-passage:test ...] [--cache FOLDER] [--json FILE]

COLLECTIONS holds BEIR folders. Passages are ranked by exact inner product; nDCG@10 as ir-measures
computes it, over the queries of the split that have a relevant passage. "asymmetric" takes MiniLM
for the queries and the student for the passages. --adapt N tunes the first encoder to at most N
passages of each collection, as ``tamis build --adapt N`` does, and measures that too. A share is
the student's mean over MiniLM's mean; its interval (and that of the mean over collections) is a
bootstrap over queries, 10,000 resamples, seed 0, the same queries drawn for both sides. MiniLM's
vectors are kept in the cache folder.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from measuring import hardware
from rich.console import Console
from rich.table import Table

import tamis
from tamis.core.fingerprints import of_texts
from tamis.core.qrels import read_qrels
from tamis.core.queries import read_queries
from tamis.core.topk import best_first
from tamis.encoders.recurrent.kinds import load_encoder
from tamis.encoders.training.adaptation import adapt, load_teacher
from tamis.eval.evaluate import evaluate
from tamis.index.building.vector_blocks import sample_rows
from tamis.pipeline.progress import Bars

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = "{collections} --encoders tamis-tiny --only wikiqa-passage:dev"

DEFAULT = (
    "scifact:test",
    "medquad:test",
    "wikiqa-passage:test",
    "msmarco-dl19-pool:test",
    "cranfield:test",
    "cacm:test",
    "boolq-dev:test",
    "negconstraint:test",
)
RESAMPLES = 10_000
MEASURE = "nDCG@10"
WAYS = ("symmetric", "asymmetric")


class Collection:
    """Passages, queries with a relevant passage, judgments, and MiniLM's vectors of both."""

    def __init__(self, folder: Path, split: str, cache: Path) -> None:
        self.name = f"{folder.name}:{split}"
        passages = [p for p in tamis.open_corpus(folder) if isinstance(p, tamis.Passage)]
        self.passages = passages
        self.ids = [p.id for p in passages]
        self.texts = [p.full_text for p in passages]
        judged = read_qrels(folder / "qrels" / f"{split}.tsv").judgments
        self.judgments = {q: own for q, own in judged.items() if any(g > 0 for g in own.values())}
        path = next(iter(sorted(folder.glob("queries.jsonl*"))))
        queries = [q for q in read_queries(path) if q.id in self.judgments]
        self.query_ids, self.queries = [q.id for q in queries], [q.text for q in queries]
        self.teacher_passages = kept(cache, self.texts, "passage")
        self.teacher_queries = kept(cache, self.queries, "query")

    def values(self, queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
        """nDCG@10 of each query, in the order of ``evaluate``: sorted by id as text."""
        run = {}
        for query, vector in zip(self.query_ids, queries, strict=True):
            scores = passages @ vector
            rows = np.argpartition(-scores, 99)[:100].astype(np.int64)
            rows, best = best_first(rows, scores[rows])
            run[query] = {self.ids[row]: float(s) for row, s in zip(rows, best, strict=True)}
        return np.asarray(evaluate(run, self.judgments, [MEASURE]).values[MEASURE])


def kept(cache: Path, texts: list[str], role: str) -> np.ndarray:
    """MiniLM's vectors, from the cache or made and kept."""
    path = cache / f"minilm-{role}-{of_texts(texts)[:24]}.npy"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, tamis.encoder("minilm").encode(texts, role).vectors)
    return np.asarray(np.load(path))


def share(student: np.ndarray, teacher: np.ndarray, seed: int = 0) -> tuple[float, np.ndarray]:
    """(share of the means, [resamples] the share of each resample)."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(student), (RESAMPLES, len(student)))
    return float(student.mean() / teacher.mean()), student[drawn].mean(1) / teacher[drawn].mean(1)


def shown(value: float, resamples: np.ndarray) -> str:
    low, high = np.percentile(resamples, (2.5, 97.5))
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def systems(chosen: argparse.Namespace) -> dict[str, Callable[[Collection], tamis.Encoder]]:
    """By the name of a column, the encoder for a collection."""
    encoders = {name: tamis.encoder(name) for name in chosen.encoders}
    found = {name: partial(_as_it_is, encoder) for name, encoder in encoders.items()}
    if chosen.adapt:
        name = chosen.encoders[0]
        home = chosen.cache / "adapted"
        found[f"{name} adapted"] = partial(adapted, encoders[name], chosen.adapt, home)
    return found


def _as_it_is(encoder: tamis.Encoder, collection: Collection) -> tamis.Encoder:
    del collection
    return encoder


def adapted(
    student: tamis.Encoder, passages: int, home: Path, collection: Collection
) -> tamis.Encoder:
    """As ``tamis build --adapt`` makes it; kept, so that the program can be started again."""
    rows = sample_rows(len(collection.passages), passages, 0)
    sample = [collection.passages[row] for row in rows]
    folder, done = adapt(student, sample, load_teacher("minilm"), home, progress=Bars())
    print(f"{collection.name}: {done}", flush=True)
    return load_encoder(folder)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("collections", type=Path)
    arguments.add_argument("--encoders", nargs="+", default=["tamis-small", "tamis-tiny", "static"])
    arguments.add_argument("--adapt", type=int, metavar="N")
    arguments.add_argument("--only", nargs="+", default=DEFAULT)
    arguments.add_argument("--cache", type=Path, default=Path.home() / ".cache/tamis/retention")
    arguments.add_argument("--json", type=Path)
    chosen = arguments.parse_args()

    collections = []
    for each in chosen.only:
        folder, _, split = each.partition(":")
        collections.append(Collection(chosen.collections / folder, split, chosen.cache))
    teacher = {c.name: c.values(c.teacher_queries, c.teacher_passages) for c in collections}
    columns: dict[str, list[tuple[float, np.ndarray]]] = {}
    for name, encoder_for in systems(chosen).items():
        for c in collections:
            encoder = encoder_for(c)
            passages = encoder.encode_passages(c.texts)
            for way, queries in zip(
                WAYS, (encoder.encode_queries(c.queries), c.teacher_queries), strict=True
            ):
                found = share(c.values(queries, passages), teacher[c.name])
                columns.setdefault(f"{name} {way}", []).append(found)
                print(f"{name} {way}, {c.name}: {shown(*found)}", flush=True)

    table = Table("collection", "queries", "MiniLM nDCG@10", *columns)
    for place, c in enumerate(collections):
        cells = [shown(*column[place]) for column in columns.values()]
        table.add_row(c.name, str(len(c.queries)), f"{teacher[c.name].mean():.4f}", *cells)
    means = {
        name: (float(np.mean([v for v, _ in column])), np.mean([r for _, r in column], axis=0))
        for name, column in columns.items()
    }
    table.add_row("mean", "", "", *[shown(*mean) for mean in means.values()], style="bold")
    Console(width=200).print(table)
    print(f"share of MiniLM in %, 95 % bootstrap interval; {hardware()}")
    if chosen.json:
        chosen.json.write_text(json.dumps(as_json(collections, teacher, columns, means), indent=2))
    minilm = float(np.mean([each.mean() for each in teacher.values()]))
    lines = [
        {"system": name, "ratio": mean, "ours": mean * minilm, "peer": minilm, "unit": MEASURE}
        for name, (mean, _) in means.items()
    ]
    print(json.dumps({"benchmark": "retention", "hardware": hardware(), "lines": lines}))


def as_json(collections, teacher, columns, means) -> dict:
    shares = {}
    for name, column in columns.items():
        mean, resamples = means[name]
        low, high = np.percentile(resamples, (2.5, 97.5))
        shares[name] = {c.name: round(column[i][0], 4) for i, c in enumerate(collections)}
        shares[name] |= {"mean": round(mean, 4), "interval": [round(low, 4), round(high, 4)]}
    minilm = {c.name: round(float(teacher[c.name].mean()), 4) for c in collections}
    return {"measure": MEASURE, "minilm": minilm, "share": shares}


if __name__ == "__main__":
    main()

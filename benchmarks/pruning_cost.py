"""What pruning costs and saves a build: seconds of scoring, of whole builds, of cutting again.

    .venv/bin/python benchmarks/pruning_cost.py CORPUS [--passages 6000] [--minilm 500]
        [--repeats 3] [--keep 0.75]

CORPUS is anything ``tamis build`` reads; its first passages are taken, fewer for MiniLM. One
thread. Three builds take turns, after one round that does not count, each from nothing in a folder
of its own, with BM25: unpruned ("peer"), pruned by the default model ("ours"), and scored without
a cut, whose seconds beyond the unpruned build's are what scoring costs (tokens are shared, where
the encoder reads the same ones). A ratio above 1 is seconds saved. "Cut again" takes other shares
of a finished index with ``--overwrite``. Scoring alone, text in, is held against MiniLM's encoding
of the same passages through tamis.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from measuring import alternate, hardware, report

import tamis
from tamis.encoders.blas_threads import one_blas_thread
from tamis.encoders.quality.recurrent import load_recurrent
from tamis.pipeline.build import build

QUICK = "pipeline/demo_collection --passages 400 --minilm 60 --repeats 1"


def written(corpus: str, count: int, path: Path) -> list[str]:
    """The first passages as JSON lines; their texts."""
    found = (item for item in tamis.open_corpus(corpus) if isinstance(item, tamis.Passage))
    passages = list(islice(found, count))
    lines = [json.dumps({"id": p.id, "title": p.title, "text": p.text}) for p in passages]
    path.write_text("\n".join(lines), "utf-8")
    return [passage.full_text for passage in passages]


class Builds:
    """Builds of one corpus by one encoder: unpruned, scored, pruned."""

    def __init__(self, folder: Path, encoder: str, keep: float) -> None:
        self._folder, self._encoder, self._keep = folder, tamis.encoder(encoder), keep
        self._shares = cycle((0.6, keep))

    def unpruned(self) -> None:
        self._built("unpruned")

    def scored(self) -> None:
        self._built("scored", keep=1.0)

    def pruned(self) -> None:
        self._built("pruned", keep=self._keep)

    def cut_again(self) -> None:
        self._built("pruned", keep=next(self._shares), overwrite=True)

    def _built(self, name: str, *, overwrite: bool = False, **how: Any) -> None:
        goal = self._folder / name
        if not overwrite:
            shutil.rmtree(goal, ignore_errors=True)
        corpus = self._folder / "corpus.jsonl"
        given = {"encoder": self._encoder, "query_encoder": "own", "overwrite": overwrite}
        build(corpus, goal, **given, **how)

    def line(self, texts: list[str], repeats: int) -> dict[str, Any]:
        sides = {"peer": self.unpruned, "ours": self.pruned, "scored": self.scored}
        timings = alternate(sides, repeats)
        vectors = {n: len(tamis.open_index(self._folder / n)) for n in ("unpruned", "pruned")}
        return timings.line(
            what=f"build with {self._encoder.card.name}, keep {self._keep}",
            passages=len(texts),
            seconds_saved=round(1 - 1 / timings.ratio, 4),
            tokens_pruned=round(tokens_pruned(texts, self._keep), 4),
            scoring_share=round(timings.median_ms("scored") / timings.median_ms("peer") - 1, 4),
            vectors_saved=round(1 - vectors["pruned"] / vectors["unpruned"], 4),
        )

    def again(self, repeats: int) -> dict[str, Any]:
        milliseconds = alternate({"ours": self.cut_again}, repeats).median_ms("ours")
        return {"what": "cut again with --overwrite", "ours_ms": round(milliseconds)}


def tokens_pruned(texts: list[str], keep: float) -> float:
    """The share of the tokens in what the default model cuts."""
    model = load_recurrent()
    counts = model.encoder.count_tokens(texts, "passage")
    order = np.argsort(-model.score(texts), kind="stable")
    kept = order[: int(np.ceil(keep * len(texts)))]
    return 1 - float(counts[kept].sum() / counts.sum())


def scoring(texts: list[str], repeats: int) -> dict[str, Any]:
    model, minilm = load_recurrent(), tamis.encoder("minilm")
    sides = {"peer": lambda: minilm.encode_passages(texts), "ours": lambda: model.score(texts)}
    timings = alternate(sides, repeats)
    return timings.line(what="scoring against MiniLM's encoding", passages=len(texts))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("corpus")
    arguments.add_argument("--passages", type=int, default=6000)
    arguments.add_argument("--minilm", type=int, default=500)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--keep", type=float, default=0.75)
    chosen = arguments.parse_args()
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as home, one_blas_thread():
        for encoder, count in (("tamis-small", chosen.passages), ("minilm", chosen.minilm)):
            folder = Path(home) / encoder
            folder.mkdir()
            texts = written(chosen.corpus, count, folder / "corpus.jsonl")
            builds = Builds(folder, encoder, chosen.keep)
            lines.append(builds.line(texts, chosen.repeats))
            if encoder == "tamis-small":
                lines.append(builds.again(chosen.repeats))
            else:
                lines.append(scoring(texts, chosen.repeats))
    report("pruning cost", lines, hardware(), ["faiss-cpu", "torch"])


if __name__ == "__main__":
    main()

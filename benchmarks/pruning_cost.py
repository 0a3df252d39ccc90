"""What pruning costs and saves a build: seconds of scoring, of whole builds, of cutting again.

    .venv/bin/python benchmarks/pruning_cost.py CORPUS [--passages 6000] [--minilm 600]
        [--repeats 3] [--keep 0.75]

CORPUS is anything ``tamis build`` reads; its first passages are taken, fewer for MiniLM. One
thread. Builds of every kind take turns, after one round that does not count; each starts from
nothing in a folder of its own, with BM25. "peer" is the unpruned build and "ours" the pruned one:
a ratio above 1 is seconds saved. Scoring is held against MiniLM's encoding of the same passages
through tamis. "Cut again" cuts a finished index at another share with ``--overwrite``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from measuring import alternate, hardware, report

import tamis
from tamis.encoders.blas_threads import one_blas_thread
from tamis.encoders.quality.recurrent import load_recurrent
from tamis.pipeline.build import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Stages:
    """Seconds by stage of a build, the last ones."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        del total
        start = time.perf_counter()
        yield lambda _done: None
        self.seconds[name] += time.perf_counter() - start

    def note(self, words: str) -> None:
        del words


def written(corpus: str, count: int, path: Path) -> list[str]:
    """The first passages as JSON lines; their texts."""
    passages = list(islice((p for p in tamis.open_corpus(corpus) if hasattr(p, "text")), count))
    lines = [json.dumps({"id": p.id, "title": p.title, "text": p.text}) for p in passages]
    path.write_text("\n".join(lines), "utf-8")
    return [p.full_text for p in passages]


class Builds:
    """Builds of one corpus by one encoder, unpruned and pruned, in turn."""

    def __init__(self, corpus: Path, folder: Path, encoder: str, keep: float) -> None:
        self._corpus, self._folder, self._encoder = corpus, folder, tamis.encoder(encoder)
        self._keep = keep
        self.scoring: list[float] = []
        self.whole: list[float] = []

    def unpruned(self) -> None:
        self._built("unpruned", {})

    def pruned(self) -> None:
        start = time.perf_counter()
        seconds = self._built("pruned", {"keep": self._keep})
        self.whole.append(time.perf_counter() - start)
        self.scoring.append(seconds["score"])

    def _built(self, name: str, how: dict[str, Any], *, fresh: bool = True) -> dict[str, float]:
        goal = self._folder / name
        if fresh:
            shutil.rmtree(goal, ignore_errors=True)
        stages = Stages()
        build(
            self._corpus, goal, encoder=self._encoder, query_encoder="own", progress=stages, **how
        )
        return stages.seconds

    def line(self, texts: list[str], repeats: int) -> dict[str, Any]:
        """Unpruned against pruned."""
        timings = alternate({"peer": self.unpruned, "ours": self.pruned}, repeats)
        kept, cut = (len(tamis.open_index(self._folder / n)) for n in ("unpruned", "pruned"))
        return timings.line(
            what=f"build with {self._encoder.card.name}, keep {self._keep}",
            passages=len(texts),
            seconds_saved=round(1 - 1 / timings.ratio, 4),
            tokens_pruned=round(tokens_pruned(texts, self._keep), 4),
            scoring_share=round(median(self.scoring) / median(self.whole), 4),
            vectors_saved=round(1 - cut / kept, 4),
        )

    def again(self) -> dict[str, Any]:
        """Other shares of the same corpus, over a finished index with its scores and vectors."""
        shares = cycle((0.75, 0.6))

        def once() -> None:
            self._built("pruned", {"keep": next(shares), "overwrite": True}, fresh=False)

        ours = alternate({"ours": once}, 3).median_ms("ours")
        return {"what": "cut again with --overwrite", "ours_ms": round(ours)}


def tokens_pruned(texts: list[str], keep: float) -> float:
    """The share of MiniLM's tokens in what the default model cuts."""
    model = load_recurrent()
    counts = model.encoder.count_tokens(texts, "passage")
    order = np.argsort(-model.score(texts), kind="stable")
    kept = order[: int(np.ceil(keep * len(texts)))]
    return 1 - float(counts[kept].sum() / counts.sum())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("corpus")
    arguments.add_argument("--passages", type=int, default=6000)
    arguments.add_argument("--minilm", type=int, default=600)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--keep", type=float, default=0.75)
    chosen = arguments.parse_args()
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as home, one_blas_thread():
        for encoder, count in (("tamis-small", chosen.passages), ("minilm", chosen.minilm)):
            folder = Path(home) / encoder
            folder.mkdir()
            texts = written(chosen.corpus, count, folder / "corpus.jsonl")
            builds = Builds(folder / "corpus.jsonl", folder, encoder, chosen.keep)
            lines.append(builds.line(texts, chosen.repeats))
            lines.append(builds.again() if encoder == "tamis-small" else scored(texts, chosen))
    report("pruning cost", lines, hardware(), ["faiss-cpu", "torch"])


def scored(texts: list[str], chosen: argparse.Namespace) -> dict[str, Any]:
    model, minilm = load_recurrent(), tamis.encoder("minilm")
    sides = {"peer": lambda: minilm.encode_passages(texts), "ours": lambda: model.score(texts)}
    timings = alternate(sides, chosen.repeats)
    return timings.line(what="scoring against MiniLM's encoding", passages=len(texts))


if __name__ == "__main__":
    main()

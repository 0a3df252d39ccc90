"""A query and its candidates through ``cross`` against ``CrossEncoder.rank``, the same model.

    .venv/bin/python benchmarks/cross_encoder.py CORPUS [--passages 100] [--repeats 5] [--parts]

The candidates are spread evenly over the lengths of the corpus's passages, shortest to longest. The
peer runs as its documentation shows it (batches of 32, sorted by length), with the identity as its
activation. The two alternate; scores must agree to 1e-4 and ours be 1.2 times as fast, or it
exits 1. The model is MiniLM with a random head unless ``--model FOLDER`` names another.
``--processor-time`` counts this process's own seconds, for a machine that other work shares.
``--parts`` takes away what makes the difference, one at a time: the packed linear layers, the
batches by token budget.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from measuring import alternate, hardware, report
from sentence_transformers import CrossEncoder

import tamis
from tamis.core.protocols import Candidates
from tamis.core.records import Query, Ranking
from tamis.kernels.packed_linear import onednn
from tamis.rerank import cross

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = "pipeline/demo_collection --passages 16 --repeats 2 --threads 1"

QUERY = "what are the first signs of it, and how long does it take until they go away?"
RATIO_BAR, TOLERANCE = 1.2, 1e-4
SPREAD_OVER = 20_000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("corpus")
    arguments.add_argument("--model")
    arguments.add_argument("--passages", type=int, default=100)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=0)
    arguments.add_argument("--parts", action="store_true")
    arguments.add_argument("--processor-time", action="store_true")
    chosen = arguments.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)

    with tempfile.TemporaryDirectory() as folder:
        model = chosen.model or minilm_with_a_head(Path(folder) / "minilm-head")
        given = candidates(chosen.corpus, chosen.passages)
        texts = [passage.full_text for passage in given.passages]
        peer = CrossEncoder(model, device="cpu", activation_fn=torch.nn.Identity())
        found: dict[str, Any] = {}
        sides: dict[str, Callable[[], object]] = {
            "peer": lambda: found.update(peer=peer.rank(QUERY, texts, show_progress_bar=False)),
            "ours": of(cross.CrossReranker(model=model), given, found),
        }
        if chosen.parts:
            sides["by 32"] = by_32(cross.CrossReranker(model=model), given)
            sides["torch's linear"] = of(unpacked(model), given, {})
        clock = time.process_time if chosen.processor_time else time.perf_counter
        timings = alternate(sides, chosen.repeats, clock)
    print(timings)

    expected = np.empty(len(texts), np.float32)
    for answer in found["peer"]:
        expected[answer["corpus_id"]] = answer["score"]
    difference = float(np.abs(found["ours"] - expected).max())
    tokens = [len(ids) for ids in peer.tokenizer(texts, verbose=False)["input_ids"]]
    line = timings.line(
        model=Path(chosen.model or "MiniLM with a random head").name,
        corpus=Path(chosen.corpus).name,
        pairs=len(texts),
        passage_tokens=np.percentile(tokens, [0, 25, 50, 75, 100]).astype(int).tolist(),
        threads=torch.get_num_threads(),
        seconds="of the processor" if chosen.processor_time else "on the wall",
        pairs_per_second=len(texts) / timings.median_ms("ours") * 1e3,
        largest_difference=difference,
        spread_of_scores=float(np.ptp(expected)),
        bar=RATIO_BAR,
    )
    report("cross_encoder", [line], hardware(), ["sentence-transformers", "torch", "transformers"])
    if difference > TOLERANCE or timings.ratio < RATIO_BAR:
        sys.exit(1)


def candidates(corpus: str, number: int) -> Candidates:
    """Passages spread over the lengths that the corpus has, in a random order."""
    found = (each for each in tamis.open_corpus(corpus) if isinstance(each, tamis.Passage))
    passages = sorted(islice(found, SPREAD_OVER), key=lambda each: (len(each.full_text), each.id))
    places = np.linspace(0, len(passages) - 1, number).astype(np.int64)
    chosen = [passages[place] for place in np.random.default_rng(0).permutation(places)]
    ranking = Ranking(
        Query("q", QUERY), np.arange(number, dtype=np.int64), np.zeros(number, np.float32)
    )
    return Candidates(ranking, chosen)


def minilm_with_a_head(folder: Path) -> str:
    """MiniLM's weights, its pooler as it is, and a head of random weights large enough to rank."""
    from transformers import AutoTokenizer, BertForSequenceClassification

    from tamis.encoders.minilm import minilm_folder

    torch.manual_seed(0)
    model = BertForSequenceClassification.from_pretrained(minilm_folder(), num_labels=1)
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm_folder()).save_pretrained(folder)
    return str(folder)


def of(
    reranker: cross.CrossReranker, given: Candidates, found: dict[str, Any]
) -> Callable[[], object]:
    reranker.prepare()
    return lambda: found.update(ours=reranker.score([given])[0])


def by_32(reranker: cross.CrossReranker, given: Candidates) -> Callable[[], object]:
    """Sorted batches of 32 pairs, whatever their length."""
    reranker.prepare()

    def run() -> object:
        by_tokens = cross.pair_batches
        cross.pair_batches = lambda lengths, _: np.split(
            np.argsort(-lengths, kind="stable"), range(32, len(lengths), 32)
        )
        try:
            return reranker.score([given])
        finally:
            cross.pair_batches = by_tokens

    return run


def unpacked(model: str) -> cross.CrossReranker:
    """As ours, its linear layers torch's own."""
    pack_linears = onednn.pack_linears
    onednn.pack_linears = lambda _: 0
    try:
        reranker = cross.CrossReranker(model=model)
        reranker.prepare()
    finally:
        onednn.pack_linears = pack_linears
    return reranker


if __name__ == "__main__":
    main()

"""maxsim over token vectors kept in the index, in 8 and 4 bits, against encoding its candidates.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/stored_tokens.py COLLECTIONS/scifact WORK
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/stored_tokens.py COLLECTIONS/cranfield --scales

Dense candidates of tamis-small, 100 a query, for the judged queries of the test split; nothing is
chosen by them. Times are this process's own seconds for the reranker alone, one query at a time:
every stored query in the second of two passes (blocks of the file are verified in the first, which
is given beside it), encoding for the first few queries. For nDCG, vectors that were encoded once
are kept in memory: 2.6 GB for scifact, whose indexes stay in WORK, so that a second run skips them.

--scales: how far scores move with one scale a token, as the index has it, and with a scale and an
offset a dimension taken from the collection itself; 300 passages and 40 queries, no judgments.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measuring import hardware

import tamis
from tamis.core.protocols import Encoder, TokenVectors
from tamis.core.qrels import read_qrels
from tamis.eval.evaluate import evaluate
from tamis.index.token_codes import coded, decoded
from tamis.pipeline.candidates import candidates
from tamis.rerank.maxsim import MaxsimReranker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tamis.core.protocols import Candidates, Encoded, EncoderCard, Role
    from tamis.core.records import Float32Array, Int32Array
    from tamis.pipeline.opening import Index

DEPTH = 100
ENCODED = 8  # queries whose candidates are encoded with the clock running
PASSAGES, QUERIES = 300, 40  # of --scales
MEASURE = "nDCG@10"


class Remembering(Encoder):
    """tamis-small, which keeps in memory what it said of single tokens."""

    def __init__(self) -> None:
        self.inner: Any = tamis.encoder("tamis-small")
        self._kept: dict[str, Float32Array] = {}

    @property
    def card(self) -> EncoderCard:
        card: EncoderCard = self.inner.card
        return card

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        found: Encoded = self.inner.encode(texts, role)
        return found

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        found: Int32Array = self.inner.count_tokens(texts, role)
        return found

    def encode_tokens(self, texts: Sequence[str], role: Role) -> TokenVectors:
        new = [text for text in dict.fromkeys(texts) if f"{role} {text}" not in self._kept]
        if new:
            found = self.inner.encode_tokens(new, role)
            parts = np.split(found.vectors, np.cumsum(found.lengths)[:-1])
            for text, part in zip(new, parts, strict=True):
                self._kept[f"{role} {text}"] = part.copy()
        each = [self._kept[f"{role} {text}"] for text in texts]
        lengths = np.array([len(part) for part in each], np.int64)
        return TokenVectors(np.concatenate([np.empty((0, 384), np.float32), *each]), lengths)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("collection", type=Path)
    arguments.add_argument("work", type=Path, nargs="?")
    arguments.add_argument("--scales", action="store_true")
    chosen = arguments.parse_args()
    print(f"{hardware()}\n{shlex.join(sys.argv)}\n")
    if chosen.scales:
        compare_scales(chosen.collection)
    elif chosen.work is None:
        arguments.error("WORK is missing: where the indexes are built")
    else:
        compare_ways(chosen.collection, chosen.work)
    return 0


def compare_ways(data: Path, work: Path) -> None:
    judgments = read_qrels(data / "qrels" / "test.tsv").judgments
    queries = [query for query in tamis.read_queries(data) if query.id in judgments]
    remembering = Remembering()
    indexes = {bits: built(data, work, bits, remembering) for bits in (8, 4)}
    first = indexes[8].searcher(DEPTH).run(queries)
    asked = candidates(first.passages, first.rankings)
    texts = sorted({p.full_text for each in asked for p in each.passages})
    for start in range(0, len(texts), 256):
        remembering.encode_tokens(texts[start : start + 256], "passage")
    exact = MaxsimReranker(encoder=remembering).score(asked)
    small = MaxsimReranker(encoder=remembering.inner)
    _, took = timed(small, asked[:ENCODED])
    print(
        "| | ms a query, median (largest) | first pass | bytes a passage | score error | nDCG@10 |"
    )
    print("|---|---|---|---|---|---|")
    print(f"| dense alone | | | | | {quality(asked, None, judgments):.4f} |")
    print(f"| encoded | {told(took)} | | 0 | | {quality(asked, exact, judgments):.4f} |")
    for index in indexes.values():
        lent = index.lending(small)
        _, before = timed(lent, asked)
        scores, took = timed(lent, asked)
        off = np.sqrt(np.mean((np.concatenate(scores) - np.concatenate(exact)) ** 2))
        found = quality(asked, scores, judgments)
        print(
            f"| {lent.name} | {told(took)} | {told(before)} | {size(index):,.0f} | {off:.4f} "
            f"| {found:.4f} |"
        )


def built(data: Path, work: Path, bits: int, encoder: Encoder) -> Index:
    folder = work / f"tokens{bits}"
    if not folder.exists():
        tamis.build(
            data, folder, encoder=encoder, query_encoder="own", lexical="none", token_vectors=bits
        )
    return tamis.open_index(folder)


def timed(reranker: Any, asked: Sequence[Candidates]) -> tuple[list[Float32Array], list[float]]:
    scores, took = [], []
    for each in asked:
        start = time.process_time()
        scores += reranker.score([each])
        took.append(1e3 * (time.process_time() - start))
    return scores, took


def told(took: Sequence[float]) -> str:
    return f"{np.median(took):,.1f} ({max(took):,.1f})"


def size(index: Index) -> float:
    """Bytes a passage."""
    sizes: Mapping[str, int] = index.folder.describe()["bytes"]
    return sum(of for name, of in sizes.items() if name.startswith("tokens/")) / len(index)


def quality(asked: Sequence[Candidates], scores: Any, judgments: Any) -> float:
    """Mean over the queries; None for the scores that the first stage gave."""
    run = {
        each.ranking.query.id: dict(
            zip(
                [p.id for p in each.passages],
                (each.ranking.scores if scores is None else scores[place]).tolist(),
                strict=True,
            )
        )
        for place, each in enumerate(asked)
    }
    return evaluate(run, judgments, [MEASURE]).value(MEASURE)


def compare_scales(data: Path) -> None:
    encoder: Any = tamis.encoder("tamis-small")
    read = (each for each in tamis.open_corpus(data) if isinstance(each, tamis.Passage))
    texts = [passage.full_text for passage in islice(read, PASSAGES)]
    questions = [query.text for query in tamis.read_queries(data)[:QUERIES]]
    passages = encoder.encode_tokens(texts, "passage")
    asked = encoder.encode_tokens(questions, "query")
    vectors = passages.vectors
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    exact = sums(asked, vectors, passages.lengths)
    print("| bits | one scale a token | one a dimension |\n|---|---|---|")
    for bits in (8, 4):
        step = (high - low) / 2**bits
        steps = np.clip(np.floor((vectors - low) / step), 0, 2**bits - 1)
        forms = (decoded(coded(vectors, bits), vectors.shape[1], bits), low + (steps + 0.5) * step)
        off = [np.sqrt(np.mean((sums(asked, f, passages.lengths) - exact) ** 2)) for f in forms]
        print(f"| {bits} | {off[0]:.5f} | {off[1]:.5f} |")
    print(f"\nscores of a query's passages spread by {exact.std(axis=1).mean():.2f}")


def sums(asked: TokenVectors, vectors: Float32Array, lengths: np.ndarray) -> np.ndarray:
    """[queries, passages]: sums of best products."""
    starts = np.cumsum(lengths) - lengths
    each = np.split(asked.vectors, np.cumsum(asked.lengths)[:-1])
    return np.stack([np.maximum.reduceat(vectors @ own.T, starts).sum(axis=1) for own in each])


if __name__ == "__main__":
    sys.exit(main())

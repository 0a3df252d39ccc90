"""A small comparison that the tests of ``tamis compare SPEC.toml`` share, and a corpus to prune."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORDS = "flea wine sieve river stone bread cloud salt iron leaf moon road fish ship".split()  # noqa: SIM905
PASSAGES = 60


@pytest.fixture(scope="module")
def forty_passages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fourth passage is the shortest: with length as quality, it is cut."""
    texts = [f"word{row % 12} only{row}" + " more words" * bool(row % 4) for row in range(40)]
    lines = [json.dumps({"id": f"p{row}", "text": text}) for row, text in enumerate(texts)]
    path = tmp_path_factory.mktemp("corpus") / "c.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    return path


def write_collection(home: Path) -> Path:
    """A BEIR folder: 60 passages, ten queries of test and eight of dev, each with one passage of
    grade 2 and one of grade 1, and a peer's run of the test queries."""
    rng = np.random.default_rng(3)
    texts = [" ".join([*rng.choice(WORDS, 9), f"w{n}"]) for n in range(PASSAGES)]
    lines = [
        json.dumps({"_id": f"p{n}", "title": f"Title {n}", "text": text})
        for n, text in enumerate(texts)
    ]
    (home / "qrels").mkdir(parents=True)
    (home / "corpus.jsonl").write_text("\n".join(lines), "utf-8")
    asked, judged = (
        [],
        {"test": ["query-id\tcorpus-id\tscore"], "dev": ["query-id\tcorpus-id\tscore"]},
    )
    for number in range(18):
        split = "test" if number < 10 else "dev"
        row = 3 * number
        words = [*rng.permutation(texts[row].split()[:4]), rng.choice(WORDS), f"x{number}"]
        asked.append(json.dumps({"_id": f"q{number}", "text": " ".join(words)}))
        judged[split] += [f"q{number}\tp{row}\t2", f"q{number}\tp{row + 1}\t1"]
    (home / "queries.jsonl").write_text("\n".join(asked), "utf-8")
    for split, rows in judged.items():
        (home / "qrels" / f"{split}.tsv").write_text("\n".join(rows), "utf-8")
    peer = [
        f"q{number} Q0 p{(3 * number + step) % PASSAGES} {step + 1} {10 - step} peer"
        for number in range(10)
        for step in range(number % 3, 6)
    ]
    (home / "peer.run").write_text("\n".join(peer), "utf-8")
    return home


SPEC = """
title = "A <small> comparison"
measures = ["nDCG@10", "R@10"]
baseline = "words"
examples = 2

[collection]
corpus = "."
dev = "dev"
test = "test"

[index.main]
encoder = "hashing"

[costs]
queries = 4

[equivalence]
margin = 0.1

[[system]]
name = "words"
first = { lexical = 30 }

[[system]]
name = "both"
first = { dense = 30, lexical = 30 }

[[system]]
name = "peer"
run = "peer.run"
"""


def write_comparison(home: Path) -> Path:
    """The spec's file, in the collection's folder."""
    folder = write_collection(home / "collection")
    (folder / "compare.toml").write_text(SPEC, "utf-8")
    return folder / "compare.toml"


@pytest.fixture(scope="session")
def small_comparison() -> Callable[[Path], Path]:
    return write_comparison


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_comparison(tmp_path)

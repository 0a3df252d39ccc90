"""Neural rerankers trained from scratch on WikiQA: MAP of the judged sentences of its questions.

    .venv/bin/python benchmarks/wikiqa_rerankers.py WIKIQA --work FOLDER [--only knrm tk ...]
        [--seeds 0 1 2] [--json FILE]

WIKIQA is the collection as a BEIR folder. Each model learns from the judged sentences of the train
questions that have a right answer, reads word vectors of tamis-small, stops on the MAP of the dev
questions (126 with a right answer) and reranks the judged sentences of the test questions (243 with
one). Settings were chosen on dev. A model's value is the mean over its seeds; intervals are
bootstraps over questions of each question's mean over seeds, and p is the paired randomisation
test against K-NRM, Holm-corrected. Beside them: random order, words shared weighted by their
rarity, and the cosine of tamis-small's own vectors. FOLDER keeps each run's checkpoint and scores;
a run that is there is not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measuring import hardware
from rich.console import Console
from rich.table import Table

import tamis
from tamis.core.durable import replacing
from tamis.core.qrels import read_qrels
from tamis.core.queries import read_queries
from tamis.eval.evaluate import evaluate
from tamis.eval.intervals import bootstrap_intervals
from tamis.eval.significance import holm, paired_tests
from tamis.pipeline.pair_sources import read_passages
from tamis.pipeline.progress import Bars
from tamis.pipeline.reranker_spec import reranker_spec_of
from tamis.pipeline.reranker_training import trained_scorer, words_of
from tamis.rerank.terms import Terms
from tamis.rerank.terms import words_of as split_words
from tamis.rerank.training.lists import graded_lists, judged_candidates
from tamis.rerank.training.recipe import candidates_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tamis.core.records import Float32Array
    from tamis.rerank.neural.words import Words
    from tamis.rerank.training.lists import GradedList

MEASURES = ("AP", "RR")
BASELINE = "knrm"
ENCODER = "tamis-small"
STEPS = 28  # between evaluations, about an epoch
MODELS: dict[str, dict[str, Any]] = {
    "knrm": {"rate": 0.01},
    "mv-lstm": {"rate": 0.002},
    "tk": {"rate": 0.003, "options": {"width": 64, "layers": 1, "heads": 4, "hidden": 64}},
    "recurrent": {"rate": 0.002},
    "recurrent dq": {"rate": 0.002, "options": {"order": "dq"}},
    "recurrent qd": {"rate": 0.002, "options": {"order": "qd"}},
    "recurrent unmatched": {"rate": 0.002, "options": {"matched": False}},
}
"""What was chosen on dev, where it is not the default."""
FIRST = ("knrm", "tk", "recurrent", "mv-lstm")


def spec_of(collection: Path, name: str, seed: int) -> dict[str, Any]:
    """What ``tamis train reranker`` would read from TOML."""
    chosen = MODELS[name]
    return {
        "loss": "listwise",
        "seed": seed,
        "threads": 1,
        "model": {
            "name": name.split(maxsplit=1)[0],
            "encoder": ENCODER,
            "title": False,
            "options": chosen.get("options", {}),
        },
        "data": {"collection": str(collection)},
        "dev": {"measure": "AP"},
        "schedule": {
            "epochs": 6,
            "batch_tokens": 12_000,
            "rate": chosen["rate"],
            "warmup": 10,
            "evaluate_every": STEPS,
            "patience": 3,
            "checkpoint_every": STEPS,
        },
    }


def test_lists(collection: Path) -> list[GradedList]:
    """The judged sentences of the test questions that have a right answer."""
    judgments = read_qrels(collection / "qrels" / "test.tsv").judgments
    passages = {each.id: each for each in read_passages(str(collection), Bars())}
    queries = [q for q in read_queries(collection / "queries.jsonl") if q.id in judgments]
    candidates = judged_candidates(judgments)
    return graded_lists(queries, judgments, candidates, passages, add_relevant=False)


def values_of(lists: Sequence[GradedList], scores: Sequence[Float32Array]) -> np.ndarray:
    """[measures, questions], questions sorted by id as text."""
    judgments, run = {}, {}
    for each, own in zip(lists, scores, strict=True):
        ids = [passage.id for passage in each.passages]
        judgments[each.query.id] = dict(zip(ids, each.grades.tolist(), strict=True))
        run[each.query.id] = dict(zip(ids, np.asarray(own, float).tolist(), strict=True))
    found = evaluate(run, judgments, MEASURES)
    return np.stack([found.values[measure] for measure in MEASURES])


def run_of(
    collection: Path, name: str, seed: int, work: Path, lists: Sequence[GradedList], words: Words
) -> dict[str, Any]:
    """One training run and its test values; from ``work`` where it was made before."""
    spec = reranker_spec_of(spec_of(collection, name, seed), name, Path.cwd())
    kept = work / f"{name.replace(' ', '-')}-{seed}.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text("utf-8"))
        if found["fingerprint"] == spec.fingerprint:
            return found
        kept.unlink()
    began = time.perf_counter()
    folder = work / f"{kept.stem}.training"
    scorer, _ = trained_scorer(spec, folder, Bars(), words)
    took = time.perf_counter() - began
    candidates = [candidates_of(each) for each in lists]
    began = time.perf_counter()
    scores = scorer.score(candidates)
    pairs = sum(map(len, scores)) / (time.perf_counter() - began)
    log = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    found = {
        "fingerprint": spec.fingerprint,
        "dev": max(line["mean"] for line in log if "mean" in line),
        "values": values_of(lists, scores).tolist(),
        "parameters": sum(each.numel() for each in scorer.model.parameters()),
        "seconds": took,
        "pairs_per_second": pairs,
    }
    with replacing(kept) as out:
        json.dump(found, out)
    return found


def anchors(lists: Sequence[GradedList]) -> dict[str, np.ndarray]:
    """What needs no training: name -> [measures, questions]."""
    rng = np.random.default_rng(0)
    draws = [
        values_of(lists, [rng.random(len(each.passages)) for each in lists]) for _ in range(20)
    ]
    encoder = tamis.encoder(ENCODER)
    cosine = [
        encoder.encode_passages([p.text for p in each.passages])
        @ encoder.encode_queries([each.query.text])[0]
        for each in lists
    ]
    return {
        "random order (20 draws)": np.mean(draws, 0),
        "shared words by rarity": values_of(lists, shared_words(lists)),
        f"{ENCODER} cosine": values_of(lists, cosine),
    }


def shared_words(lists: Sequence[GradedList]) -> list[Float32Array]:
    """Sum over the stems that question and sentence share of log(N / df) over all sentences."""
    terms = Terms()
    stems = [[set(terms.of_passage(split_words(p.text), False)) for p in e.passages] for e in lists]
    seen = Counter(stem for own in stems for each in own for stem in each)
    number = sum(map(len, stems))
    found = []
    for each, own in zip(lists, stems, strict=True):
        asked = set(terms.of_query(each.query.text)[0])
        worth = [sum(math.log(number / seen[stem]) for stem in asked & one) for one in own]
        found.append(np.array(worth, np.float32))
    return found


def rows_of(anchored: dict[str, np.ndarray], runs: dict[str, list[dict[str, Any]]]) -> list[dict]:
    """One row a system, in order."""
    means = anchored | {
        name: np.mean([each["values"] for each in own], 0) for name, own in runs.items()
    }
    intervals = bootstrap_intervals(np.stack([values[0] for values in means.values()]))
    rows: list[dict[str, Any]] = []
    for (name, values), interval in zip(means.items(), intervals, strict=True):
        row: dict[str, Any] = {"system": name, "low": interval.low, "high": interval.high}
        row |= {measure: float(own.mean()) for measure, own in zip(MEASURES, values, strict=True)}
        if name in runs:
            own = runs[name]
            row["seeds"] = [float(np.mean(each["values"][0])) for each in own]
            row["dev"] = float(np.mean([each["dev"] for each in own]))
            row["parameters"] = own[0]["parameters"]
            row["seconds"] = float(np.mean([each["seconds"] for each in own]))
            row["pairs_per_second"] = float(np.mean([each["pairs_per_second"] for each in own]))
        rows.append(row)
    compared = [row for row in rows if "seeds" in row and row["system"] != BASELINE]
    if BASELINE in runs and compared:
        system = np.stack([means[row["system"]][0] for row in compared])
        tests = paired_tests(system, np.broadcast_to(means[BASELINE][0], system.shape))
        for row, p in zip(compared, holm([each.p_randomisation for each in tests]), strict=True):
            row["p"] = p
    return rows


def show(rows: list[dict], seeds: Sequence[int]) -> None:
    table = Table("system", "MAP", "95 %", "by seed", "MRR", "dev MAP", "p", "weights", "train s")
    for row in rows:
        table.add_row(
            row["system"],
            f"{row['AP']:.3f}",
            f"{row['low']:.3f}-{row['high']:.3f}",
            " ".join(f"{value:.3f}" for value in row.get("seeds", [])),
            f"{row['RR']:.3f}",
            f"{row['dev']:.3f}" if "dev" in row else "",
            f"{row['p']:.4f}" if "p" in row else "",
            f"{row['parameters']:,}" if "parameters" in row else "",
            f"{row['seconds']:.0f}" if "seconds" in row else "",
        )
    Console(width=130).print(table)
    print(f"seeds {list(seeds)}; {hardware()}; {shlex.join(['python', *sys.argv])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=MODELS, default=FIRST)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    lists, words = test_lists(given.collection), words_of(ENCODER)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in given.only}
    for seed in given.seeds:
        for name, own in runs.items():
            own.append(run_of(given.collection, name, seed, given.work, lists, words))
    rows = rows_of(anchors(lists), runs)
    show(rows, given.seeds)
    if given.json:
        body = {"command": shlex.join(["python", *sys.argv]), "hardware": hardware(), "rows": rows}
        given.json.write_text(json.dumps(body, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

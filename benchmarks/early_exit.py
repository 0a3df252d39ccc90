"""Early exit before a reranker: pairs saved on MedQuAD's test questions, and what they cost.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/early_exit.py COLLECTIONS/medquad WORK

Hybrid candidates (tamis-small and BM25, 200 each, reciprocal ranks) are reranked 100 deep by a
LambdaMART that is trained here, on 2,000 training questions. The exit is calibrated on the dev
split: at most .75 % of nDCG@10 lost with 95 % confidence, below the 1 % of the equivalence test so
that the test split's own interval has room. The test split is read once, by systems fixed before.
The same number of pairs spent on a fixed depth stands beside it. TOST: paired, margin 1 % of the
full cascade's mean. Times are those of this process, 256 queries at once, reading texts included.
Exits 1 where fewer than 30 % of the pairs are saved or equivalence is not shown. WORK keeps the
index, the model and the stages' outputs; a second run is quick.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measuring import hardware
from rich.console import Console
from rich.table import Table

import tamis
from tamis.core.qrels import read_qrels
from tamis.eval.equivalence import equivalence
from tamis.eval.evaluate import evaluate
from tamis.pipeline.candidates import candidates
from tamis.pipeline.cascade import Cascade, RerankStage
from tamis.pipeline.cascade_file import write_cascade
from tamis.pipeline.exit_calibration import Calibrator
from tamis.pipeline.progress import Bars
from tamis.pipeline.stage_outputs import StageOutputs
from tamis.rerank.training.lambdamart import train_lambdamart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tamis.pipeline.opening import Index
    from tamis.pipeline.search import Run

QUICK = "{collections}/medquad {work}"

DEPTH = 100
FIRST = 200
TRAIN = 2_000
LOSS = 0.0075
MARGIN = 0.01
SAVED_BAR = 0.30
MEASURE = "nDCG@10"


class Split:
    """A split's judged queries."""

    def __init__(self, data: Path, name: str) -> None:
        self.judgments = read_qrels(data / "qrels" / f"{name}.tsv").judgments
        self.queries = [q for q in tamis.read_queries(data) if q.id in self.judgments]


def train(index: Index, split: Split, model: Path) -> None:
    """LambdaMART on the candidates of some training questions."""
    drawn = np.random.default_rng(0).permutation(len(split.queries))[:TRAIN]
    hybrid = Cascade(dense=FIRST, lexical=FIRST, k=DEPTH).over(index)
    run = hybrid.run([split.queries[place] for place in drawn], progress=Bars())
    trained = train_lambdamart(candidates(index.passages, run.rankings), split.judgments, threads=1)
    model.write_text(trained.text)


def ndcg(run: Run, split: Split) -> np.ndarray:
    return evaluate(run.scores(), split.judgments, [MEASURE]).values[MEASURE]


def pairs(run: Run) -> int:
    return int(run.times["lambdamart"].passages.sum())


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("collection", type=Path)
    options.add_argument("work", type=Path)
    chosen = options.parse_args()
    data, work = chosen.collection, chosen.work
    work.mkdir(parents=True, exist_ok=True)
    folder, model = work / "index", work / "lambdamart.txt"
    index = tamis.open_index(folder) if folder.exists() else tamis.build(data, folder)
    if not model.exists():
        train(index, Split(data, "train"), model)
    kept = StageOutputs(work / "stages")
    stage = RerankStage("lambdamart", DEPTH, {"model": str(model)})
    full = Cascade(dense=FIRST, lexical=FIRST, rerank=(stage,))
    dev, test = Split(data, "dev"), Split(data, "test")
    calibrated = Calibrator(index, dev.queries, dev.judgments, loss=LOSS, kept=kept).calibrate(
        full, Bars()
    )
    write_cascade(calibrated.cascade, work / "calibrated.toml")
    for step in calibrated.steps:
        print(step)

    depth = _as_deep(calibrated.steps)
    systems = {
        "hybrid, no reranker": replace(full, rerank=()),
        f"lambdamart {DEPTH} deep": full,
        "with early exit": calibrated.cascade,
        f"fixed depth {depth}": replace(full, rerank=(replace(stage, keep=depth),)),
    }
    runs = {
        name: cascade.over(index).run(test.queries, kept=kept, progress=Bars())
        for name, cascade in systems.items()
    }
    lines = measured(runs, test, whole=list(runs)[1])
    Console(width=120).print(table(lines))
    print(f"{len(test.queries):,} test queries; margin {MARGIN:.0%} of {lines[1][MEASURE]:.4f}")
    spared = {each: lines[place]["pairs_per_query"] for place, each in ((1, "peer"), (2, "ours"))}
    bar = {"unit": "pairs a query", "bar": round(1 / (1 - SAVED_BAR), 3)}
    lines[2] |= {"ratio": spared["peer"] / spared["ours"], **spared, **bar}
    command = shlex.join(["python", *sys.argv])
    print(json.dumps({"lines": lines, "command": command, "hardware": hardware()}))
    exit_line = lines[2]
    return 0 if exit_line["saved"] >= SAVED_BAR and exit_line["equivalent"] else 1


def _as_deep(steps: Sequence[Any]) -> int:
    """The fixed depth that scores as many candidates as the last accepted step."""
    share = min([step.scored for step in steps if step.accepted], default=1.0)
    return max(round(share * DEPTH), 1)


def measured(runs: Mapping[str, Run], test: Split, whole: str) -> list[dict[str, Any]]:
    """A line a system, each held against ``whole``."""
    values = {name: ndcg(run, test) for name, run in runs.items()}
    every = pairs(runs[whole])
    lines = []
    for name, run in runs.items():
        scored = pairs(run) if "lambdamart" in run.times else 0
        spent = sum(run.seconds.get(each, 0.0) for each in ("texts", "lambdamart"))
        held = equivalence(values[name], values[whole], margin=MARGIN)
        lines.append(
            {
                "system": name,
                MEASURE: round(float(values[name].mean()), 4),
                "pairs_per_query": round(scored / len(run), 1),
                "saved": round(1 - scored / every, 4),
                "rerank_ms": round(1000 * spent / len(run), 2),
                "p_equivalence": None if name == whole else held.p_equivalence,
                "delta": round(held.delta, 5),
                "interval": [round(held.low or 0.0, 5), round(held.high or 0.0, 5)],
                "equivalent": held.equivalent,
            }
        )
    return lines


def table(lines: list[dict[str, Any]]) -> Table:
    """The lines for people."""
    found = Table(
        "system", MEASURE, "pairs a query", "saved", "rerank ms", "TOST p", "90 % interval"
    )
    for line in lines:
        low, high = line["interval"]
        p = line["p_equivalence"]
        found.add_row(
            line["system"],
            f"{line[MEASURE]:.4f}",
            f"{line['pairs_per_query']:.1f}",
            f"{100 * line['saved']:.1f} %",
            f"{line['rerank_ms']:.2f}",
            "" if p is None else f"{p:.2g}",
            f"{low:+.4f} {high:+.4f}",
        )
    return found


if __name__ == "__main__":
    sys.exit(main())

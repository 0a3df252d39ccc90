"""Every recurrent cell at equal width: parameters, speed on the CPU, recall and copying.

    .venv/bin/python benchmarks/cells.py -o cells.json [--cell gru ...] [--threads 1]

Speed is one bidirectional layer over one pack of mixed lengths. Recall (MQAR, arXiv 2312.04927)
and copying are learned from scratch by two causal layers with the same examples, steps and two
learning rates for every cell; the curve is the accuracy after each quarter of the steps, at the
rate that ends best, on examples never trained on. A cell that needs more than its minute of one
core gets fewer steps, and the table says so. Whole-body presets have no state for each token:
speed only. The results lie in the file given by -o, cell by cell: started again, the program
goes on. ``--speed-again`` replaces the speeds by ones of a quieter hour.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from measuring import hardware

from tamis.core import registry
from tamis.encoders.recurrent.model import is_whole_body
from tamis.encoders.recurrent.spec import RecurrentSpec
from tamis.encoders.recurrent.stack import Stack
from tamis.kernels.packing import pack_lengths

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

Batch = tuple["Tensor", "Tensor", "Tensor"]

SETTINGS = {
    "speed": {"width": 128, "passages": 64, "mean_tokens": 75, "seconds": 1.5},
    "tasks": {
        "width": 32,
        "layers": 2,
        "batch": 32,
        "steps": 1200,
        "rates": [3e-3, 1e-2],
        "seconds": 12.0,  # of the processor, for one task and rate
        "seed": 0,
    },
}
VOCABULARY = 16
KEYS = 4
PAIRS = 3
SYMBOLS = 8
COPIED = 10
CHECKPOINTS = 4


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("-o", "--output", type=Path, required=True)
    arguments.add_argument("--cell", action="append", choices=registry.names("cell"))
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument(
        "--speed-again", action="store_true", help="measure known cells' speed again, nothing else"
    )
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)

    settings = {**SETTINGS, "threads": chosen.threads}
    found = resumed(chosen.output, settings)
    for cell in chosen.cell or registry.names("cell"):
        known = cell in found["cells"]
        if known != chosen.speed_again:
            continue
        print(f"{cell} ...", file=sys.stderr, flush=True)
        if known:
            found["cells"][cell].update(speed(cell))
        else:
            found["cells"][cell] = measured(cell)
        write(chosen.output, found)
    print(table(found["cells"]))
    print(json.dumps(found))


def resumed(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What the file holds, or a fresh start; stops when it was measured with other settings."""
    about = {
        "benchmark": "cells",
        "command": shlex.join(["python", *sys.argv]),
        "hardware": hardware(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "tamis", "torch")},
        },
        "settings": settings,
        "cells": {},
    }
    if not path.exists():
        return about
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    for key in ("settings", "hardware", "versions"):
        if found.get(key) != about[key]:
            raise SystemExit(f"{path} was measured with other {key}: {found.get(key)}; move it")
    return found


def write(path: Path, found: dict[str, Any]) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps(found, indent=1), "utf-8")
    os.replace(draft, path)  # noqa: PTH105 - the same as Path.replace, and says atomic to readers


def measured(cell: str) -> dict[str, Any]:
    body = is_whole_body(cell)
    return {
        **speed(cell),
        "recall": None if body else best_curve(cell, recall),
        "copy": None if body else best_curve(cell, copying),
    }


def speed(cell: str) -> dict[str, Any]:
    """Parameters, and tokens a second, of one layer that reads both ways."""
    asked = SETTINGS["speed"]
    torch.manual_seed(0)
    kind = registry.load("cell", cell)
    layer = kind(asked["width"]) if is_whole_body(cell) else kind(asked["width"], layers=1)
    rng = np.random.default_rng(0)
    spread = 0.5  # of the logarithm: about as passages of web pages spread
    lengths = rng.lognormal(np.log(asked["mean_tokens"]) - spread**2 / 2, spread, asked["passages"])
    counts = np.maximum(lengths.astype(np.int64), 1)
    packed, learning = pack_lengths(counts), pack_lengths(counts)  # inference marks what it caches
    x = torch.randn(packed.tokens, asked["width"])

    def forward() -> None:
        with torch.inference_mode():
            layer(x, packed)

    def both() -> None:
        learnt = x.clone().requires_grad_()
        layer(learnt, learning).sum().backward()

    return {
        "parameters": sum(parameter.numel() for parameter in layer.parameters()),
        "tokens": packed.tokens,
        "forward_tokens_per_second": packed.tokens / seconds(forward),
        "both_tokens_per_second": packed.tokens / seconds(both),
    }


def seconds(work: Callable[[], None]) -> float:
    """The median time of one call, after one that does not count."""
    work()
    took: list[float] = []
    while sum(took) < SETTINGS["speed"]["seconds"] or len(took) < 3:
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return median(took)


def recall(rng: np.random.Generator, texts: int) -> Batch:
    """Key, value, key, value ..., then keys again: at each, its value is asked for.

    ids and targets [texts, T], asked [texts, T] bool; keys are 0-3, values 4-7.
    """
    keys = np.stack([rng.permutation(KEYS)[:PAIRS] for _ in range(texts)])
    values = rng.integers(KEYS, 2 * KEYS, (texts, PAIRS))
    places = np.stack([rng.permutation(PAIRS) for _ in range(texts)])
    told = np.stack([keys, values], 2).reshape(texts, 2 * PAIRS)
    again = np.take_along_axis(keys, places, 1)
    answers = np.take_along_axis(values, places, 1)
    ids = np.concatenate([told, again], 1)
    targets = np.concatenate([np.zeros_like(told), answers], 1)
    asked = np.zeros(ids.shape, bool)
    asked[:, 2 * PAIRS :] = True
    return torch.from_numpy(ids), torch.from_numpy(targets), torch.from_numpy(asked)


def copying(rng: np.random.Generator, texts: int) -> Batch:
    """Ten symbols of 0-7, then ten times 8: at each, the next symbol in order is asked for."""
    symbols = rng.integers(0, SYMBOLS, (texts, COPIED))
    ids = np.concatenate([symbols, np.full_like(symbols, SYMBOLS)], 1)
    targets = np.concatenate([np.zeros_like(symbols), symbols], 1)
    asked = np.zeros(ids.shape, bool)
    asked[:, COPIED:] = True
    return torch.from_numpy(ids), torch.from_numpy(targets), torch.from_numpy(asked)


def best_curve(cell: str, task: Callable[[np.random.Generator, int], Batch]) -> dict[str, Any]:
    curves = [learn(cell, task, rate) for rate in SETTINGS["tasks"]["rates"]]
    return max(curves, key=lambda curve: (curve["accuracy"][-1], -curve["rate"]))


def learn(
    cell: str, task: Callable[[np.random.Generator, int], Batch], rate: float
) -> dict[str, Any]:
    """Accuracy on fresh examples at each checkpoint of one training run."""
    asked = SETTINGS["tasks"]
    torch.manual_seed(asked["seed"])
    rng = np.random.default_rng(asked["seed"])
    model = Learner(cell)
    exam = task(np.random.default_rng(asked["seed"] + 1), 512)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    steps, step, accuracy = asked["steps"], 0, []
    start = time.process_time()
    while step < steps:
        step += 1
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, 20 * step / steps, 1.05 - step / steps)
        optimiser.zero_grad()
        model.loss(task(rng, asked["batch"])).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step == 10:
            affordable = int(asked["seconds"] / (time.process_time() - start) * step)
            steps = min(steps, max(CHECKPOINTS * 3, affordable))
        if step * CHECKPOINTS // steps > len(accuracy):
            accuracy.append(model.accuracy(exam))
    return {"rate": rate, "steps": steps, "accuracy": accuracy}


class Learner(torch.nn.Module):
    """An embedding, two causal layers with a feed-forward half, and a guess at each token."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        asked = SETTINGS["tasks"]
        spec = RecurrentSpec(
            cell,
            vocabulary=VOCABULARY,
            layers=asked["layers"],
            width=asked["width"],
            bidirectional=False,
            feed_forward=2.0,
        )
        self.embedding: nn.Module = torch.nn.Embedding(spec.vocabulary, spec.width)
        self.stack = Stack(spec, registry.load("cell", cell))
        self.head = torch.nn.Linear(spec.width, spec.vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        texts, length = ids.shape
        states = self.stack.states(self.embedding(ids.reshape(-1)), pack_lengths([length] * texts))
        guesses: Tensor = self.head(states).view(texts, length, -1)
        return guesses

    def loss(self, batch: Batch) -> Tensor:
        ids, targets, asked = batch
        return torch.nn.functional.cross_entropy(self(ids)[asked], targets[asked])

    def accuracy(self, batch: Batch) -> float:
        ids, targets, asked = batch
        with torch.inference_mode():
            right = self(ids).argmax(2) == targets
        return right[asked].double().mean().item()


def table(cells: dict[str, Any]) -> str:
    rows = [
        "| cell | parameters | forward tok/s | forward + backward tok/s | recall % | copy % |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in sorted(cells.items()):
        row = [
            name,
            f"{found['parameters']:,}",
            f"{found['forward_tokens_per_second']:,.0f}",
            f"{found['both_tokens_per_second']:,.0f}",
            curve(found["recall"]),
            curve(found["copy"]),
        ]
        rows.append(f"| {' | '.join(row)} |")
    return "\n".join(rows)


def curve(found: dict[str, Any] | None) -> str:
    """Four accuracies in percent; with the number of steps where it is not the usual one."""
    if found is None:
        return ""
    shown = " ".join(f"{100 * value:.0f}" for value in found["accuracy"])
    usual = SETTINGS["tasks"]["steps"]
    return shown if found["steps"] == usual else f"{shown} ({found['steps']} steps)"


if __name__ == "__main__":
    main()

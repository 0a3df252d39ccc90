"""What each part of the distillation recipe is worth: one change at a time on little text.

    .venv/bin/python benchmarks/ablations.py DATA -o ablations.json [--variant NAME ...]

DATA holds text/, queries/ and collections/ as the recipe of tamis-small names them. Every variant
sees the same 12 shards (about 45,000 texts: questions, passages, sentences) once, unless its name
says otherwise; teacher vectors
are kept in the user's cache. Reported: cosine to the teacher on four held-out shards, and nDCG@10
as a share of MiniLM's on wikiqa-passage dev, cosqa dev and scifact train (mean of the three),
symmetric and with MiniLM's queries. Seed 0 and one run each: differences below a point are noise.
Results lie in the file given by -o, variant by variant: started again, the program goes on.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import shutil
import tempfile
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from measuring import hardware
from retention import Collection

from tamis.core.progress import Silent
from tamis.encoders.minilm import minilm_folder
from tamis.encoders.training import recipes
from tamis.encoders.training.loop import train
from tamis.encoders.training.recipes import prepare
from tamis.encoders.training.spec import spec_of
from tamis.pipeline.training import teacher_cache

if TYPE_CHECKING:
    import tamis

RECIPE = Path(recipes.__file__).parent / "recipes" / "tamis-small-start.toml"
WIKIPEDIA = 69_632  # sentences of each of its two files
DEV = ("wikiqa-passage:dev", "cosqa:dev", "scifact:train")
BASE = {
    "model.kind": "folded",
    "model.layers": 2,
    "model.width": 384,
    "model.piece_weights": "zipf",
    "distillation.limit": 12,
    "schedule.epochs": 1.0,
    "schedule.warmup": 100,
    "schedule.checkpoint_every": 0,
    "schedule.evaluate_every": 0,
}
ALIKE = {"model.piece_weights": "equal"}
CELL = {"model.kind": "recurrent", "model.width": 192}
VARIANTS: dict[str, dict[str, Any]] = {
    "base: folded minGRU, L = 2, 384 channels": {},
    "static (L = 0)": {"model.layers": 0},
    "L = 1": {"model.layers": 1},
    "L = 4": {"model.layers": 4},
    "L = 2, 768 channels": {"model.width": 768},
    "L = 3, 512 channels": {"model.layers": 3, "model.width": 512},
    "rank 192": {"model.rank": 192},
    "no KL": {"distillation.similarity": 0.0, "distillation.asymmetric": 0.0},
    "similarity KL .5": {"distillation.similarity": 0.5},
    "similarity KL 2": {"distillation.similarity": 2.0},
    "similarity KL 2, asymmetric 1": {
        "distillation.similarity": 2.0,
        "distillation.asymmetric": 1.0,
    },
    "asymmetric KL .5": {"distillation.asymmetric": 0.5},
    "token states .2, in runs of 8 of a source": {"distillation.states": 0.2, "runs": 8},
    "token states 1, in runs of 8 of a source": {"distillation.states": 1.0, "runs": 8},
    "batches of neighbours (leaf = 32)": {"distillation.leaf": 32},
    "twice the rates": {"schedule.rate": 2e-3, "schedule.table_rate": 3e-3},
    "half the rates": {"schedule.rate": 5e-4, "schedule.table_rate": 7.5e-4},
    "batches of 2,048 tokens": {"schedule.batch_tokens": 2048},
    "half the text, twice": {"distillation.limit": 6, "schedule.epochs": 2.0},
    "a quarter of the text, four times": {"distillation.limit": 3, "schedule.epochs": 4.0},
    "twice the text": {"distillation.limit": 24},
    "four times the text": {"distillation.limit": 48},
    "word pieces count alike": ALIKE,
    "word pieces count alike, similarity KL .5": {**ALIKE, "distillation.similarity": 0.5},
    "word pieces count alike, L = 3": {**ALIKE, "model.layers": 3},
    "word pieces count alike, static (L = 0)": {**ALIKE, "model.layers": 0},
    "unfolded minGRU, 2 x 192": CELL,
    "unfolded minGRU, 2 x 384": {"model.kind": "recurrent", "model.width": 384},
    "one direction": {**CELL, "model.bidirectional": False},
    "mean+max pooling": {**CELL, "model.pooling": "mean+max"},
    "last-token pooling": {**CELL, "model.pooling": "last"},
    "attention pooling": {**CELL, "model.pooling": "attention"},
    "cell minlstm": {**CELL, "model.cell": "minlstm"},
    "cell rglru": {**CELL, "model.cell": "rglru"},
    "cell hgrn": {**CELL, "model.cell": "hgrn"},
    "cell paragru": {**CELL, "model.cell": "paragru"},
    "cell gru": {**CELL, "model.cell": "gru"},
    "cell gla": {**CELL, "model.cell": "gla"},
    "MiniLM cut to 1 layer": {"transformer": 1},
    "MiniLM cut to 2 layers": {"transformer": 2},
}


def body_of(changes: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The recipe's TOML with the base's and the variant's changes."""
    body: dict[str, Any] = copy.deepcopy(tomllib.loads(RECIPE.read_text("utf-8")))
    body.pop("evaluate", None)
    changes = dict(changes)
    layers, runs = changes.pop("transformer", 0), changes.pop("runs", 0)
    for key, value in {**BASE, **changes}.items():
        table, _, name = key.partition(".")
        body[table][name] = value
    body["texts"] = [x for x in body["texts"] if x.get("part") not in ("word", "title")]
    for source in body["texts"]:
        if source.get("part") == "sentence" and "wikipedia" in source["path"]:
            source["limit"] = WIKIPEDIA
        if "wikipedia-b" in source["path"] and source["role"] == "passage":
            source["states"] = runs
    if layers:
        body["model"] = {"kind": "transformer", "start": str(cut_minilm(layers, folder))}
        body["schedule"] |= {"rate": 1e-4, "table_rate": 1e-4}
    return body


def cut_minilm(layers: int, folder: Path) -> Path:
    """MiniLM's first layers, as a sentence-transformers folder."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm_folder()), device="cpu")
    bert = model[0].auto_model
    bert.encoder.layer = bert.encoder.layer[:layers]
    bert.config.num_hidden_layers = layers
    model.save_pretrained(str(folder / "cut"))
    return folder / "cut"


def measure(changes: dict[str, Any], data: Path, collections: list[Collection]) -> dict[str, Any]:
    """Train one variant; its numbers."""
    folder = Path(tempfile.mkdtemp())
    try:
        spec = spec_of(body_of(changes, folder), "variant", data)
        recipe = prepare(spec, teacher_cache())
        parameters = sum(p.numel() for p in recipe.trainee.module.parameters())
        began = time.perf_counter()
        train(recipe, spec, folder / "run", progress=Silent())
        seconds = time.perf_counter() - began
        encoder = recipe.trainee.encoder()
        found: dict[str, Any] = {"parameters": parameters, "steps": recipe.steps}
        found |= {"seconds": round(seconds), **recipe.watch()}
        for way in ("symmetric", "asymmetric"):
            found[way] = float(np.mean([share(encoder, c, way) for c in collections]))
        return found
    finally:
        shutil.rmtree(folder)


def share(encoder: tamis.Encoder, collection: Collection, way: str) -> float:
    own = way == "symmetric"
    queries = encoder.encode_queries(collection.queries) if own else collection.teacher_queries
    passages = encoder.encode_passages(collection.texts)
    teacher = collection.values(collection.teacher_queries, collection.teacher_passages).mean()
    return float(collection.values(queries, passages).mean() / teacher)


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    rows = [
        "| variant | parameters (million) | cosine, passages | cosine, short | "
        "symmetric % | asymmetric % | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, each in results.items():
        passages, short = (each.get(f"cosine {role}", math.nan) for role in ("passage", "query"))
        rows.append(
            f"| {name} | {each['parameters'] / 1e6:.1f} | {passages:.3f} | "
            f"{short:.3f} | {100 * each['symmetric']:.1f} | "
            f"{100 * each['asymmetric']:.1f} | {each['seconds']} |"
        )
    return "\n".join(rows)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("-o", "--output", type=Path, required=True)
    arguments.add_argument("--variant", nargs="+", default=list(VARIANTS))
    arguments.add_argument("--threads", type=int, default=1)
    chosen = arguments.parse_args()

    torch.set_num_threads(chosen.threads)
    cache = Path.home() / ".cache/tamis/retention"
    folder = chosen.data / "collections"
    parts = [each.partition(":") for each in DEV]
    collections = [Collection(folder / name, split, cache) for name, _, split in parts]
    output = chosen.output
    results = json.loads(output.read_text("utf-8")) if output.is_file() else {}
    for name in chosen.variant:
        if name not in results:
            results[name] = measure(VARIANTS[name], chosen.data, collections)
            output.write_text(json.dumps(results, indent=1), "utf-8")
            print(name, results[name], flush=True)
    print(table(results))
    print(hardware())


if __name__ == "__main__":
    main()

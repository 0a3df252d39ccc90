"""tamis info: what an index folder holds."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer


def info(
    index: Annotated[Path, typer.Argument(help="An index folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what an index holds."""
    from ...index.folder import IndexFolder

    described = IndexFolder(index, foreign=True).describe()
    if as_json:
        import json

        print(json.dumps(described, indent=2, ensure_ascii=False))
        return
    for line in summary(index, described):
        print(line)


def summary(path: Path, described: dict[str, Any]) -> list[str]:
    """An index in a few lines."""
    if described.get("foreign"):
        vectors, dim = described["vectors"], described["dim"]
        return [f"{path}: written by Pyserini, {vectors:,} vectors of {dim} dimensions, no texts"]
    counts, ann, encoder = described["counts"], described["ann"], described["passage_encoder"]
    recipe = {k: v for k, v in ann["recipe"].items() if k not in ("kind", "reproducible")}
    chosen = ", ".join(f"{key}={value}" for key, value in recipe.items())
    lexical = described["lexical"]
    bm25 = f"{lexical['engine']}, k1={lexical['k1']:g}, b={lexical['b']:g}" if lexical else "none"
    megabytes = sum(described["bytes"].values()) / 1e6
    cut, lost = counts["truncated_passages"], counts["truncated_tokens"]
    rows = [
        (
            "passages",
            f"{counts['indexed']:,} of {counts['corpus']:,} ({counts['skipped']:,} skipped)",
        ),
        ("encoder", f"{encoder['name']}, {encoder['dim']} dimensions, {encoder['similarity']}"),
        ("truncated", f"{cut:,} passages, {lost:,} tokens lost"),
        ("vectors", f"{ann['recipe']['kind']}{f' ({chosen})' if chosen else ''}"),
        ("ANN recall", f"@10 {ann['recall_at_10']:.3f}, @100 {ann['recall_at_100']:.3f}"),
        ("BM25", bm25),
        ("size", f"{megabytes:,.1f} MB"),
    ]
    return [str(path), *(f"  {name:<11}{value}" for name, value in rows)]

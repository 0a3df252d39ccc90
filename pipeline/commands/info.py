"""tamis info: what an index folder holds."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer

from ..choices import Mode


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
    counts, ann = described["counts"], described["ann"]
    recipe = {k: v for k, v in ann["recipe"].items() if k not in ("kind", "reproducible")}
    chosen = ", ".join(f"{key}={value}" for key, value in recipe.items())
    lexical = described["lexical"]
    bm25 = f"{lexical['engine']}, k1={lexical['k1']:g}, b={lexical['b']:g}" if lexical else "none"
    if lexical and described.get("cold"):
        bm25 += ", statistics of both tiers"
    megabytes = sum(described["bytes"].values()) / 1e6
    cut, lost = counts["truncated_passages"], counts["truncated_tokens"]
    rows = [
        (
            "passages",
            f"{counts['indexed']:,} of {counts['corpus']:,} ({counts['skipped']:,} skipped)",
        ),
        *_repeated(described.get("near_duplicates")),
        *_pruned(described.get("pruning")),
        *_cold(described),
        *_encoders(described),
        ("truncated", f"{cut:,} passages, {lost:,} tokens lost"),
        ("vectors", f"{ann['recipe']['kind']}{f' ({chosen})' if chosen else ''}"),
        ("ANN recall", f"@10 {ann['recall_at_10']:.3f}, @100 {ann['recall_at_100']:.3f}"),
        *_tokens(described),
        ("BM25", bm25),
        ("size", f"{megabytes:,.1f} MB"),
    ]
    return [str(path), *(f"  {name:<11}{value}" for name, value in rows)]


def _tokens(described: dict[str, Any]) -> list[tuple[str, str]]:
    """How many token vectors are kept for late interaction, and what they cost."""
    told = described.get("tokens")
    if told is None:
        return []
    size = sum(size for name, size in described["bytes"].items() if name.startswith("tokens/"))
    each = size / described["counts"]["indexed"]
    return [
        (
            "tokens",
            f"{told['count']:,} vectors of {told['dim']} dimensions in {told['bits']} bits, "
            f"{size / 1e6:,.1f} MB, {each:,.0f} bytes a passage",
        )
    ]


def _repeated(told: dict[str, Any] | None) -> list[tuple[str, str]]:
    """How many near-duplicates were left out, and the first of them."""
    if told is None:
        return []
    rows = [("repeated", f"{told['dropped']:,} near-duplicates, from {told['threshold']:g} alike")]
    rows += [
        (
            "" if number else "left out",
            f"{sample['id']} repeats {sample['repeats']}  {sample['text']}",
        )
        for number, sample in enumerate(told["samples"])
    ]
    return rows


def _pruned(pruning: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What was left out, by which rule, and the worst of it."""
    if pruning is None:
        return []
    scored, name = pruning["scored"], pruning["model"]["name"]
    cut = scored - pruning["kept"]
    rule = ""
    if pruning["keep"] is not None:
        rule = f", keep {pruning['keep']:g}"
    elif pruning["min_quality"] is not None:
        rule = f", at least {pruning['min_quality']:g}"
    if cut and pruning["threshold"] is not None:
        rule += f", lowest score kept {pruning['threshold']:.4g}"
    if "auto" in pruning:
        rule += f", chosen by {pruning['auto']['queries']:,} dev queries"
    if pruning["protected"]:
        rule += f", {pruning['protected']:,} protected"
    rows = [("pruned", f"{cut:,} of {scored:,} ({cut / scored:.1%}) by {name}{rule}")]
    rows += [
        (
            "" if number else "left out",
            f"{sample['score']:.4g}  {sample['id']}  {sample['text']}",
        )
        for number, sample in enumerate(pruning["samples"])
    ]
    return rows


def _cold(described: dict[str, Any]) -> list[tuple[str, str]]:
    """What was pruned and kept all the same, and when a search goes there."""
    cold = described.get("cold")
    if cold is None:
        return []
    own, sketch = (
        sum(size for name, size in described["bytes"].items() if name.startswith(start)) / 1e6
        for start in ("cold/", "sketch/")
    )
    told = f", its sketch in the hot tier {sketch:,.1f} MB" if sketch else ""
    rows = [("cold tier", f"{cold['passages']:,} passages, {own:,.1f} MB{told}")]
    for mode in (mode.value for mode in Mode if mode.value in cold["thresholds"]):
        rule = cold["thresholds"][mode]
        when = "never" if rule["threshold"] is None else f"at {rule['threshold']:.4g} or below"
        learned = f"{rule['share']:.1%} of {rule['queries']:,} queries: {rule['source']}"
        rows.append(("", f"{mode}, {rule['signal']}: {when}, {learned}"))
    return rows


def _encoders(described: dict[str, Any]) -> list[tuple[str, str]]:
    """One line, or two where another encoder reads the queries."""
    passages, queries = described["passage_encoder"], described["query_encoder"]
    adaptation = described.get("adaptation")
    adapted = any(name.startswith("encoder/") for name in described["bytes"])
    told = f"{passages['name']}{', adapted to this corpus' if adapted else ''}"
    rows = [("encoder", f"{told}, {passages['dim']} dimensions, {passages['similarity']}")]
    if adaptation is not None:
        rows.append(("adapted", _told(adaptation)))
    if queries["fingerprint"] != passages["fingerprint"]:
        rows.append(("queries", f"{queries['name']}, of the same space"))
    return rows


def _told(adaptation: dict[str, Any]) -> str:
    """How the passages' encoder was tuned, and whether it is nearer to its teacher than before."""
    told = (
        f"by {adaptation['teacher']} on {adaptation['passages']:,} passages, "
        f"{adaptation['epochs']} epochs"
    )
    if adaptation["cosine_after"] is None:
        return told
    before, after = adaptation["cosine_before"], adaptation["cosine_after"]
    return f"{told}; cosine to it {before:.3f} before, {after:.3f} now"

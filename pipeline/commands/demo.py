"""tamis demo: what the engine does, on a collection that comes with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from ...eval.equivalence import Equivalence
    from ..demo import Demo, Sample

WIDTH = 100
"""Columns when nobody says how many there are, as on a pipe."""


def demo(
    keep: Annotated[
        Path | None,
        typer.Option(
            help="Leave the index of the whole collection in this new folder, to search it later; "
            "the pruned one is always thrown away."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Index a small collection that comes with tamis, search it, fuse, rerank, prune, and measure.

    Needs no network and less than a minute. Reranking needs the extra ltr and is left out without.
    """
    import json
    import tempfile

    from ..demo import run_demo
    from ..progress import Bars

    with tempfile.TemporaryDirectory(prefix="tamis-demo-") as temporary:
        found = run_demo(keep or Path(temporary) / "index", progress=Bars())
    for warning in found.comparison.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    _print(found, keep)


def _print(found: Demo, keep: Path | None) -> None:
    """Table, legend, samples, hint; nothing wider than the console, the table never cut."""
    import sys
    import textwrap

    from rich.console import Console
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    table = _table(found)
    unbounded = console.options.update(max_width=10_000)
    console.width = max(
        min(console.width, WIDTH), console.measure(table, options=unbounded).maximum
    )
    console.print(table)
    for line in _legend(found):
        told = textwrap.fill(line, console.width, subsequent_indent="  ")
        console.print(Text(told), soft_wrap=True)
    for sample in found.samples:
        console.print()
        for line in _sample(sample, console.width):
            console.print(line)
    console.print()
    for line in _next(keep):
        console.print(Text(line), soft_wrap=True)


def _table(found: Demo) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from ...eval.presenting import ALPHA

    table = Table(box=SIMPLE_HEAD, title="tamis demo", title_justify="left", title_style="bold")
    table.add_column("system", no_wrap=True)
    table.add_column("nDCG@10 [95% interval]", no_wrap=True)
    for heading in ("RR@10", "R@100", "junk@10", "ms/query", "index bytes"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, evaluation in found.comparison.evaluations.items():
        interval = found.comparison.intervals[name]["nDCG@10"]
        bounds = "none" if interval.reason else f"{interval.low:.3f}, {interval.high:.3f}"
        mark = found.comparison.p_holm.get(name, {}).get("nDCG@10", 1.0) < ALPHA
        table.add_row(
            name,
            f"{evaluation.value('nDCG@10'):.3f} \\[{bounds}]{'*' if mark else ''}",
            f"{evaluation.value('RR@10'):.3f}",
            f"{evaluation.value('R@100'):.3f}",
            f"{found.junk[name]:.1%}",
            f"{found.costs[name].milliseconds:.2f}",
            f"{found.costs[name].index_bytes:,}",
        )
    return table


def _legend(found: Demo) -> Iterator[str]:
    from ...eval.presenting import ALPHA
    from ...eval.ties import RULES

    comparison = found.comparison
    weights = ", ".join(f"{name} {weight:g}" for name, weight in found.dense_weights.items())
    yield (
        f"Collection: tamis demo, {found.passages} passages, a third of them junk on purpose; "
        f"test split, {len(comparison.queries)} queries. Small and hard by design: it shows, "
        f"it does not rank systems."
    )
    asked = f", queries by {found.query_encoder}" * (found.query_encoder != found.encoder)
    yield (
        f"dense: {found.encoder}{asked}, exact search; rrf, minmax, zscore: dense and bm25 fused; "
        f"weight of dense tuned on {found.dev_queries} dev queries: {weights}."
    )
    yield _reranked(found)
    yield from _pruned(found)
    yield (
        f"*: differs from {comparison.baseline} (paired randomisation test, Holm-adjusted, "
        f"p < {ALPHA}). Ties: {comparison.ties}, {RULES[comparison.ties]}. junk@10: share of "
        f"the ten best passages that labels.tsv calls other than good."
    )
    yield (
        f"ms/query: median, one query at a time, encoding included, after a warm-up. Index bytes: "
        f"beside the passages ({found.passage_bytes:,}; pruned {found.pruning.passage_bytes:,}) "
        f"and the models."
    )
    threads = f"{found.threads} thread{'s' if found.threads != 1 else ''}"
    yield f"Measured on {found.cpu}, {threads}; {found.seconds:.0f} s in all."


def _reranked(found: Demo) -> str:
    from ..demo import DEPTH, RERANKER

    reason = found.left_out.get("reranked")
    if reason is not None:
        return f"reranked: left out; {reason}."
    return (
        f"reranked: the {DEPTH} best of rrf in the order of {RERANKER}, which comes with tamis and "
        f"learned from other collections."
    )


def _pruned(found: Demo) -> Iterator[str]:
    """What was left out, and whether that is shown to cost nothing: not the same as no star."""
    from ..demo import KEEP, NEAR_DUPLICATES

    pruning = found.pruning
    yield (
        f"pruned: rrf in an index built with --near-duplicates {NEAR_DUPLICATES:g} --keep {KEEP:g}:"
        f" without {pruning.near_duplicates} passages that nearly repeat an earlier one and the "
        f"{pruning.cut} worst of the others by {pruning.quality}; {pruning.passages} stay, "
        f"{pruning.junk} of them junk (of all {found.passages}: {pruning.junk_before})."
    )
    yield (
        f"{_verdict(pruning.equivalence)} What was left out and is relevant counts as missed. This "
        f"row is for show: junk written on purpose proves nothing about the quality model."
    )


def _verdict(test: Equivalence) -> str:
    """A missing bound or power, as where no query differs, is left unsaid."""
    equivalent, not_inferior = (
        "shown" if passed else "not shown" for passed in (test.equivalent, test.not_inferior)
    )
    bounds, power = "", ""
    if test.low is not None and test.high is not None:
        bounds = f" [90% interval {test.low:+.3f}, {test.high:+.3f}]"
    if test.power_if_equal is not None:
        power = (
            f"; with no difference, {test.queries} queries would show equivalence with probability "
            f"{test.power_if_equal:.2f}"
        )
    return (
        f"Equivalence of pruned with rrf: nDCG@10 {test.delta:+.3f}{bounds}; within "
        f"{test.relative_margin:.0%} ({test.margin:.3f}) on both sides: {equivalent}; worse by "
        f"less than that: {not_inferior} (paired TOST, alpha {test.alpha:g}){power}."
    )


def _sample(sample: Sample, width: int) -> Iterator[str]:
    """A query, and the first passage of each system that gives another one."""
    import textwrap

    from rich.markup import escape

    yield f"[bold]{escape(sample.query.text)}[/bold]  ({sample.query.id}, dev)"
    for answer in sample.answers:
        systems = ", ".join(answer.systems)
        if answer.passage is None:
            yield f"  {systems}: nothing found"
            continue
        grade = "not judged" if answer.grade is None else f"grade {answer.grade} of 3"
        named = f"{answer.passage.id} {answer.passage.title}".rstrip()
        yield f"  {systems}: {grade}, {escape(named)}"
        for line in textwrap.wrap(answer.passage.text, width - 6, max_lines=3, placeholder=" ..."):
            yield f"    {escape(line)}"


def _next(keep: Path | None) -> Iterator[str]:
    if keep is not None:
        yield "The index is kept:"
        yield f'  tamis search {keep} "is it ok to shower in a thunderstorm?" --mode hybrid'
    yield "Next, with your own corpus, queries and judgments:"
    yield "  tamis build corpus.jsonl -o idx"
    yield "  tamis search idx --queries queries.tsv -o dense.run"
    yield "  tamis eval dense.run --qrels qrels.tsv"

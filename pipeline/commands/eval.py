"""tamis eval: what run files are worth, and whether they differ."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table


def evaluate(
    runs: Annotated[
        list[Path], typer.Argument(help="Run files: TREC, MS MARCO or TSV with a header; .gz too.")
    ],
    qrels: Annotated[str, typer.Option(help="Judgments: TREC qrels, BEIR TSV or irds:ID.")],
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            "-m",
            help="A measure such as 'RR(rel=2)@10'; give -m again for another. "
            "Default: nDCG@10 RR@10 R@100 R@1000 AP.",
        ),
    ] = None,
    ties: Annotated[
        str,
        typer.Option(help="Equal scores: trec (id descending), msmarco (id ascending), error."),
    ] = "trec",
    baseline: Annotated[
        str | None, typer.Option(help="A run, by path or name, to test the others against.")
    ] = None,
    per_query: Annotated[
        Path | None, typer.Option(help="Write run, query, measure, value to this TSV.")
    ] = None,
    ignore_identical_ids: Annotated[
        bool, typer.Option("--ignore-identical-ids", help="Drop passages with their query's id.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of intervals and randomisation tests.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure run files, with intervals and tests.

    All judged queries count; those that a run lacks count with 0.
    """
    import json

    from ...eval.measures import DEFAULT_MEASURES
    from ..evaluation import evaluate_files, write_per_query

    if per_query is not None:
        from ..outputs import check_output

        check_output(per_query, [*runs, qrels])
    comparison = evaluate_files(
        runs,
        qrels,
        measure or DEFAULT_MEASURES,
        ties=ties,
        baseline=baseline,
        ignore_identical_ids=ignore_identical_ids,
        seed=seed,
    )
    for warning in comparison.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if per_query is not None:
        write_per_query(comparison, per_query)
    if as_json:
        typer.echo(json.dumps(comparison.to_json(), indent=2))
    else:
        _print(comparison.table())


def _print(table: Table) -> None:
    """On a console as wide as the table: a number is never cut."""
    from rich.console import Console

    console = Console()
    unbounded = console.options.update(max_width=10_000)
    console.width = max(console.width, console.measure(table, options=unbounded).maximum)
    console.print(table)

"""tamis tune-cold: when a search asks the cold tier, learned from queries."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from ..choices import Device

if TYPE_CHECKING:
    from ..cold.tuning import Bought


def tune_cold(
    index: Annotated[Path, typer.Argument(help="An index folder built with --cold.")],
    queries: Annotated[
        str, typer.Option(help="A file of queries (TSV, BEIR JSON lines) or irds:ID; never test.")
    ],
    qrels: Annotated[
        str | None, typer.Option(help="Their judgments; without, --budget alone decides.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Of queries that may go cold: 0.3 if nothing is given, 1 beside --target-recall.",
        ),
    ] = None,
    target_recall: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Of the whole collection's recall: 0.99, by as few as it takes."
        ),
    ] = None,
    measure: Annotated[str, typer.Option("--measure", "-m", help="What is kept.")] = "R@100",
    device: Annotated[Device, typer.Option(help="Where to encode and search.")] = Device.cpu,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Set the threshold below which a search asks the cold tier.

    It is kept in the index, for dense, lexical and hybrid each.
    """
    from ..cold.tuning import tune_cold as tune
    from ..progress import Bars

    tuned = tune(
        index,
        queries,
        qrels,
        budget=budget,
        target_recall=target_recall,
        measure=measure,
        device=device.value,
        progress=Bars(),
    )
    if as_json:
        import json

        body = {"index": str(index), "measure": measure, "modes": [b.to_json() for b in tuned]}
        print(json.dumps(body, indent=2))
        return
    for bought in tuned:
        print(_told(bought, measure))


def _told(bought: Bought, measure: str) -> str:
    rule = bought.rule
    threshold = "never" if rule["threshold"] is None else f"at {rule['threshold']:.4g} or below"
    line = (
        f"{bought.mode}: cold {threshold} ({rule['signal']}), "
        f"{rule['share']:.1%} of {rule['queries']:,} queries"
    )
    values = []
    for name in ("hot", "tiered", "whole"):
        found = getattr(bought, name)
        if found is not None:
            value, interval = found
            bounds = "" if interval.low is None else f" [{interval.low:.4f}, {interval.high:.4f}]"
            values.append(f"{name} {value:.4f}{bounds}")
    if not values:
        return line
    kept = "" if bought.kept is None else f"; {bought.kept:.2%} of whole kept"
    return f"{line}\n  {measure}: {', '.join(values)}{kept}"

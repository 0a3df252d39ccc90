"""tamis bench: every ratio of the project in one table."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..ratios import Outcome, Ratio


def bench(
    only: Annotated[
        list[str] | None, typer.Option(help="A program of benchmarks/; again for another.")
    ] = None,
    collections: Annotated[
        Path | None,
        typer.Option(help="A folder of collections, for the programs that need real ones."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the benchmark programs of a source checkout, in quick sizes, and print their ratios.

    A quick run says whether something broke; the sizes that figures are quoted for are in each
    program's first lines. A ratio above 1 means that ours is faster, or better. Exits 6 when a
    program broke off, 7 when a ratio is below its bar.
    """
    from ..progress import Bars
    from ..ratios import run_programs

    found = list(run_programs(only or (), collections=collections, progress=Bars()))
    if as_json:
        import json
        from dataclasses import asdict

        print(json.dumps([asdict(each) for each in found], indent=1))
    else:
        print("\n".join(_lines(found)))
    broke = any(each.problem.startswith("exit code") for each in found)
    below = any(_below(ratio) for each in found for ratio in each.ratios)
    if broke or below:
        raise typer.Exit(6 if broke else 7)


def _below(ratio: Ratio) -> bool:
    return ratio.bar is not None and ratio.ratio < ratio.bar


def _lines(found: Sequence[Outcome]) -> Iterator[str]:
    from ..comparing.markdown import table

    rows = [
        [each.program, ratio.what, f"{ratio.ratio:.3g}", *_both(ratio), ratio.unit, _bar(ratio)]
        for each in found
        for ratio in each.ratios
    ]
    if rows:
        yield from table(["program", "what", "ratio", "ours", "peer", "unit", "bar"], rows)
    for each in found:
        if each.problem:
            yield f"{each.program}: not measured: {each.problem}"
    for hardware in dict.fromkeys(each.hardware for each in found if each.hardware):
        yield f"measured on {hardware}, quick sizes"


def _both(ratio: Ratio) -> list[str]:
    return ["-" if value is None else f"{value:,.4g}" for value in (ratio.ours, ratio.peer)]


def _bar(ratio: Ratio) -> str:
    if ratio.bar is None:
        return "-"
    return f"{ratio.bar:g}{', missed' if _below(ratio) else ''}"

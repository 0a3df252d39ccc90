"""tamis compare: what pruning costs, in every pipeline, with proof."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.errors import BadArguments
from ..choices import DEFAULT_ENCODER, DEFAULT_QUALITY, Device, Mode

if TYPE_CHECKING:
    from ..comparing.prune_curve import PruneCurve


def compare(
    corpus: Annotated[str, typer.Argument(help="A corpus in any format that build reads.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The report's folder; what is in it is reused.")
    ],
    queries: Annotated[
        str, typer.Option(help="A file of queries (TSV, BEIR JSON lines) or irds:ID.")
    ],
    qrels: Annotated[str, typer.Option(help="Judgments: TREC qrels, BEIR TSV or irds:ID.")],
    prune_curve: Annotated[
        bool, typer.Option("--prune-curve", help="Measures against the share of passages pruned.")
    ] = False,
    quality: Annotated[
        list[str] | None,
        typer.Option(
            help="A quality model's name or file, or a .npy file of scores; again for another. "
            f"Default: {DEFAULT_QUALITY}. Length, random and an oracle are always there.",
        ),
    ] = None,
    share: Annotated[
        list[float] | None,
        typer.Option(help="A share to prune, such as 0.25; again for another. Default: .05 to .7."),
    ] = None,
    mode: Annotated[
        list[Mode] | None, typer.Option(help="A pipeline; again for another. Default: all three.")
    ] = None,
    rerank: Annotated[
        list[str] | None,
        typer.Option(help="NAME[=MODEL][:DEPTH] over the hybrid, again for another stage."),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            "-m",
            help="The first is what is tested; R@100 is always there. Default: nDCG@10.",
        ),
    ] = None,
    area_qrels: Annotated[
        list[str] | None,
        typer.Option(help="More judgments, of other queries, for the ROC areas alone."),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Of equivalence, as a share of the unpruned mean.")
    ] = 0.05,
    alpha: Annotated[float, typer.Option(help="Of each one-sided test.")] = 0.05,
    seeds: Annotated[int, typer.Option(help="How often random pruning is drawn.")] = 10,
    encoder: Annotated[
        str, typer.Option(help="An encoder's name, folder or hub name.")
    ] = DEFAULT_ENCODER,
    query_encoder: Annotated[
        str | None, typer.Option(help="Another one of the same space for queries, as in build.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to encode and rerank.")] = Device.cpu,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report's JSON.")] = False,
) -> None:
    """Hold pruned indexes against the whole one.

    Writes report.md, report.json and a figure (SVG and PDF) to the output folder. Killed, or
    called again with other options, it computes only what is missing.
    """
    if not prune_curve:
        raise BadArguments(
            "nothing to compare: say --prune-curve, the share pruned against quality"
        )
    from ..comparing import curve_report
    from ..comparing import prune_curve as work
    from ..progress import Bars

    found = work.prune_curve(
        corpus,
        output,
        queries=queries,
        qrels=qrels,
        encoder=encoder,
        query_encoder=query_encoder,
        qualities=quality or [DEFAULT_QUALITY],
        shares=share or work.SHARES,
        modes=[each.value for each in mode or Mode],
        rerank=rerank or [],
        seeds=seeds,
        measures=measure or ["nDCG@10"],
        area_qrels=area_qrels or [],
        margin=margin,
        alpha=alpha,
        device=device.value,
        progress=Bars(),
    )
    written = curve_report.write_report(found, output, command=_command())
    for warning in found.collection.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        import json

        typer.echo(json.dumps(curve_report.as_json(found, _command()), indent=1))
        return
    _print(found)
    typer.echo(", ".join(str(path) for path in written))


def _command() -> str:
    """What was typed, whatever folder the program lies in."""
    import shlex
    import sys

    return shlex.join(["tamis", *sys.argv[1:]])


def _print(found: PruneCurve) -> None:
    """The two summary tables and the areas."""
    from ..comparing.curve_tables import summary

    typer.echo("\n".join(summary(found)))

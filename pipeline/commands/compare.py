"""tamis compare: systems side by side, or what pruning costs; with intervals and tests."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.errors import BadArguments
from ..choices import DEFAULT_ENCODER, DEFAULT_QUALITY, Device, Mode, Percentile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..comparing.prune_curve import PruneCurve
    from ..comparing.systems.compared import Compared

_CURVE = "With --prune-curve"
_SYSTEMS = "With SPEC.toml"


def compare(
    what: Annotated[
        str,
        typer.Argument(
            metavar="SPEC.toml|CORPUS",
            help="Systems to compare (docs/compare.md); with --prune-curve, a corpus as in build.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The report's folder; what is in it is reused.")
    ],
    budget_ms: Annotated[
        float | None,
        typer.Option(
            help=f"{_SYSTEMS}: choose a cascade's depths on dev, within so many milliseconds."
        ),
    ] = None,
    percentile: Annotated[
        Percentile | None, typer.Option(help="Of the queries that the budget holds for: p50, p95.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="The system whose depths --budget-ms chooses.")
    ] = None,
    prune_curve: Annotated[
        bool, typer.Option("--prune-curve", help="Measures against the share of passages pruned.")
    ] = False,
    queries: Annotated[
        str | None,
        typer.Option(help=f"{_CURVE}: a file of queries (TSV, BEIR JSON lines) or irds:ID."),
    ] = None,
    qrels: Annotated[
        str | None, typer.Option(help=f"{_CURVE}: judgments: TREC qrels, BEIR TSV or irds:ID.")
    ] = None,
    quality: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{_CURVE}: a quality model's name or file, or a .npy file of scores; again for "
            f"another. Default: {DEFAULT_QUALITY}. Length, random and an oracle are always there.",
        ),
    ] = None,
    share: Annotated[
        list[float] | None,
        typer.Option(help=f"{_CURVE}: a share, such as 0.25; again for another. Default: .05-.7."),
    ] = None,
    mode: Annotated[
        list[Mode] | None,
        typer.Option(help=f"{_CURVE}: a pipeline; again for another. Default: all three."),
    ] = None,
    rerank: Annotated[
        list[str] | None,
        typer.Option(help=f"{_CURVE}: NAME[=MODEL][:DEPTH] over the hybrid, again for another."),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            "-m",
            help=f"{_CURVE}: the first is tested; R@100 is always there. Default: nDCG@10.",
        ),
    ] = None,
    area_qrels: Annotated[
        list[str] | None,
        typer.Option(help=f"{_CURVE}: more judgments, of other queries, for the ROC areas alone."),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            help=f"{_CURVE}: of equivalence, as a share of the unpruned mean. Default: .05."
        ),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help=f"{_CURVE}: of each one-sided test. Default: .05.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help=f"{_CURVE}: how often random pruning is drawn. Default: 10.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help=f"{_CURVE}: an encoder's name, folder or hub name. Default: {DEFAULT_ENCODER}."
        ),
    ] = None,
    query_encoder: Annotated[
        str | None,
        typer.Option(help=f"{_CURVE}: another one of the same space for queries, as in build."),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to encode and rerank.")] = Device.cpu,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report's JSON.")] = False,
) -> None:
    """Hold the systems of a file against each other, or pruned indexes against the whole one.

    Writes report.md, report.json, figures and, for systems, report.html to the output folder.
    Killed, or called again with changes, it computes only what is missing.
    """
    of_curve = {
        "queries": queries,
        "qrels": qrels,
        "quality": quality,
        "share": share,
        "mode": mode,
        "rerank": rerank,
        "measure": measure,
        "area-qrels": area_qrels,
        "margin": margin,
        "alpha": alpha,
        "seeds": seeds,
        "encoder": encoder,
        "query-encoder": query_encoder,
    }
    of_systems = {"budget-ms": budget_ms, "percentile": percentile, "system": system}
    if prune_curve:
        _refuse(of_systems, "SPEC.toml, not with --prune-curve")
        lacking = [f"--{name}" for name in ("queries", "qrels") if not of_curve[name]]
        if lacking:
            raise BadArguments(f"--prune-curve needs {' and '.join(lacking)}")
        found = _curve(
            what,
            output,
            queries=queries or "",
            qrels=qrels or "",
            quality=quality,
            share=share,
            mode=mode,
            rerank=rerank,
            measure=measure,
            area_qrels=area_qrels,
            margin=0.05 if margin is None else margin,
            alpha=0.05 if alpha is None else alpha,
            seeds=10 if seeds is None else seeds,
            encoder=encoder or DEFAULT_ENCODER,
            query_encoder=query_encoder,
            device=device,
        )
        _print_curve(found, output, as_json=as_json)
        return
    if not what.endswith(".toml"):
        raise BadArguments(
            f"{what} is no .toml file of systems to compare (docs/compare.md); of a corpus say "
            f"--prune-curve: the share pruned against quality"
        )
    _refuse(of_curve, "--prune-curve; a comparison of systems has all that in its file")
    if budget_ms is None:
        _refuse(of_systems, "--budget-ms")
    _systems(what, output, budget_ms, percentile, system, device, as_json=as_json)


def _refuse(given: Mapping[str, object], needed: str) -> None:
    """Options that would silently do nothing."""
    if told := [f"--{name}" for name, value in given.items() if value not in (None, [])]:
        raise BadArguments(f"{', '.join(told)} {'is' if len(told) == 1 else 'are'} for {needed}")


def _systems(
    spec: str,
    output: Path,
    budget_ms: float | None,
    percentile: Percentile | None,
    system: str | None,
    device: Device,
    *,
    as_json: bool,
) -> None:
    from ..comparing.systems.body import body_of
    from ..comparing.systems.budget import compare_within
    from ..comparing.systems.side_by_side import compare_systems
    from ..comparing.systems.spec import Budget
    from ..comparing.systems.summary import summary
    from ..progress import Bars

    command = _command()
    found: Compared
    if budget_ms is None:
        found = compare_systems(spec, output, device=device.value, command=command, progress=Bars())
    else:
        budget = Budget(budget_ms, (percentile or Percentile.p50).value, system)
        found = compare_within(
            budget, spec, output, device=device.value, command=command, progress=Bars()
        )
    written = found.write(output)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        import json

        typer.echo(json.dumps(body_of(found), indent=1))
        return
    typer.echo("\n".join(summary(found)))
    typer.echo(", ".join(str(path) for path in written))


def _curve(
    corpus: str,
    output: Path,
    *,
    queries: str,
    qrels: str,
    quality: list[str] | None,
    share: list[float] | None,
    mode: list[Mode] | None,
    rerank: list[str] | None,
    measure: list[str] | None,
    area_qrels: list[str] | None,
    margin: float,
    alpha: float,
    seeds: int,
    encoder: str,
    query_encoder: str | None,
    device: Device,
) -> PruneCurve:
    from ..comparing import prune_curve as work
    from ..progress import Bars

    return work.prune_curve(
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


def _print_curve(found: PruneCurve, output: Path, *, as_json: bool) -> None:
    """Write the report and show the two summary tables and the areas."""
    from ..comparing import curve_report
    from ..comparing.curve_tables import summary

    written = curve_report.write_report(found, output, command=_command())
    for warning in found.collection.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        import json

        typer.echo(json.dumps(curve_report.as_json(found, _command()), indent=1))
        return
    typer.echo("\n".join(summary(found)))
    typer.echo(", ".join(str(path) for path in written))


def _command() -> str:
    """What was typed, whatever folder the program lies in."""
    import shlex
    import sys

    return shlex.join(["tamis", *sys.argv[1:]])

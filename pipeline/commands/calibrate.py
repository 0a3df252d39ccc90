"""tamis calibrate: how many candidates a cascade's stages can leave unscored, at a bounded loss."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from ..choices import Device

if TYPE_CHECKING:
    from ..exit_calibration import Calibration


def calibrate(
    cascade: Annotated[Path, typer.Argument(help="A TOML file of stages (docs/cascade.md).")],
    index: Annotated[Path, typer.Argument(help="An index folder.")],
    queries: Annotated[str, typer.Option(help="Dev queries: TSV, BEIR JSON lines, irds:ID.")],
    qrels: Annotated[str, typer.Option(help="Their judgments; never those that you report.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The TOML file to write.")],
    loss: Annotated[
        float, typer.Option(help="At most this share of the measure's mean may be lost.")
    ] = 0.01,
    confidence: Annotated[float, typer.Option(help="That the loss stays below, one-sided.")] = 0.95,
    measure: Annotated[str, typer.Option("--measure", "-m", help="From 0 to 1.")] = "nDCG@10",
    margin: Annotated[
        str, typer.Option(help="Gap before the first stage: first-stages, scaled or raw.")
    ] = "first-stages",
    cache: Annotated[
        bool, typer.Option("--cache", help="Take stage outputs over from earlier runs.")
    ] = False,
    work: Annotated[
        Path | None, typer.Option(help="As --cache, with a folder of your own for the outputs.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to encode and rerank.")] = Device.cpu,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Learn on a dev split which candidates every rerank stage may pass by.

    OUTPUT is the same cascade with a threshold before each stage that can afford one.
    """
    from ...core.qrels import read_qrels
    from ...core.queries import read_queries
    from ..cascade_file import read_cascade, write_cascade
    from ..exit_calibration import Calibrator
    from ..opening import open_index
    from ..outputs import check_output
    from ..progress import Bars
    from ..stage_outputs import StageOutputs, default_folder

    read = read_cascade(cascade)
    check_output(output, [cascade, index, queries, qrels])
    found = Calibrator(
        open_index(index, device=device.value),
        read_queries(queries),
        read_qrels(qrels).judgments,
        loss=loss,
        alpha=round(1 - confidence, 12),
        measure=measure,
        margin=margin,
        device=device.value,
        kept=StageOutputs(work or default_folder()) if cache or work else None,
    ).calibrate(read, Bars())
    write_cascade(found.cascade, output)
    _report(output, found, measure, as_json=as_json)


def _report(output: Path, found: Calibration, measure: str, *, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    if as_json:
        body = {
            "cascade": str(output),
            "queries": found.queries,
            "measure": measure,
            "mean": found.mean,
            "steps": [asdict(step) for step in found.steps],
        }
        print(json.dumps(body, indent=2))
        return
    print(f"{output}: {found.queries:,} dev queries, {measure} {found.mean:.4f} without exits")
    print("stage  threshold  scored %  lost %  at most %")
    for step in found.steps:
        figures = f"{100 * step.scored:8.1f}  {100 * step.loss:6.2f}  {100 * step.bound:9.2f}"
        verdict = "" if step.accepted else "  too much"
        print(f"{step.stage:>5}  {step.threshold:9.4f}  {figures}{verdict}")

"""tamis quality: one score a passage, for pruning."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from ..choices import DEFAULT_QUALITY, Device


def quality(
    corpus: Annotated[str, typer.Argument(help="A corpus in any format that build reads.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The .npy file to write: one float32 a passage.")
    ],
    quality: Annotated[
        str, typer.Option(help="A quality model's name, the file of a stored one, or NAME:MODEL.")
    ] = DEFAULT_QUALITY,
    device: Annotated[
        Device, typer.Option(help="Where qualt5, magnitude and neural perplexity run.")
    ] = Device.cpu,
    save_model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL.safetensors",
            help="Store the fitted model, too, for other corpora: cdd or perplexity.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score every passage of a corpus with no query in sight; higher is worth keeping.

    The scores stand in the order of the corpus. Pruning leaves out the lowest.
    """
    from ..progress import Bars
    from ..quality import score_corpus

    scored = score_corpus(
        corpus,
        output,
        quality=quality,
        device=device.value,
        save_model=save_model,
        progress=Bars(),
    )
    if as_json:
        import json
        from dataclasses import asdict

        body = {**asdict(scored), "path": str(scored.path)}
        typer.echo(json.dumps(body, indent=2))
        return
    typer.echo(
        f"{scored.path}: {scored.passages:,} passages scored by {scored.model.name}, from "
        f"{scored.lowest:.4g} to {scored.highest:.4g}, mean {scored.mean:.4g}"
    )

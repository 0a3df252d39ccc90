"""tamis train: encoders, quality models and rerankers from a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[Path, typer.Option("--output", "-o", help="The model folder to make.")]
Data = Annotated[
    Path | None,
    typer.Option(help="Where the spec's relative paths start; its own folder if not given."),
]

train = typer.Typer(no_args_is_help=True, help="Train a model from a TOML spec.")


@train.command("encoder")
def encoder(
    spec: Annotated[Path, typer.Argument(help="A TOML file: recipe, model, data, schedule.")],
    output: Output,
    data: Data = None,
) -> None:
    """Train an encoder.

    OUTPUT.training keeps the checkpoint, training.jsonl and a figure of the losses. Killed, run
    the same command again: it goes on where the checkpoint was written.
    """
    from ..progress import Bars
    from ..training import train_encoder

    trained = train_encoder(spec, output, data=data, progress=Bars())
    card = trained.card
    print(f"{output}: {card.dim} dimensions, space {card.space[:12]}, {card.fingerprint[:12]}")


@train.command("quality")
def quality(
    spec: Annotated[
        Path, typer.Argument(help="A TOML file: model, quality, schedule, and labels.")
    ],
    output: Output,
    data: Data = None,
) -> None:
    """Train a passage quality model, for tamis build --quality OUTPUT.

    Labels come from judgments, from training pairs, or from the corpus alone. Killed, run the same
    command again: it goes on where the checkpoint was written.
    """
    from ..progress import Bars
    from ..quality_training import train_quality

    trained = train_quality(spec, output, data=data, progress=Bars())
    print(f"{output}: a quality model, {trained.card.fingerprint[:12]}")


@train.command("reranker")
def reranker(
    spec: Annotated[Path, typer.Argument(help="A TOML file: model, data, loss, schedule.")],
    output: Output,
    data: Data = None,
) -> None:
    """Train a reranker, for tamis search --rerank OUTPUT.

    OUTPUT.training keeps the checkpoint and training.jsonl. Killed, run the same command again: it
    goes on where the checkpoint was written.
    """
    from ..progress import Bars
    from ..reranker_training import train_reranker

    trained = train_reranker(spec, output, data=data, progress=Bars())
    print(f"{output}: {trained.name}")

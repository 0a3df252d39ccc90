"""tamis check: everything that is wrong with a corpus or an index, at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.errors import BadArguments

if TYPE_CHECKING:
    from ..reporting import Report


def check(
    target: Annotated[str, typer.Argument(help="A corpus, or an index folder.")],
    encoder: Annotated[
        str | None,
        typer.Option(help="A corpus: what it would truncate. An index: did it build it?"),
    ] = None,
    qrels: Annotated[
        str | None, typer.Option(help="Judgments whose passages the corpus should hold.")
    ] = None,
    queries: Annotated[
        str | None, typer.Option(help="Queries that the judgments should name.")
    ] = None,
    passage_words: Annotated[
        int | None, typer.Option(help="Check the corpus as split at so many words.")
    ] = None,
    passage_stride: Annotated[
        int | None, typer.Option(help="Words from one passage's start to the next.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Name everything wrong with a corpus or an index.

    Exit code 5 when there are errors, 0 when there are only warnings.
    """
    if is_index(Path(target)):
        _refuse_corpus_options(
            target,
            {
                "--qrels": qrels,
                "--queries": queries,
                "--passage-words": passage_words,
                "--passage-stride": passage_stride,
            },
        )
        from ..verifying import check_index

        report = check_index(Path(target), encoder)
    else:
        report = _check_corpus(target, encoder, qrels, queries, passage_words, passage_stride)
    _print(report, as_json=as_json)
    raise typer.Exit(0 if report.ok else 5)


def is_index(target: Path) -> bool:
    """True for a folder that holds an index, ours or one of Pyserini's."""
    ours = (target / "tamis.json").is_file()
    return ours or ((target / "index").is_file() and (target / "docid").is_file())


def _refuse_corpus_options(target: str, given: dict[str, object]) -> None:
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise BadArguments(
            f"{target} is an index; {', '.join(named)} can be checked for a corpus only: leave out"
        )


def _check_corpus(
    target: str,
    encoder: str | None,
    qrels: str | None,
    queries: str | None,
    passage_words: int | None,
    passage_stride: int | None,
) -> Report:
    from rich.console import Console

    from ..check import check_corpus

    loaded = None
    if encoder is not None:
        from ..components import encoder as load_encoder

        loaded = load_encoder(encoder)
    with Console(stderr=True).status(f"checking {target}") as status:
        return check_corpus(
            target,
            encoder=loaded,
            qrels=qrels,
            queries=queries,
            passage_words=passage_words,
            passage_stride=passage_stride,
            progress=lambda seen: status.update(f"checking {target}: {seen:,} passages"),
        )


def _print(report: Report, *, as_json: bool) -> None:
    import json

    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        typer.echo("\n".join(report.lines()))

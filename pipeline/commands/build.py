"""tamis build: corpus to index folder."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Literal

import typer

from ...core.errors import BadArguments
from ..choices import DEFAULT_ENCODER, Device, Lexical, OnError


def build(
    corpus: Annotated[
        str,
        typer.Argument(
            help="BEIR folder, MS MARCO TSV, JSON lines, Parquet, TREC text, folder of .txt/.md "
            "(.gz too), or irds:ID."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The index folder to make.")],
    encoder: Annotated[
        str,
        typer.Option(
            help="tamis-small, tamis-tiny, minilm, static, hashing, a folder of ours or of "
            "sentence-transformers, or org/name."
        ),
    ] = DEFAULT_ENCODER,
    query_encoder: Annotated[
        str | None,
        typer.Option(
            help="For queries alone, of the same space; own: the passages' encoder. "
            "If not given, minilm for its students where it is installed, else own."
        ),
    ] = None,
    adapt: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Tune the encoder first, a student of --teacher, on N passages of the corpus: "
            "20000 take some minutes.",
        ),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="What --adapt asks: minilm if not given, a folder, org/name.")
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:MODEL]|PATH|SCORES.npy",
            help="Score every passage by this model, or take its scores; "
            "for --keep and --min-quality, recurrent if not given.",
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE|auto",
            help="Index only the best of the passages: 0.75 leaves out a quarter; auto, as many as "
            "--dev-queries and --dev-qrels show to be missed by nobody.",
        ),
    ] = None,
    dev_queries: Annotated[
        str | None, typer.Option(metavar="FILE", help="Queries that --keep auto is chosen by.")
    ] = None,
    dev_qrels: Annotated[str | None, typer.Option(metavar="FILE", help="Their judgments.")] = None,
    min_quality: Annotated[
        float | None, typer.Option(metavar="X", help="Index only passages that score X or more.")
    ] = None,
    protect: Annotated[
        Path | None,
        typer.Option(
            metavar="IDS.txt", help="Ids, one a line, that stay whatever they score or repeat."
        ),
    ] = None,
    near_duplicates: Annotated[
        float | None,
        typer.Option(
            metavar="SIMILARITY",
            help="Leave out passages that repeat an earlier one so much, before any is scored: "
            "0.8 is a good start, 1 means the same words.",
        ),
    ] = None,
    cold: Annotated[
        bool,
        typer.Option(
            "--cold", help="Keep what is pruned in a tier of its own, searched where it is needed."
        ),
    ] = False,
    lexical: Annotated[Lexical, typer.Option(help="The BM25 engine.")] = Lexical.bm25s,
    k1: Annotated[float, typer.Option(help="BM25: how slowly repeated terms saturate.")] = 0.9,
    b: Annotated[float, typer.Option(help="BM25: how much length counts, 0 to 1.")] = 0.4,
    ann: Annotated[
        str,
        typer.Option(
            help="flat, sq8, hnsw, ivf or ivfpq; parameters follow a colon: hnsw:M=32,efSearch=256."
        ),
    ] = "flat",
    token_vectors: Annotated[
        int | None,
        typer.Option(
            metavar="4|8",
            help="Keep a vector of every token in so many bits a dimension, for --rerank maxsim.",
        ),
    ] = None,
    passage_words: Annotated[
        int | None, typer.Option(help="Split texts into passages of at most so many words.")
    ] = None,
    passage_stride: Annotated[
        int | None, typer.Option(help="Words from one passage's start to the next.")
    ] = None,
    on_error: Annotated[
        OnError, typer.Option(help="Malformed passages: refuse, or skip and list them.")
    ] = OnError.fail,
    device: Annotated[Device, typer.Option(help="Where to encode and train.")] = Device.cpu,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a finished index.")
    ] = False,
    shard_rows: Annotated[
        int, typer.Option(help="Passages encoded at a time; a kill costs at most one such shard.")
    ] = 8192,
) -> None:
    """Build an index folder from a corpus.

    Killed or out of disk, run the same command again: finished shards are not encoded twice, and
    tuning goes on from where it was.
    """
    from ..build import build as build_index
    from ..progress import Bars
    from .info import summary

    index = build_index(
        corpus,
        output,
        encoder=encoder,
        query_encoder=query_encoder,
        adapt=adapt,
        teacher=teacher,
        quality=quality,
        keep=_share(keep),
        dev_queries=dev_queries,
        dev_qrels=dev_qrels,
        min_quality=min_quality,
        protect=protect,
        near_duplicates=near_duplicates,
        cold=cold,
        lexical=lexical.value,
        k1=k1,
        b=b,
        ann=ann,
        token_vectors=token_vectors,
        passage_words=passage_words,
        passage_stride=passage_stride,
        on_error=on_error.value,
        device=device.value,
        overwrite=overwrite,
        shard_rows=shard_rows,
        progress=Bars(),
    )
    skipped = index.folder.describe()["counts"]["skipped"]
    if skipped:
        listed = output.with_name(f"{output.name}.skipped.jsonl")
        typer.echo(f"{skipped:,} skipped, listed in {listed}", err=True)
    for line in summary(output, index.folder.describe()):
        print(line)


def _share(text: str | None) -> float | Literal["auto"] | None:
    """A number, or auto; BadArguments for another word."""
    if text is None:
        return None
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise BadArguments(
            f"--keep is {text!r}; expected the share of passages that stay, such as 0.75, or auto"
        ) from None

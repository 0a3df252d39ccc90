"""tamis export: encoded queries for Pyserini, vectors for PyTerrier-DR."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ...core.errors import BadArguments
from ..choices import Device


class What(StrEnum):
    queries = "queries"
    flex = "flex"


def export(
    what: Annotated[
        What,
        typer.Argument(
            help="queries: Pyserini's encoded queries; flex: PyTerrier-DR's FLEX index."
        ),
    ],
    source: Annotated[str, typer.Argument(help="A file of queries or irds:ID; an index folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")],
    encoder: Annotated[
        str | None, typer.Option(help="For queries: the encoder of the index they will search.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to encode queries.")] = Device.cpu,
) -> None:
    """Write what other tools read. An index folder itself opens in Pyserini as it is.

    queries writes embedding.pkl, which Pyserini reads, embedding.npy and queries.tsv; flex writes
    vecs.f4, docnos.npids and pt_meta.json.
    """
    if what is What.flex:
        if encoder is not None:
            raise BadArguments("flex exports vectors that an index holds; leave --encoder out")
        _flex(Path(source), output)
        return
    if encoder is None:
        raise BadArguments("queries must be encoded: name the index's encoder with --encoder")
    _queries(source, output, encoder, device.value)


def _queries(source: str, output: Path, encoder: str, device: str) -> None:
    from ...core.queries import read_queries
    from ..components import query_encoder
    from ..exporting.queries import export_queries

    queries = read_queries(source)
    export_queries(queries, output, query_encoder(encoder, device=device))
    print(f"{output}: {len(queries):,} queries encoded by {encoder}")


def _flex(index: Path, output: Path) -> None:
    from ..exporting.flex import export_flex

    rows, dim, kind = export_flex(index, output)
    note = f", as {kind} keeps them (not exact)" if kind in ("sq8", "ivfpq") else ""
    print(f"{output}: {rows:,} vectors of {dim} dimensions{note}")

"""tamis search: one question, or a file of queries to a run file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import BadArguments
from ..choices import Cold, Device, Fuse, Mode

if TYPE_CHECKING:
    from ...core.records import Hit
    from ..search import Run

_LINES = 6  # of a passage's text for people; --json has all of it


def search(
    index: Annotated[Path, typer.Argument(help="An index folder.")],
    question: Annotated[str | None, typer.Argument(help="A question, in quotes.")] = None,
    queries: Annotated[
        str | None, typer.Option(help="A file of queries (TSV, BEIR JSON lines) or irds:ID.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The TREC run file to write.")
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", help="Answers: 10 for a question, 1000 for a file.")
    ] = None,
    mode: Annotated[Mode, typer.Option(help="Which first stages to ask.")] = Mode.dense,
    fuse: Annotated[
        Fuse | None, typer.Option(help="How hybrid joins them; rrf if not given.")
    ] = None,
    dense_weight: Annotated[
        float | None, typer.Option(help="Of dense in the fusion, 0 to 1; BM25 gets the rest.")
    ] = None,
    rerank: Annotated[
        list[str] | None,
        typer.Option(help="NAME or NAME:DEPTH, again for another stage; depth 100 if not given."),
    ] = None,
    cold: Annotated[
        Cold, typer.Option(help="When to search the pruned passages, where the index keeps them.")
    ] = Cold.auto,
    encoder: Annotated[
        str | None, typer.Option(help="The encoder of an index that Pyserini wrote.")
    ] = None,
    query_encoder: Annotated[
        str | None,
        typer.Option(help="Another one of the same space for queries; own: the passages' encoder."),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to encode and search.")] = Device.cpu,
    tag: Annotated[str, typer.Option(help="The run file's last column.")] = "tamis",
    explain: Annotated[bool, typer.Option("--explain", help="Show each stage's score.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search an index.

    A question prints texts, scores and the time of each stage; a file of queries writes a run.
    """
    _refuse_misfits(question, queries, output, mode, fuse)
    from ..components import rerank_stage
    from ..opening import open_index

    if queries is not None and output is not None:
        from ..outputs import check_output

        if tag.split() != [tag]:
            raise BadArguments(f"--tag is {tag!r}; expected one word")
        check_output(output, [queries, index])
    opened = open_index(index, encoder=encoder, query_encoder=query_encoder, device=device.value)
    ours = opened.folder.manifest is not None
    if ours and mode is Mode.lexical and (encoder or query_encoder):
        raise BadArguments("--mode lexical uses no encoder; leave --encoder out")
    chosen = opened.searcher(
        k if k is not None else (10 if queries is None else 1000),
        mode=mode.value,
        fuse=(fuse or Fuse.rrf).value,
        weights=None if dense_weight is None else _weights(dense_weight),
        rerank=[rerank_stage(text, device.value) for text in rerank or []],
        cold=cold.value,
    )
    if queries is not None and output is not None:
        from ...core.queries import read_queries

        run = chosen.run(read_queries(queries))
        run.write(output, tag)
        _report_run(output, run, as_json=as_json)
        return
    from ...core.records import Query

    run = chosen.run([Query("1", question or "")])
    milliseconds = {stage: 1000 * seconds for stage, seconds in run.seconds.items()}
    if as_json:
        _print_json(question or "", mode.value, run, milliseconds)
    else:
        _print_hits(run.hits(0), milliseconds, explain=explain)
        if run.cold is not None:
            typer.echo(f"cold tier: {'' if run.cold[0] else 'not '}searched", err=True)


def _refuse_misfits(
    question: str | None, queries: str | None, output: Path | None, mode: Mode, fuse: Fuse | None
) -> None:
    """Options that contradict each other, or that would silently do nothing."""
    if (question is None) == (queries is None):
        raise BadArguments("give either a question in quotes or --queries FILE")
    if question is not None and any("\ud800" <= letter <= "\udfff" for letter in question):
        raise BadArguments(f"the question {question!r} is not UTF-8")
    if queries is not None and output is None:
        raise BadArguments("--queries needs -o RUN, the run file to write")
    if output is not None and queries is None:
        raise BadArguments("-o writes the run of --queries FILE; a question is answered on screen")
    if mode is not Mode.hybrid and fuse is not None:
        raise BadArguments(f"--fuse is for --mode hybrid, not for {mode.value}")


def _weights(dense: float) -> dict[str, float]:
    if not 0 <= dense <= 1:
        raise BadArguments(f"--dense-weight is {dense}; it lies between 0 and 1")
    return {"dense": dense, "lexical": 1 - dense}


def _print_json(question: str, mode: str, run: Run, milliseconds: dict[str, float]) -> None:
    import json

    found = [
        {
            "rank": hit.rank,
            "id": hit.passage.id,
            "score": hit.score,
            "title": hit.passage.title,
            "text": hit.passage.text,
            "stages": dict(hit.stages),
        }
        for hit in run.hits(0)
    ]
    body: dict[str, Any] = {
        "query": question,
        "mode": mode,
        "hits": found,
        "milliseconds": milliseconds,
    }
    if run.cold is not None:
        body["cold"] = bool(run.cold[0])
    print(json.dumps(body, indent=2, ensure_ascii=False))


def _print_hits(hits: list[Hit], milliseconds: dict[str, float], *, explain: bool) -> None:
    import shutil
    import sys
    import textwrap

    from ..reporting import printable

    width = min(shutil.get_terminal_size().columns, 100)
    if not hits:
        print("no passage matches", file=sys.stderr)
    for hit in hits:
        title = f"  {hit.passage.title}" if hit.passage.title else ""
        print(printable(f"{hit.rank:>3}. {hit.score:.4f}  {hit.passage.id}{title}"))
        if explain and hit.stages:
            told = "  ".join(f"{name} {score:.4f}" for name, score in hit.stages.items())
            print(f"     {told}")
        lines = textwrap.wrap(hit.passage.text, width - 5, max_lines=_LINES, placeholder=" …")
        print("\n".join(printable(f"     {line}") for line in lines))
    stages = "  ".join(f"{stage} {spent:.1f} ms" for stage, spent in milliseconds.items())
    print(stages, file=sys.stderr)


def _report_run(output: Path, run: Run, *, as_json: bool) -> None:
    import json
    import sys

    queries, rows = len(run), sum(map(len, run))
    each = {stage: 1000 * spent / max(queries, 1) for stage, spent in run.seconds.items()}
    cold = None if run.cold is None else int(run.cold.sum())
    if as_json:
        body: dict[str, Any] = {
            "run": str(output),
            "queries": queries,
            "rows": rows,
            "milliseconds_per_query": each,
        }
        if cold is not None:
            body["cold_queries"] = cold
        print(json.dumps(body, indent=2))
        return
    print(f"{output}: {rows:,} rows for {queries:,} queries")
    if cold is not None:
        share = cold / max(queries, 1)
        print(f"cold tier: searched for {cold:,} of {queries:,} queries ({share:.1%})")
    told = "  ".join(f"{stage} {spent:.2f} ms" for stage, spent in each.items())
    print(f"per query: {told}", file=sys.stderr)

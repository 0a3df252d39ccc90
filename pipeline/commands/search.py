"""tamis search: one question, or a file of queries to a run file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import BadArguments
from ..choices import Cold, Device, Fuse, Mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...core.records import Hit, Query
    from ..cascade import Cascade
    from ..explaining import Why
    from ..opening import Index
    from ..search import Run, Search
    from ..token_pairs import PairTeller

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
    cascade: Annotated[
        Path | None,
        typer.Option(help="A TOML file of stages (docs/cascade.md), for --mode to --rerank."),
    ] = None,
    mode: Annotated[
        Mode | None, typer.Option(help="Which first stages to ask; dense if not given.")
    ] = None,
    fuse: Annotated[
        Fuse | None, typer.Option(help="How hybrid joins them; rrf if not given.")
    ] = None,
    dense_weight: Annotated[
        float | None, typer.Option(help="Of dense in the fusion, 0 to 1; BM25 gets the rest.")
    ] = None,
    rerank: Annotated[
        list[str] | None,
        typer.Option(help="NAME[=MODEL][:DEPTH], again for another stage; depth 100 if not given."),
    ] = None,
    cold: Annotated[
        Cold | None,
        typer.Option(
            help="When to search pruned passages that the index keeps; auto if not given."
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="The encoder of an index that Pyserini wrote.")
    ] = None,
    query_encoder: Annotated[
        str | None,
        typer.Option(help="Another one of the same space for queries; own: the passages' encoder."),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to encode and search.")] = Device.cpu,
    at_once: Annotated[
        int | None,
        typer.Option(help="Queries that share a pass; 1 times every query alone. 256 for a file."),
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Take stage outputs over from earlier runs of files.")
    ] = False,
    work: Annotated[
        Path | None, typer.Option(help="As --cache, with a folder of your own for the outputs.")
    ] = None,
    tag: Annotated[str, typer.Option(help="The run file's last column.")] = "tamis",
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Show scores and ranks by stage, and what a score is made of."
        ),
    ] = False,
    explain_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="HITS",
            help="As --explain, and the dense score of the first HITS by pairs of tokens: a second "
            "or some a hit for tamis-small's passages, half a minute and more for a transformer's.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search an index.

    A question prints texts, scores and the time of each stage; a file of queries writes a run.
    """
    explain = explain or explain_tokens is not None
    _refuse_misfits(question, queries, output, explain=explain)
    stages = _Stages(cascade, mode, fuse, dense_weight, rerank or [], cold)
    stages.refuse_misfits()
    if queries is None and (cache or work or at_once):
        raise BadArguments("--cache, --work and --at-once are for --queries FILE")
    from ..opening import open_index

    if queries is not None and output is not None:
        from ..outputs import check_output

        if tag.split() != [tag]:
            raise BadArguments(f"--tag is {tag!r}; expected one word")
        check_output(output, [queries, index])
    chosen = stages.cascade(k, 10 if queries is None else 1000)
    if explain_tokens is not None:
        from ..token_pairs import check_pairs_can_be_told

        check_pairs_can_be_told(chosen, explain_tokens)
    opened = open_index(index, encoder=encoder, query_encoder=query_encoder, device=device.value)
    ours = opened.folder.manifest is not None
    if ours and chosen.dense is None and (encoder or query_encoder):
        raise BadArguments("a lexical search uses no encoder; leave --encoder out")
    if queries is not None and output is not None:
        from ...core.queries import read_queries
        from ..progress import Bars
        from ..search import AT_ONCE
        from ..stage_outputs import StageOutputs, default_folder

        many = read_queries(queries)
        ready = chosen.over(opened, device=device.value)
        kept = StageOutputs(work or default_folder()) if cache or work else None
        run = ready.run(many, at_once=at_once or AT_ONCE, kept=kept, progress=Bars())
        run.write(output, tag)
        _report_run(output, run, as_json=as_json)
        return
    from ...core.records import Query

    asked = Query("1", question or "")
    ready = chosen.over(opened, device=device.value)
    pairs = None if explain_tokens is None else _Pairs.of(opened, explain_tokens, device.value)
    run = ready.run([asked])
    milliseconds = {stage: 1000 * seconds for stage, seconds in run.seconds.items()}
    reasons = _reasons(ready, asked) if explain else None
    if reasons is not None and pairs is not None:
        reasons = pairs.added(reasons, asked, run.hits(0))
    if as_json:
        _print_json(question or "", stages.told(chosen), run, milliseconds, reasons)
    else:
        _print_hits(run.hits(0), milliseconds, reasons)
        if run.cold is not None:
            typer.echo(f"cold tier: {'' if run.cold[0] else 'not '}searched", err=True)


def _refuse_misfits(
    question: str | None, queries: str | None, output: Path | None, *, explain: bool
) -> None:
    """Arguments that contradict each other, or that would silently do nothing."""
    if (question is None) == (queries is None):
        raise BadArguments("give either a question in quotes or --queries FILE")
    if question is not None and any("\ud800" <= letter <= "\udfff" for letter in question):
        raise BadArguments(f"the question {question!r} is not UTF-8")
    if queries is not None and output is None:
        raise BadArguments("--queries needs -o RUN, the run file to write")
    if output is not None and queries is None:
        raise BadArguments("-o writes the run of --queries FILE; a question is answered on screen")
    if queries is not None and explain:
        raise BadArguments("--explain is for a question; a run file has no room for it")


@dataclass(frozen=True)
class _Stages:
    """The options that say which stages there are: a file or the others; ``cold`` with either."""

    file: Path | None
    mode: Mode | None
    fuse: Fuse | None
    dense_weight: float | None
    rerank: list[str]
    cold: Cold | None

    def refuse_misfits(self) -> None:
        given = {
            "--mode": self.mode is not None,
            "--fuse": self.fuse is not None,
            "--dense-weight": self.dense_weight is not None,
            "--rerank": bool(self.rerank),
        }
        doubled = ", ".join(name for name, there in given.items() if there)
        if self.file is not None and doubled:
            raise BadArguments(f"--cascade says what {doubled} would say; give one of the two")
        if self.mode is not Mode.hybrid and self.fuse is not None:
            mode = (self.mode or Mode.dense).value
            raise BadArguments(f"--fuse is for --mode hybrid, not for {mode}")

    def cascade(self, k: int | None, usual: int) -> Cascade:
        """The stages as a value; ``usual`` answers where neither -k nor the file says how many."""
        from dataclasses import replace

        from ..cascade import from_options, parse_stage
        from ..cascade_file import read_cascade
        from ..opening import FIRST_STAGE

        if self.file is not None:
            read = read_cascade(self.file)
            wanted = k if k is not None else read.k
            return replace(
                read,
                k=min(usual, read.depth) if wanted is None else wanted,
                cold=read.cold if self.cold is None else self.cold.value,
            )
        weight = self.dense_weight
        return from_options(
            k if k is not None else usual,
            mode=(self.mode or Mode.dense).value,
            fuse=(self.fuse or Fuse.rrf).value,
            weights=None if weight is None else _weights(weight),
            rerank=[parse_stage(text) for text in self.rerank],
            first_stage=FIRST_STAGE,
            cold=(self.cold or Cold.auto).value,
        )

    def told(self, chosen: Cascade) -> str:
        """The mode, as ``--json`` names it."""
        if self.mode is not None:
            return self.mode.value
        both = chosen.dense is not None and chosen.lexical is not None
        return "hybrid" if both else "dense" if chosen.dense is not None else "lexical"


def _weights(dense: float) -> dict[str, float]:
    if not 0 <= dense <= 1:
        raise BadArguments(f"--dense-weight is {dense}; it lies between 0 and 1")
    return {"dense": dense, "lexical": 1 - dense}


@dataclass(frozen=True)
class _Reasons:
    """What ``--explain`` shows: why each row has its place, and in words what that is."""

    rows: dict[int, Why]
    told: str


def _reasons(search: Search, asked: Query) -> _Reasons:
    from ..explaining import explained_stages, why

    stages = explained_stages(search)
    told = "explained: scores and ranks by stage"
    told += f", and the score of {', '.join(stages)}" if stages else "; no stage explains its score"
    return _Reasons(why(search, asked), told)


@dataclass(frozen=True)
class _Pairs:
    """What ``--explain-tokens`` adds, for the first ``most`` hits."""

    teller: PairTeller
    most: int

    @classmethod
    def of(cls, index: Index, most: int, device: str) -> _Pairs:
        """Before the search, as an encoder may be none that can be looked into."""
        from ..token_pairs import PairTeller

        return cls(PairTeller.of(index, device=device), most)

    def added(self, reasons: _Reasons, asked: Query, hits: list[Hit]) -> _Reasons:
        from dataclasses import replace

        from ..progress import Bars

        first = hits[: self.most]
        found = self.teller.told(asked.text, first, progress=Bars())
        rows = {
            row: replace(each, tokens=found[row]) if row in found else each
            for row, each in reasons.rows.items()
        }
        told = f"{reasons.told}; dense scores of {len(found)} hits by pairs of tokens"
        if missing := len(first) - len(found):
            told += f", {missing} of the first {len(first)} have no dense score or no token"
        return _Reasons(rows, told)


def _print_json(
    question: str,
    mode: str,
    run: Run,
    milliseconds: dict[str, float],
    reasons: _Reasons | None,
) -> None:
    import json

    found = [
        {
            "rank": hit.rank,
            "id": hit.passage.id,
            "score": hit.score,
            "title": hit.passage.title,
            "text": hit.passage.text,
            "stages": dict(hit.stages),
            **({} if reasons is None else {"why": reasons.rows[hit.row].to_json()}),
        }
        for hit in run.hits(0)
    ]
    body: dict[str, Any] = {
        "query": question,
        "mode": mode,
        "hits": found,
        "milliseconds": milliseconds,
    }
    if reasons is not None:
        body["explained"] = reasons.told
    if run.cold is not None:
        body["cold"] = bool(run.cold[0])
    print(json.dumps(body, indent=2, ensure_ascii=False))


def _print_hits(hits: list[Hit], milliseconds: dict[str, float], reasons: _Reasons | None) -> None:
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
        for line in () if reasons is None else reasons.rows[hit.row].lines():
            print(printable(f"     {line}"))
        lines = textwrap.wrap(hit.passage.text, width - 5, max_lines=_LINES, placeholder=" …")
        print("\n".join(printable(f"     {line}") for line in lines))
    stages = "  ".join(f"{stage} {spent:.1f} ms" for stage, spent in milliseconds.items())
    print(stages, file=sys.stderr)
    if reasons is not None:
        print(reasons.told, file=sys.stderr)


def _report_run(output: Path, run: Run, *, as_json: bool) -> None:
    import json
    import sys

    queries, rows = len(run), sum(map(len, run))
    stages = {name: time.summary(alone=run.at_once == 1) for name, time in run.times.items()}
    cold = None if run.cold is None else int(run.cold.sum())
    if as_json:
        body: dict[str, Any] = {
            "run": str(output),
            "queries": queries,
            "rows": rows,
            "queries_at_once": run.at_once,
            "milliseconds_per_query": {name: each["mean_ms"] for name, each in stages.items()},
            "stages": stages,
        }
        if cold is not None:
            body["cold_queries"] = cold
        print(json.dumps(body, indent=2))
        return
    print(f"{output}: {rows:,} rows for {queries:,} queries")
    if cold is not None:
        share = cold / max(queries, 1)
        print(f"cold tier: searched for {cold:,} of {queries:,} queries ({share:.1%})")
    for line in _stage_table(stages, run.at_once):
        print(line, file=sys.stderr)


def _stage_table(stages: dict[str, dict[str, Any]], at_once: int) -> Iterator[str]:
    """Milliseconds a query by stage; right-aligned columns."""
    wide = max([len("stage"), *map(len, stages)])
    yield f"{'stage':<{wide}}  {'mean ms':>9}  {'p50 ms':>9}  {'p95 ms':>9}  {'passages':>12}"
    for name, each in stages.items():
        stored = f"  {each['stored']:,} queries from earlier runs" if each["stored"] else ""
        figures = "  ".join(_milliseconds(each[key]) for key in ("mean_ms", "p50_ms", "p95_ms"))
        yield f"{name:<{wide}}  {figures}  {each['passages']:>12,}{stored}"
    if at_once > 1:
        yield f"per query, {at_once} at once in equal shares; percentiles need --at-once 1"


def _milliseconds(value: float | None) -> str:
    return f"{'-':>9}" if value is None else f"{value:9.3f}"

"""tamis robustness: negated questions, and passages that were written to be found."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.errors import BadArguments
from ..choices import DEFAULT_ENCODER, DEFAULT_QUALITY, Device

if TYPE_CHECKING:
    from ..robustness.negation_pairs import NegationPair

robustness = typer.Typer(
    no_args_is_help=True, help="How a system takes negations and keyword stuffing."
)

Systems = Annotated[
    list[str],
    typer.Argument(
        help="lexical, dense or hybrid, =ENCODER behind the last two, +RERANKER for each stage "
        "(as --rerank); or a cascade's .toml."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
On = Annotated[Device, typer.Option(help="Where to encode and rerank.")]


@robustness.command("negation")
def negation(
    systems: Systems,
    pairs: Annotated[
        Path | None,
        typer.Option(help="NevIR's test.jsonl, or q1, q2, doc1, doc2 as JSON lines, TSV or CSV."),
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Make the pairs from the passages of this corpus, by rule.")
    ] = None,
    most: Annotated[int, typer.Option(help="Pairs that --corpus makes at most.")] = 200,
    encoder: Annotated[str, typer.Option(help="Of the systems that name none.")] = DEFAULT_ENCODER,
    device: On = Device.cpu,
    as_json: AsJson = False,
) -> None:
    """Share of negation pairs whose two questions both find the right one of two passages.

    Without --pairs and --corpus, 200 pairs that come with the package. Chance is 25 %.
    """
    import json

    from ..progress import Bars
    from ..robustness import negation as measured

    given, source = _pairs(pairs, corpus, most)
    scores = measured.negation(
        systems, given, encoder=encoder, device=device.value, progress=Bars()
    )
    if as_json:
        body = {
            "pairs": source,
            "encoder": encoder,
            "systems": [each.to_json() for each in scores],
        }
        print(json.dumps(body, indent=2, ensure_ascii=False))
        return
    print(f"{len(given):,} negation pairs, {source}; both questions right, chance 25 %")
    head = ("system", "both %", "95 % interval", "single %", "ties", "by rule, %")
    _print_table(head, [*measured.told(scores)])


@robustness.command("stuffing")
def stuffing(
    index: Annotated[Path, typer.Argument(help="An index folder.")],
    systems: Systems,
    queries: Annotated[
        str, typer.Option(help="A file of queries (TSV, BEIR JSON lines) or irds:ID.")
    ],
    qrels: Annotated[str, typer.Option(help="Their judgments.")],
    sample: Annotated[int, typer.Option(help="Queries to attack, drawn by --seed.")] = 50,
    first_rank: Annotated[int, typer.Option(help="Of the passages attacked.")] = 51,
    last_rank: Annotated[int, typer.Option(help="Of the passages attacked.")] = 100,
    times: Annotated[int, typer.Option(help="How often an attack repeats itself.")] = 3,
    quality: Annotated[
        str, typer.Option(help="A quality model as a defence, or none.")
    ] = DEFAULT_QUALITY,
    keep: Annotated[float, typer.Option(help="The share that it keeps.")] = 0.75,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    device: On = Device.cpu,
    as_json: AsJson = False,
) -> None:
    """Share of low, irrelevant passages that an attack on their text brings among the best 10.

    The attacked passages join a copy of the collection; --quality shows how many of them pruning
    would have left out.
    """
    import json

    from ...core.qrels import read_qrels
    from ...core.queries import read_queries
    from ..progress import Bars
    from ..robustness import stuffing as measured

    found = measured.stuffing(
        index,
        systems,
        read_queries(queries),
        read_qrels(qrels).judgments,
        sample=sample,
        ranks=(first_rank, last_rank),
        times=times,
        quality=None if quality == "none" else quality,
        keep=keep,
        seed=seed,
        device=device.value,
        progress=Bars(),
    )
    if as_json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    print(f"{found.queries:,} queries, a passage each; every attack {times} times over")
    head = ("system", "attack", "in top 10 %", "95 % interval", "not pruned %", "rank", "then")
    _print_table(head, [*measured.told(found)])
    if (defence := found.defence) is not None:
        shares = {"untouched": defence.untouched, **defence.by_attack}
        told = "  ".join(f"{name} {100 * each.share:.0f} %" for name, each in shares.items())
        print(f"pruned by {defence.quality} at --keep {keep:g}: {told}")


def _pairs(path: Path | None, corpus: str | None, most: int) -> tuple[list[NegationPair], str]:
    """The pairs, and where they come from."""
    from ..robustness.negation_pairs import read_pairs
    from ..robustness.negation_templates import written_pairs

    if path is not None and corpus is not None:
        raise BadArguments("--pairs and --corpus are two sources of pairs; give one of them")
    if most < 1:
        raise BadArguments(f"--most is {most}; ask for at least one pair")
    if path is not None:
        return read_pairs(path), str(path)
    if corpus is None:
        return written_pairs(), "written by rule"
    from ...core.corpus import Flaw, open_corpus
    from ...core.errors import BadData
    from ..robustness.negation_rules import pairs_of_texts

    found = pairs_of_texts(
        (item.text for item in open_corpus(corpus) if not isinstance(item, Flaw)), most
    )
    if not found:
        raise BadData(f"{corpus}: no sentence there can be negated by rule; give --pairs FILE")
    return found, f"made from {corpus}"


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Columns under their heads, the first to the left."""
    from ..reporting import printable

    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    for row in (head, *rows):
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        print(printable("  ".join([f"{row[0]:<{widths[0]}}", *cells]).rstrip()))

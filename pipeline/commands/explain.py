"""tamis explain: which tokens of a query and a passage make an encoder's score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ...core.errors import BadArguments
from ..choices import DEFAULT_ENCODER, Device

if TYPE_CHECKING:
    from ...encoders.attribution.siamese import Attribution


def explain(
    query: Annotated[str, typer.Argument(help="A question, in quotes.")],
    passage: Annotated[str, typer.Argument(help="A passage, in quotes.")],
    encoder: Annotated[
        str, typer.Option(help="A recurrent or sentence-transformers encoder.")
    ] = DEFAULT_ENCODER,
    query_encoder: Annotated[
        str | None, typer.Option(help="Another one of the same space for the query.")
    ] = None,
    most: Annotated[int, typer.Option(help="Token pairs to print.")] = 10,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.cpu,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, all pairs in it.")] = False,
) -> None:
    """Attribute the score of a query and a passage to pairs of their tokens."""
    import json

    from ..attribution import explain as explained

    if most < 1:
        raise BadArguments(f"--most is {most}; ask for at least one pair")
    found = explained(
        query, passage, encoder=encoder, query_encoder=query_encoder, device=device.value
    )
    if as_json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        _print_pairs(found, most)


def _print_pairs(found: Attribution, most: int) -> None:
    from ..reporting import printable

    pairs = found.strongest(most)
    width = max(len(query) for query, _, _ in pairs)
    for query, passage, value in pairs:
        print(printable(f"{value:+.4f}  {query:<{width}}  {passage}"))
    print(
        f"score {found.score:.4f} = {found.matrix.sum():+.4f} by {found.matrix.size:,} pairs "
        f"{found.references:+.4f} by the references, {100 * found.error:.2f} % left over"
    )

"""``tamis build --token-vectors``: a vector of every token of the passages kept, compressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import BadArguments
from ..core.protocols import TokenEncoder
from ..index.building.token_vector_shards import TokenVectorShards
from ..index.token_codes import BITS

if TYPE_CHECKING:
    from ..core.progress import Progress
    from ..core.protocols import Encoder
    from ..index.building.workplace import Workplace
    from ..index.passages import PassageTable


def check_bits(bits: int | None) -> None:
    """BadArguments for a width that nobody can read."""
    if bits is not None and bits not in BITS:
        raise BadArguments(
            f"token_vectors is {bits!r}; expected {' or '.join(map(str, BITS))} bits a dimension"
        )


def check_encoder(encoder: Encoder, bits: int | None) -> None:
    """BadArguments for an encoder that has no vectors of single tokens, where some are wanted."""
    if bits is not None:  # one that only looks as if it could give them says so here
        _with_tokens(encoder).encode_tokens(["a"], "passage")


def _with_tokens(encoder: Encoder) -> TokenEncoder:
    if isinstance(encoder, TokenEncoder):
        return encoder
    raise BadArguments(
        f"token vectors are asked for, and {encoder.card.name} gives none; name another encoder "
        f"(tamis-small, tamis-tiny, minilm, a sentence-transformers model) or leave them out"
    )


def index_tokens(
    encoder: Encoder,
    bits: int | None,
    table: PassageTable,
    place: Workplace,
    shard_rows: int,
    progress: Progress,
) -> dict[str, int] | None:
    """Write the token vectors of a table's rows into the draft; what the manifest says of them.

    None for no ``bits``. Killed, it resumes shard by shard.
    """
    if bits is None:
        return None
    shards = TokenVectorShards(place.tokens, _with_tokens(encoder), bits, len(table), shard_rows)
    with progress.stage(f"token vectors ({bits} bits)", len(table)) as advance:
        shards.complete(lambda a, z: [p.full_text for p in table.stream(a, z)], advance)
    return shards.write(place.draft)

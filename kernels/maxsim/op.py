"""``maxsim``: the score of late interaction for every passage of a pack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BadArguments
from ..dispatch import choose
from ..packing import on_one_device
from .reference import maxsim as reference

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed


def maxsim(query: Tensor, passages: Tensor, packed: Packed) -> Tensor:
    """Sum over query tokens of the best inner product among a passage's tokens (ColBERT).

    query [Q, D], passages [tokens, D] to [N], float32 (float64 for float64), products summed at
    that width. A passage without tokens scores 0, which is above one that matches badly: drop it
    beforehand where that matters. Differentiable in both; where several tokens match equally
    well, the first has the gradient. Memory stays bounded: no [tokens, Q] for the whole pack.
    Source: arXiv 2004.12832. Raises BadArguments for shapes or types that do not fit.
    """
    if query.ndim != 2 or passages.ndim != 2 or query.shape[1] != passages.shape[1]:
        shapes = f"{list(query.shape)} and {list(passages.shape)}"
        raise BadArguments(f"query and passages are {shapes}, not [Q, D] and [tokens, D]")
    if len(passages) != packed.tokens:
        raise BadArguments(f"passages hold {len(passages)} tokens, the pack {packed.tokens}")
    if query.dtype != passages.dtype:
        raise BadArguments(f"query is {query.dtype} and passages are {passages.dtype}: cast one")
    on_one_device("maxsim", packed, query, passages)
    backend = choose("maxsim", passages, ("triton", "torch"))
    if backend == "triton":
        from .fused import maxsim as fused

        return fused(query, passages, packed)
    if backend == "torch":
        from .chunked import maxsim as chunked

        return chunked(query, passages, packed)
    return reference(query, passages, packed)

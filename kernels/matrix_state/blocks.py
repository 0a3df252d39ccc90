"""The matrix state by blocks of 16 tokens: the state visits blocks, their inside is products.

Inside a block, decays differ by key channel, so that a pair's decay must be split into a factor
of the reader and one of the writer. The block is cut into halves, these into halves again, and
every pair of tokens is parted by exactly one cut: decay from the writer to the cut times decay
from the cut to the reader. Both are at most 1 whatever the gates: nothing overflows or cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..packing import pack_lengths

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed
    from .pairs import Pairs

BLOCK = 16
HALVES = (1, 2, 4, 8)
_FORGOTTEN = -1e3  # exp of it is 0 in float64 too, and unlike -inf it can be multiplied by 0


def matrix_state(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    bonus: Tensor | None,
    packed: Packed,
    pairs: Pairs,
) -> Tensor:
    """As ``reference.matrix_state``, in float32 (float64)."""
    wide = torch.float64 if v.dtype == torch.float64 else torch.float32
    Q, K, V = q.to(wide), k.to(wide), v.to(wide)
    G = None
    if log_decay is not None:
        G = log_decay.to(wide).clamp(min=_FORGOTTEN).view(*q.shape[:2], -1)
    out = _sweep(Q, K, V, G, packed, pairs, reverse=not pairs.past, inside=True)
    if pairs.past and pairs.future:
        out = out + _sweep(Q, K, V, G, packed, pairs, reverse=True, inside=False)
    own = Q * K if bonus is None else Q * bonus.to(wide) * K
    return (out + own.sum(-1, keepdim=True) * V).to(v.dtype)


def _sweep(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor | None, packed: Packed, pairs: Pairs,
    *, reverse: bool, inside: bool,
) -> Tensor:  # fmt: skip
    """What the blocks passed so far send to each block and, if ``inside``, its own pairs."""
    visits, back = _visits(packed, q.shape[1], reverse=reverse)
    tables = _tables(pairs, q.dtype, q.device)
    state = q.new_zeros(len(visits[0][0]), q.shape[1], q.shape[2], v.shape[2])
    found = []
    for rows, ended in visits:
        Q, K, V = (_block(x, rows, ended) for x in (q, k, v))
        state = state[: len(rows)]
        if g is None:
            out, after = Q @ state, state + K.mT @ V
            if inside:
                out = out + ((Q @ K.mT) * tables.seen) @ V
        else:
            spans = tables.spans(_block(g, rows, ended))
            pairwise, start, stop, total = torch.split(
                spans, [spans.shape[-2] - 2 * BLOCK - 1, BLOCK, BLOCK, 1], -2
            )
            read, write = (stop, start) if reverse else (start, stop)
            out = (Q * read) @ state
            after = state * total.mT + (K * write).mT @ V
            if inside:
                out = out + tables.met(Q, K, pairwise) @ V
        state = after
        found.append(out.flatten(0, 2))
    return torch.cat(found).index_select(0, back).view_as(v)


def _visits(
    packed: Packed, heads: int, *, reverse: bool
) -> tuple[list[tuple[Tensor, Tensor | None]], Tensor]:
    """The blocks in the order of their visits, those of one step of all segments together.

    For each step where the blocks' rows lie in [tokens * H, D], as [n, H, BLOCK], and which lie
    beyond the segment [n, 1, BLOCK, 1] (None if none); and for each row of [tokens * H] its place
    in the visits laid end to end.
    """
    starts = np.cumsum(packed.lengths) - packed.lengths
    counts = -(-packed.lengths // BLOCK)
    blocks = pack_lengths(counts)
    segment, place = blocks.segment_ids.numpy(), blocks.positions.numpy()
    tokens = (starts[segment] + place * BLOCK)[:, None] + np.arange(BLOCK)
    inside = np.arange(BLOCK) < (packed.lengths[segment] - place * BLOCK)[:, None]
    rows = np.where(inside, tokens, 0)[:, None, :] * heads + np.arange(heads)[:, None]
    steps = [step.numpy() for step in blocks.steps(reverse=reverse).rows]
    order = np.concatenate(steps)
    back = np.empty((packed.tokens, heads), np.int64)
    places = np.arange(rows.size).reshape(rows.shape).swapaxes(1, 2)
    back[tokens[order][inside[order]]] = places[inside[order]]
    visits = []
    for step in steps:
        ended = ~inside[step, None, :, None]
        beyond = torch.from_numpy(ended).to(packed.device) if ended.any() else None
        visits.append((packed._on_device(rows[step]), beyond))
    return visits, packed._on_device(back.reshape(-1))


def _block(x: Tensor, rows: Tensor, ended: Tensor | None) -> Tensor:
    """[n, H, BLOCK, D] with zeros beyond the segment's end."""
    found = x.flatten(0, 1).index_select(0, rows.flatten()).view(*rows.shape, -1)
    return found if ended is None else found.masked_fill_(ended, 0.0)


@dataclass(frozen=True, slots=True)
class _Tables:
    """Zeros and ones: which tokens meet, and whose decays stand between.

    seen [t, s]: s reaches t; cuts [cut, t, s]: of these pairs, those that this cut parts;
    between [r, (t, s)]: the decay of r stands between t and s;
    beside [(cut, t), r]: the decay of r stands between t and the middle next to it;
    edges [BLOCK + BLOCK + 1, r]: from the block's start to t, from t to its end, in all of it.
    """

    seen: Tensor
    cuts: Tensor
    between: Tensor
    beside: Tensor

    def spans(self, g: Tensor) -> Tensor:
        """exp of the decays summed: [n, H, (pairs or cuts), start, stop and total, D]."""
        if g.shape[-1] == 1:
            return (g.mT @ self.between.mT).exp().mT
        return (self.beside @ g).exp()

    def met(self, q: Tensor, k: Tensor, pairwise: Tensor) -> Tensor:
        """[n, H, t, s]: how strongly s reaches t."""
        if pairwise.shape[-1] == 1:
            return (q @ k.mT) * pairwise.view(*q.shape[:2], BLOCK, BLOCK) * self.seen
        factors = pairwise.view(*q.shape[:2], len(HALVES), BLOCK, -1)
        each: Tensor = (q.unsqueeze(-3) * factors) @ (k.unsqueeze(-3) * factors).mT
        return (each * self.cuts).sum(-3)


@cache
def _tables(pairs: Pairs, dtype: torch.dtype, device: torch.device) -> _Tables:
    t, s = np.arange(BLOCK)[:, None], np.arange(BLOCK)[None, :]
    seen = ((s < t) & pairs.past) | ((s > t) & pairs.future)
    cuts = [seen & (t // (2 * h) == s // (2 * h)) & (t // h != s // h) for h in HALVES]
    between = [_between(a, b, pairs) for a in range(BLOCK) for b in range(BLOCK)]
    beside = [_to(a, a // (2 * h) * 2 * h + h, pairs) for h in HALVES for a in range(BLOCK)]
    edges = [_to(a, 0, pairs) for a in range(BLOCK)]
    edges += [_to(a, BLOCK, pairs) for a in range(BLOCK)]
    edges.append(np.ones(BLOCK, bool))
    tables = (seen, cuts, between + edges, beside + edges)
    # kept for all calls, so they must not be inference tensors if the first call is in that mode
    with torch.inference_mode(mode=False):
        return _Tables(*(torch.from_numpy(np.asarray(x)).to(device, dtype) for x in tables))


def _between(a: int, b: int, pairs: Pairs) -> np.ndarray:
    """[BLOCK]: whose decays stand between tokens a and b."""
    r = np.arange(BLOCK)
    first, last = min(a, b), max(a, b)
    return (r >= first + (pairs.end != "earlier")) & (r < last + (pairs.end == "later"))


def _to(t: int, middle: int, pairs: Pairs) -> np.ndarray:
    """[BLOCK]: whose decays stand between token t and the edge before token ``middle``."""
    r = np.arange(BLOCK)
    if t < middle:
        return (r >= t + (pairs.end != "earlier")) & (r < middle)
    return (r >= middle) & (r < t + (pairs.end == "later"))

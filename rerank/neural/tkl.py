"""TKL: TK for long passages, by local attention and the best windows.

Hofstaetter et al., "Local Self-Attention over Long Text for Efficient Document Retrieval" (SIGIR
2020). Time and memory grow with the passage's length, not with its square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...core.errors import BadArguments
from .pairs import cosines
from .tk import Tk, TkOptions

if TYPE_CHECKING:
    from .pairs import Pairs, Side

_LEAST = 1e-10  # of a kernel's sum, before its root
_SCALE = 0.1
_NEIGHBOURS = (0, -1, 1, -2, 2)


@dataclass(frozen=True, slots=True)
class TklOptions:
    """As ``TkOptions``; pieces see those of their ``chunk`` and ``overlap`` more on each side.
    Windows of ``window`` pieces begin ``stride`` apart, and the best ``best`` of them count that
    do not overlap, each with two neighbours on both sides."""

    width: int = 128
    layers: int = 2
    heads: int = 8
    hidden: int = 128
    kernels: int = 11
    dropout: float = 0.1
    chunk: int = 40
    overlap: int = 5
    window: int = 30
    stride: int = 2
    best: int = 3

    def __post_init__(self) -> None:
        self.of_tk()
        counts = (self.chunk, self.window, self.stride, self.best)
        if min(counts) < 1 or self.overlap < 0 or self.stride > self.window:
            raise BadArguments(
                f"chunk {self.chunk}, overlap {self.overlap}, window {self.window}, stride "
                f"{self.stride}, best {self.best}: expected 1 or more, an overlap of 0 or more, "
                f"and a stride that leaves nothing out"
            )

    def of_tk(self) -> TkOptions:
        return TkOptions(
            self.width, self.layers, self.heads, self.hidden, self.kernels, self.dropout
        )


class Tkl(Tk):
    """A window's score is w . sum_i g_i (a K^p - c) + b, K the kernel sums of its cosines.

    a, p and c depend on the query piece's weight and on how full the window is; the paper's 1/b is
    p here, a sigmoid, so that it is always a root. Learned weights add the best windows' scores.
    """

    def __init__(self, dim: int, options: TklOptions) -> None:
        super().__init__(dim, options.of_tk())
        self._chunk, self._overlap = options.chunk, options.overlap
        self._window, self._stride, self._best = options.window, options.stride, options.best
        self.saturation = nn.Linear(2, 3)
        nn.init.zeros_(self.saturation.weight)
        nn.init.zeros_(self.saturation.bias)
        start = torch.zeros(options.best, len(_NEIGHBOURS))
        start[:, 0] = 1 / torch.arange(1, options.best + 1)
        self.shares = nn.Parameter(start)

    def forward(self, pairs: Pairs) -> Tensor:
        """[pairs] float32."""
        asked, passages = pairs.repeated, pairs.passages
        matched = cosines(
            self.contextualised(pairs.queries)[pairs.asked],
            self.contextualised(passages),
            asked.mask,
            passages.mask,
        )
        windows, there = self.windows(matched, asked, passages.mask)
        return self._of_the_best(windows, there)

    def contextualised(self, side: Side) -> Tensor:
        """[n, T, dim]; a text of one chunk is what TK makes of it.

        A chunk's first piece has place 0, those of the overlap before it places below.
        """
        number, length, dim = side.vectors.shape
        chunks = -(-length // self._chunk)
        size, behind = self._chunk + 2 * self._overlap, chunks * self._chunk - length
        pad = (self._overlap, self._overlap + behind)
        vectors = nn.functional.pad(side.vectors, (0, 0, *pad)).unfold(1, size, self._chunk)
        mask = nn.functional.pad(side.mask, pad).unfold(1, size, self._chunk)
        inner = slice(self._overlap, self._overlap + self._chunk)
        read = mask[:, :, inner].any(2)  # a chunk of padding alone has nothing to look at
        mixed = self.mixed(vectors.transpose(2, 3)[read], mask[read], first=-self._overlap)
        whole = mixed.new_zeros(number, chunks, self._chunk, dim)
        whole[read] = mixed[:, inner]
        return whole.flatten(1, 2)[:, :length]

    def windows(self, matched: Tensor, asked: Side, passage_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [n, windows], 0 where there is no window, and where there is one [n, windows].

        matched [n, Q, T] cosines. A passage has as many windows as it takes to read it all.
        """
        lengths = passage_mask.sum(1)
        over = (lengths - self._window).clamp(min=0)
        counts = 1 + -(-over // self._stride)
        most = int(counts.max())
        reach = self._window + (most - 1) * self._stride
        behind = max(0, reach - matched.shape[2])
        mask = nn.functional.pad(passage_mask, (0, behind))[:, :reach]
        full = mask.unfold(1, self._window, self._stride).sum(2) / self._window
        cosine = nn.functional.pad(matched, (0, behind))[:, :, :reach]
        sums = []
        for centre, width in zip(self.kernels.centres, self.kernels.widths, strict=True):
            near = torch.exp(-((cosine - centre) ** 2) / (2 * width**2)) * mask[:, None, :]
            sums.append(near.unfold(2, self._window, self._stride).sum(3))
        there = torch.arange(most, device=matched.device) < counts[:, None]
        features = self._saturated(torch.stack(sums, 3), asked, full)
        scores: Tensor = self.out(features).squeeze(2)
        return scores.masked_fill(~there, 0), there

    def _saturated(self, sums: Tensor, asked: Side, full: Tensor) -> Tensor:
        """[n, windows, kernels] from sums [n, Q, windows, kernels] and full [n, windows]."""
        weights = asked.weights[:, :, None].expand(-1, -1, full.shape[1])
        known = torch.stack([weights, full[:, None].expand_as(weights)], 3)
        a, p, c = self.saturation(known)[..., None, :].unbind(4)
        saturated = (1 + a) * sums.clamp(min=_LEAST).pow(torch.sigmoid(p)) - c
        summed: Tensor = (saturated * self.gate(asked)[:, :, None, None]).sum(1) * _SCALE
        return summed

    def _of_the_best(self, windows: Tensor, there: Tensor) -> Tensor:
        """[n]: the best windows that do not overlap, and their neighbours, weighted."""
        number = windows.shape[1]
        places = torch.arange(number, device=windows.device)
        open_, total = there.clone(), windows.new_zeros(len(windows))
        offsets = torch.tensor(_NEIGHBOURS, device=windows.device)
        for rank in range(self._best):
            best = windows.detach().masked_fill(~open_, -torch.inf).argmax(1)
            found = open_.gather(1, best[:, None])
            around = best[:, None] + offsets
            inside = (around >= 0) & (around < number) & found
            scores = windows.gather(1, around.clamp(0, number - 1)).masked_fill(~inside, 0)
            total = total + scores @ self.shares[rank]
            open_ &= (places - best[:, None]).abs() * self._stride >= self._window
        return total

"""``Packed``: where each passage begins and ends in a pack of tokens, known to host and device."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...core.errors import BadArguments

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_TOKENS = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Packed:
    """The lengths of N segments that lie end to end, and what kernels need to know of them.

    cu_seqlens [N + 1] int32: segment i is rows cu_seqlens[i] to cu_seqlens[i + 1] - 1.
    order [N] int32: the segments, longest first (stable), so that long ones start early on a GPU.
    lengths [N] int64, on the host: no kernel needs to ask the device how long anything is.
    Segments of zero and of one token are legal; so is no segment at all.
    """

    cu_seqlens: Tensor
    order: Tensor
    lengths: np.ndarray
    max_length: int = field(init=False)
    tokens: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_length", int(self.lengths.max(initial=0)))
        object.__setattr__(self, "tokens", int(self.lengths.sum()))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def device(self) -> torch.device:
        return self.cu_seqlens.device

    @cached_property
    def segment_ids(self) -> Tensor:
        """[tokens] int64: the segment of each token."""
        return self._on_device(np.repeat(np.arange(len(self)), self.lengths))

    @cached_property
    def positions(self) -> Tensor:
        """[tokens] int64: each token's place in its segment, from 0."""
        starts = np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)
        return self._on_device(np.arange(self.tokens) - starts)

    @cached_property
    def forward_steps(self) -> Steps:
        """The tokens by time step: what a recurrence written as a loop over time walks."""
        return Steps(self, reverse=False)

    @cached_property
    def backward_steps(self) -> Steps:
        """The same from each segment's last token to its first."""
        return Steps(self, reverse=True)

    def steps(self, *, reverse: bool = False) -> Steps:
        return self.backward_steps if reverse else self.forward_steps

    def _on_device(self, values: np.ndarray) -> Tensor:
        return _move(np.ascontiguousarray(values, np.int64), self.device)


class Steps:
    """Time-major view of a pack, as in ``torch.nn.utils.rnn.PackedSequence``.

    ``rows[t]`` [n_t] int64 are the tokens of step t, one of each segment longer than t, longest
    segment first: a state [N, ...] kept in that order is updated in its first n_t rows.
    """

    def __init__(self, packed: Packed, *, reverse: bool) -> None:
        order = np.argsort(-packed.lengths, kind="stable")
        lengths = packed.lengths[order]
        starts = (np.cumsum(packed.lengths) - packed.lengths)[order]
        alive = [int(np.count_nonzero(lengths > t)) for t in range(packed.max_length)]
        rows = [(starts[:n] + (lengths[:n] - 1 - t if reverse else t)) for t, n in enumerate(alive)]
        flat = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        places = np.empty(len(flat), np.int64)
        places[flat] = np.arange(len(flat))
        segments = np.empty(len(order), np.int64)
        segments[order] = np.arange(len(order))
        self._flat = packed._on_device(flat)
        self._alive = alive
        with torch.inference_mode(False):
            self.rows: tuple[Tensor, ...] = torch.split(self._flat, alive) if alive else ()
        self._places = packed._on_device(places)
        self._order = packed._on_device(order)
        self._segments = packed._on_device(segments)

    def by_step(self, x: Tensor) -> tuple[Tensor, ...]:
        """x [tokens, ...] as one [n_t, ...] per step; at least one step.

        One gather and views of it: the gradient of ``x[rows[t]]`` at each step would cost steps
        times tokens.
        """
        return torch.split(x.index_select(0, self._flat), self._alive)

    def to_tokens(self, outputs: Sequence[Tensor]) -> Tensor:
        """[tokens, ...] in the pack's order from one [n_t, ...] per step; at least one step."""
        return torch.cat(list(outputs)).index_select(0, self._places)

    def to_segments(self, state: Tensor) -> Tensor:
        """[N, ...] in the pack's order from a state in the order of the steps."""
        return state[self._segments]

    def from_segments(self, values: Tensor) -> Tensor:
        """[N, ...] in the order of the steps from values in the pack's order, as h0 comes."""
        return values[self._order]


def pack_lengths(lengths: Sequence[int] | np.ndarray, device: torch.device | str = "cpu") -> Packed:
    """The pack of segments of these lengths; nothing waits for the device.

    Raises BadArguments for a negative length, or 2**31 tokens or more.
    """
    counts = np.array(lengths, np.int64).reshape(-1)  # a copy: the pack must not change later
    if counts.min(initial=0) < 0:
        raise BadArguments(f"a segment cannot have {counts.min()} tokens")
    if counts.sum() > _MOST_TOKENS:
        raise BadArguments(f"{counts.sum()} tokens in one pack; at most {_MOST_TOKENS} fit")
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    order = np.argsort(-counts, kind="stable").astype(np.int32)
    target = torch.device(device)
    return Packed(_move(bounds, target), _move(order, target), counts)


def _move(values: np.ndarray, device: torch.device) -> Tensor:
    """To the device without waiting for it; fit for training, even if made while encoding."""
    with torch.inference_mode(False):
        host = torch.from_numpy(values)
        return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host

"""A bidirectional LSTM that never reads padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

if TYPE_CHECKING:
    from .pairs import Side


class PackedLstm(nn.Module):
    """torch's LSTM over texts of different lengths; ``width`` is that of both directions."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, width // 2, batch_first=True, bidirectional=True)

    def forward(self, texts: Side) -> Tensor:
        """[n, T, width], 0 behind a text's end."""
        if not len(texts.lengths):
            return texts.vectors.new_zeros(*texts.mask.shape, 2 * self.lstm.hidden_size)
        packed = pack_padded_sequence(
            texts.vectors, torch.from_numpy(texts.lengths), batch_first=True, enforce_sorted=False
        )
        states, _ = self.lstm(packed)
        padded: Tensor = pad_packed_sequence(
            states, batch_first=True, total_length=texts.mask.shape[1]
        )[0]
        return padded

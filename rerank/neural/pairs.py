"""Queries and passages side by side, as the models read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.records import Int64Array
    from .words import Words


@dataclass(frozen=True, slots=True)
class Side:
    """n texts of up to T word pieces; behind a text's last piece all is zero and False.

    vectors [n, T, dim] float32, of unit length; weights [n, T] float32, how much the encoder makes
    of each piece, 1 on average; mask [n, T] bool; lengths [n] int64 on the host, each 1 or more.
    """

    vectors: Tensor
    weights: Tensor
    mask: Tensor
    lengths: Int64Array

    def of(self, rows: Tensor) -> Side:
        """These texts, in this order; a text may come again."""
        lengths = self.lengths[rows.cpu().numpy()]
        return Side(self.vectors[rows], self.weights[rows], self.mask[rows], lengths)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Different queries, the passages of all of them, and ``asked`` [passages] int64: the query
    that each passage is to answer."""

    queries: Side
    passages: Side
    asked: Tensor

    def __len__(self) -> int:
        return len(self.asked)

    @property
    def repeated(self) -> Side:
        """The query of each passage, as many as there are passages."""
        return self.queries.of(self.asked)


def side(words: Words, texts: Sequence[Int64Array], device: str = "cpu") -> Side:
    """The pieces of texts, as ``Words.read`` gives them, padded to the longest."""
    lengths = np.array([len(text) for text in texts], np.int64)
    ids = np.full((len(texts), int(lengths.max(initial=1))), words.blank, np.int64)
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    ids[mask] = np.concatenate(texts) if len(texts) else np.empty(0, np.int64)
    vectors, weights = words.look_up(torch.from_numpy(ids))
    found = torch.from_numpy(mask)
    return Side(vectors.to(device), weights.to(device), found.to(device), lengths)


def cosines(queries: Tensor, passages: Tensor, query_mask: Tensor, passage_mask: Tensor) -> Tensor:
    """[n, Q, T] cosine of each query piece with each passage piece; 0 where either is padding.

    queries [n, Q, d], passages [n, T, d], masks [n, Q] and [n, T] bool.
    """
    left = torch.nn.functional.normalize(queries, dim=2)
    right = torch.nn.functional.normalize(passages, dim=2)
    both = query_mask[:, :, None] & passage_mask[:, None, :]
    return (left @ right.transpose(1, 2)).masked_fill(~both, 0)

"""Quality scores on disk in shards, so that a killed build scores few passages twice.

A shard is a fixed slice of rows: ``scores/00012.npy`` holds one float32 a row; ``00012.json``,
written after it, says from which texts by which model, and holds the hash of the scores.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from ...core.durable import no_room, replacing
from ...core.errors import FailedWhileRunning
from ...core.fingerprints import of_file, of_texts, of_value
from ...core.packed_texts import joined
from ...core.protocols import ScoresPacked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ...core.protocols import QualityModel
    from ...core.records import Float32Array
    from .token_shards import TokenShards

BLOCK = 1024
"""Passages scored in one call."""


def scores_of(model: QualityModel, texts: Sequence[str]) -> Float32Array:
    """One block's scores; FailedWhileRunning when the model breaks its promise."""
    return checked(model, model.score(texts), len(texts))


def checked(model: QualityModel, scores: Float32Array, texts: int) -> Float32Array:
    """The scores as they are; FailedWhileRunning for what a model may not give."""
    if scores.shape != (texts,) or not np.isfinite(scores).all():
        raise FailedWhileRunning(
            f"the quality model {model.card.name!r} gave scores of shape {scores.shape} "
            f"for {texts} texts, or one that is not finite; choose another model"
        )
    return scores


class ScoreShards:
    """One score a row by one model; only missing shards are scored."""

    def __init__(
        self,
        folder: Path,
        model: QualityModel,
        rows: int,
        shard_rows: int,
        tokens: TokenShards | None = None,
    ) -> None:
        """``tokens`` are kept there of what is scored, by a model that ``ScoresPacked``."""
        self._folder = folder
        self._model = model
        self._rows = rows
        self._shard_rows = shard_rows
        self._tokens = tokens

    def complete(
        self, texts: Callable[[int, int], Sequence[str]], advance: Callable[[int], None]
    ) -> Float32Array:
        """All scores, [rows]. ``texts(start, end)`` gives the passages of those rows.

        Raises FailedWhileRunning when the model breaks its promise, or the disk is full.
        """
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as failure:
            raise no_room(self._folder, failure) from failure
        scores = np.empty(self._rows, np.float32)
        for number, start in enumerate(range(0, self._rows, self._shard_rows)):
            wanted = texts(start, min(start + self._shard_rows, self._rows))
            made_from = of_value([self._model.card.fingerprint, of_texts(wanted)])
            found = self._finished(number, made_from)
            if found is None:
                found = self._score(number, made_from, wanted)
            scores[start : start + len(wanted)] = found
            advance(len(wanted))
        return scores

    def _score(self, number: int, made_from: str, texts: Sequence[str]) -> Float32Array:
        scores = np.empty(len(texts), np.float32)
        packs = []
        for start in range(0, len(texts), BLOCK):
            block = texts[start : start + BLOCK]
            if self._tokens is not None and isinstance(self._model, ScoresPacked):
                packs.append(self._model.tokenise(block))
                found = self._model.score_packed(packs[-1])
                scores[start : start + len(block)] = checked(self._model, found, len(block))
            else:
                scores[start : start + len(block)] = scores_of(self._model, block)
        if self._tokens is not None and packs:
            self._tokens.keep(number, joined(packs))
        path = self._scores_of(number)
        with replacing(path, "wb") as out:
            np.save(out, scores, allow_pickle=False)
        with replacing(self._card_of(number)) as out:
            json.dump({"made_from": made_from, "scores": of_file(path)}, out)
        return scores

    def _finished(self, number: int, made_from: str) -> Float32Array | None:
        """The scores of a shard that is whole and made from the right texts, else None."""
        path = self._scores_of(number)
        try:
            card = json.loads(self._card_of(number).read_bytes())
            if card != {"made_from": made_from, "scores": of_file(path)}:
                return None
            scores: Float32Array = np.load(path, allow_pickle=False)
        except (OSError, ValueError, RecursionError):
            return None
        return scores

    def _scores_of(self, number: int) -> Path:
        return self._folder / f"{number:05}.npy"

    def _card_of(self, number: int) -> Path:
        return self._folder / f"{number:05}.json"

"""Passages tokenised once in a build: by the quality model, for the encoder too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..core.protocols import EncodesPacked, ScoresPacked
from ..index.building.token_shards import TokenShards

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..core.packed_texts import PackedTexts
    from ..core.records import Int64Array

    TokensOf: TypeAlias = Callable[[Int64Array], PackedTexts | None]


@dataclass(frozen=True, slots=True)
class SharedTokens:
    """Tokens of the passages that were scored, which are the rows ``scored`` of the corpus."""

    shards: TokenShards
    form: str
    scored: Int64Array

    @classmethod
    def between(
        cls, scorer: object, encoder: object, folder: Path, shard_rows: int, scored: Int64Array
    ) -> SharedTokens | None:
        """Where tokens are to be kept; None where the two read different ones, or text."""
        if not (isinstance(scorer, ScoresPacked) and isinstance(encoder, EncodesPacked)):
            return None
        if scorer.token_form != encoder.token_form:
            return None
        return cls(TokenShards(folder, shard_rows), scorer.token_form, scored)

    def of(self, rows: Int64Array, encoder: object) -> TokensOf | None:
        """Tokens by places in these rows of the corpus, if the encoder still reads them: it may
        have been tuned since."""
        if not isinstance(encoder, EncodesPacked) or encoder.token_form != self.form:
            return None
        return partial(self._taken, rows)

    def _taken(self, rows: Int64Array, places: Int64Array) -> PackedTexts | None:
        return self.shards.take(np.searchsorted(self.scored, rows[places]))

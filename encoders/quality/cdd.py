"""``cdd``: collection-document distance, how far a passage's language is from the corpus's."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadData
from ...core.fingerprints import of_value
from ...core.protocols import QualityCard
from .stored import damaged, read_counts, save_counts
from .words import porter, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ...core.records import Float32Array

SMOOTHING = 0.99
"""The passage's share in its smoothed language; the corpus has the rest."""


FORMAT = "tamis cdd quality 1"


def cdd(model: str | Path | None = None) -> Cdd | CddQuality:
    """What is still to be fitted; or a stored model, by its file."""
    return Cdd() if model is None else load_cdd(model)


class Cdd:
    """Counts the stems of a corpus; the memory it needs grows with the vocabulary alone."""

    name = "cdd"

    def fit(self, texts: Iterable[str]) -> CddQuality:
        """The model over these texts. Raises BadData when there is no word in them."""
        words: Counter[str] = Counter()
        for text in texts:
            words.update(words_of(text))
        if not words:
            raise BadData("cdd was fitted on texts without a word; expected a corpus of passages")
        stems: Counter[str] = Counter()
        for stem, count in zip(porter()(list(words)), words.values(), strict=True):
            stems[stem] += count
        return CddQuality(stems)


class CddQuality:
    """Minus the divergence of a passage's language from the corpus's (Zhou and Croft 2005).

    The passage's language P is smoothed with the corpus's C: Q = 0.99 P + 0.01 C. The score is
    -sum over the vocabulary of C log2(C / Q), in bits: 0 where both are the same, and at least
    -log2(100), the score of a text without a word that the corpus knows. Stems by Porter; those
    that the corpus lacks count in the passage's length only. On MS MARCO it is no better than
    chance (Chang et al. 2024).
    """

    def __init__(self, stems: Mapping[str, int]) -> None:
        """``stems``: how often each occurs in the corpus, at least once."""
        self._stems = stems
        self._total = sum(stems.values())
        made_of = {"cdd": "case folded words, Porter stems", "smoothing": SMOOTHING}
        fingerprint = of_value({**made_of, "stems": sorted(stems.items())})
        self.card = QualityCard("cdd", fingerprint)

    def save(self, path: str | Path) -> None:
        """One safetensors file, which ``load_cdd`` reads."""
        stems = sorted(self._stems)
        counts = np.array([self._stems[stem] for stem in stems], np.int64)
        save_counts(path, FORMAT, self.card.fingerprint, stems, counts=counts)

    def score(self, texts: Sequence[str]) -> Float32Array:
        stems_of = porter()
        return np.array([-self._divergence(stems_of(words_of(text))) for text in texts], np.float32)

    def _divergence(self, stems: list[str]) -> float:
        """Over the passage's own stems only: all others together have a closed form.

        A stem that the passage lacks has Q = 0.01 C, so it adds C log2(100), whatever it is.
        """
        bits, absent = 0.0, self._total
        for stem, count in Counter(stems).items():
            in_corpus = self._stems.get(stem)
            if in_corpus is None:
                continue
            corpus = in_corpus / self._total
            smoothed = SMOOTHING * count / len(stems) + (1 - SMOOTHING) * corpus
            bits += corpus * math.log2(corpus / smoothed)
            absent -= in_corpus
        return bits + absent / self._total * math.log2(1 / (1 - SMOOTHING))


def load_cdd(path: str | Path) -> CddQuality:
    """A model that was saved. Raises MissingResource, BadData, CorruptFile."""
    promised, stems, arrays = read_counts(path, FORMAT, ("counts",))
    counts = arrays["counts"]
    if not stems or len(stems) != len(counts) or (counts < 1).any():
        raise damaged(path, f"{len(stems):,} stems and {len(counts):,} counts, each above 0")
    model = CddQuality(dict(zip(stems, counts.tolist(), strict=True)))
    if model.card.fingerprint != promised:
        raise damaged(path, "its counts are not those that were stored")
    return model

"""``perplexity``: how well a bigram model of the corpus foresees a passage."""

from __future__ import annotations

import hashlib
import math
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadData
from ...core.fingerprints import of_texts, of_value
from ...core.protocols import QualityCard
from .bigrams import DISCOUNT, START, bigrams_of, count_bigrams
from .stored import damaged, read_counts, save_counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...core.protocols import QualityModel
    from ...core.records import Float32Array
    from .bigrams import Bigrams


FORMAT = "tamis bigram perplexity quality 1"


def perplexity(
    model: str | Path | None = None, *, device: str = "cpu"
) -> Perplexity | QualityModel:
    """The bigram model, still to be fitted, or by its file as it was stored; or a language model of
    transformers, by its folder or org/name.
    """
    if model is None:
        return Perplexity()
    if Path(model).is_file():
        return load_perplexity(model)
    from .neural_perplexity import NeuralPerplexity

    return NeuralPerplexity(model, device=device)


class Perplexity:
    """Counts the neighbouring words of a corpus."""

    name = "perplexity"

    def fit(self, texts: Iterable[str]) -> PerplexityQuality:
        """The model over these texts. Raises BadData when there is no word in them."""
        bigrams = count_bigrams(texts)
        if bigrams is None:
            raise BadData(
                "perplexity was fitted on texts without a word; expected a corpus of passages"
            )
        return PerplexityQuality(bigrams)


class PerplexityQuality:
    """Minus the perplexity of a passage's words, first to last, under a Kneser-Ney bigram model.

    At most -1. A passage of the corpus the model was fitted on has been seen, all of it, which
    flatters rare passages; one without a word scores as one unknown word does.
    """

    def __init__(self, bigrams: Bigrams) -> None:
        self._bigrams = bigrams
        digest = hashlib.sha256(bigrams.pairs.astype("<i8").tobytes())
        digest.update(bigrams.counts.astype("<i8").tobytes())
        fingerprint = of_value(
            {
                "perplexity": "case folded words, interpolated Kneser-Ney bigrams",
                "discount": DISCOUNT,
                "words": of_texts(bigrams.vocabulary),
                "counts": digest.hexdigest(),
            }
        )
        self.card = QualityCard("perplexity", fingerprint)

    def save(self, path: str | Path) -> None:
        """One safetensors file, which ``load_perplexity`` reads: 16 bytes a distinct pair."""
        found = self._bigrams
        save_counts(
            path,
            FORMAT,
            self.card.fingerprint,
            found.vocabulary,
            pairs=found.pairs,
            counts=found.counts,
        )

    def score(self, texts: Sequence[str]) -> Float32Array:
        words = [self._bigrams.ids(text) for text in texts]
        ends = list(accumulate(map(len, words), initial=0))
        flat = np.array([word for each in words for word in each], np.int64)
        before = np.roll(flat, 1)
        before[ends[:-1]] = START
        chances = self._bigrams.probabilities(before, flat).tolist()
        # math.log and fsum, not numpy's: theirs may depend on where a number stands in its array
        logs = [math.log(chance) for chance in chances]
        means = [math.fsum(logs[start:end]) / (end - start) for start, end in pairwise(ends)]
        return np.array([-math.exp(-mean) for mean in means], np.float32)


def load_perplexity(path: str | Path) -> PerplexityQuality:
    """A bigram model that was saved. Raises MissingResource, BadData, CorruptFile."""
    promised, words, arrays = read_counts(path, FORMAT, ("pairs", "counts"))
    bigrams = bigrams_of(words, arrays["pairs"], arrays["counts"])
    if bigrams is None:
        raise damaged(path, "its pairs do not belong to its words")
    model = PerplexityQuality(bigrams)
    if model.card.fingerprint != promised:
        raise damaged(path, "its words or counts are not those that were stored")
    return model

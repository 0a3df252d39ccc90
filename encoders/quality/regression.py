"""``features``: a logistic regression over the cheap features, as it was stored."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.durable import replacing
from ...core.errors import BadArguments, BadData, MissingResource
from ...core.fingerprints import of_value
from ...core.protocols import QualityCard
from .features import FEATURES, features

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...core.records import Float32Array

FORMAT = "tamis features quality 1"
_COLUMNS = list(FEATURES)


@dataclass(frozen=True, slots=True)
class Weight:
    """Of one feature: it adds weight * (value - mean) / scale to the log-odds."""

    mean: float
    scale: float
    weight: float


class FeatureQuality:
    """Scores are log-odds: bias + the sum over the features that have a weight."""

    def __init__(self, bias: float, weights: Mapping[str, Weight]) -> None:
        """``weights``: by feature name, of any of ``FEATURES``; those left out do not count.

        Raises BadArguments for an unknown feature, a number that is not finite, or a scale that
        is not above 0.
        """
        _check(bias, weights)
        self._bias = bias
        self._weights = {name: weights[name] for name in _COLUMNS if name in weights}
        self.card = QualityCard("features", of_value(self._stored()))

    def score(self, texts: Sequence[str]) -> Float32Array:
        columns = features(texts).astype(np.float64)
        # column by column: a matrix product may round differently in another batch
        total = np.full(len(texts), self._bias, np.float64)
        for name, fit in self._weights.items():
            total += fit.weight * ((columns[:, _COLUMNS.index(name)] - fit.mean) / fit.scale)
        return total.astype(np.float32)

    def save(self, path: str | Path) -> None:
        """A JSON file that ``load_features`` reads."""
        with replacing(Path(path)) as out:
            json.dump(self._stored(), out, indent=2)
            out.write("\n")

    def _stored(self) -> dict[str, Any]:
        weights = {name: asdict(weight) for name, weight in self._weights.items()}
        return {"format": FORMAT, "bias": self._bias, "weights": weights}


def load_features(model: str | Path | None = None) -> FeatureQuality:
    """The model stored in a JSON file.

    Raises BadArguments when no file is named, MissingResource when it is not there, BadData when
    it holds something else or a feature that this version does not compute.
    """
    if model is None:
        raise BadArguments(
            "the quality model 'features' has no weights of its own: name the file of a stored "
            "one, features:FILE"
        )
    try:
        stored = json.loads(Path(model).read_text("utf-8"))
    except FileNotFoundError:
        raise MissingResource(f"{model} is not there; expected a stored quality model") from None
    except ValueError as failure:
        raise BadData(f"{model} is no JSON ({failure}); expected a stored quality model") from None
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise BadData(f"{model} is no stored quality model: its format is not {FORMAT!r}")
    try:
        weights = {name: Weight(**weight) for name, weight in stored["weights"].items()}
        return FeatureQuality(stored["bias"], weights)
    except (AttributeError, KeyError, TypeError) as failure:
        raise BadData(f"{model} is damaged ({failure}): store the model again") from None
    except BadArguments as failure:
        raise BadData(f"{model}: {failure}") from None


def _check(bias: float, weights: Mapping[str, Weight]) -> None:
    unknown = [name for name in weights if name not in FEATURES]
    if unknown:
        raise BadArguments(
            f"no feature is called {', '.join(unknown)}; known: {', '.join(FEATURES)}"
        )
    if not math.isfinite(bias):
        raise BadArguments(f"the bias is {bias}; expected a finite number")
    for name, fit in weights.items():
        if not all(map(math.isfinite, (fit.mean, fit.scale, fit.weight))) or fit.scale <= 0:
            raise BadArguments(f"{name} has {fit}; expected finite numbers and a scale above 0")

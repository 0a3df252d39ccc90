"""The stored logistic regression over the features."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.encoders.quality.regression import FORMAT, FeatureQuality, Weight, load_features

if TYPE_CHECKING:
    from pathlib import Path

ENDS = {"mean": 0.5, "scale": 0.25, "weight": 2.0}


def test_log_odds_by_hand() -> None:
    model = FeatureQuality(
        -1.0, {"top_word": Weight(0.0, 0.5, -3.0), "ends": Weight(mean=0.5, scale=0.25, weight=2.0)}
    )
    # "a a b c": the top word is half of all, no end; "One.": all of it, and an end
    expected = [-1 - 3 * 0.5 / 0.5 + 2 * -0.5 / 0.25, -1 - 3 * 1 / 0.5 + 2 * 0.5 / 0.25]
    assert model.score(["a a b c", "One."]).tolist() == expected


def test_stored_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    weights = {"ends": Weight(**ENDS), "words": Weight(0.1, 1 / 3, -0.7)}
    model = FeatureQuality(0.1, weights)
    model.save(tmp_path / "model.json")
    loaded = load_features(tmp_path / "model.json")
    assert loaded.card == model.card
    texts = ["a a b c", "One.", ""]
    assert loaded.score(texts).tolist() == model.score(texts).tolist()


def test_every_number_is_in_the_fingerprint() -> None:
    prints = {FeatureQuality(0.0, {"ends": Weight(**ENDS)}).card.fingerprint}
    prints.add(FeatureQuality(1.0, {"ends": Weight(**ENDS)}).card.fingerprint)
    prints.add(FeatureQuality(0.0, {"begins": Weight(**ENDS)}).card.fingerprint)
    for name in ENDS:
        other = Weight(**{**ENDS, name: 7.0})
        prints.add(FeatureQuality(0.0, {"ends": other}).card.fingerprint)
    assert len(prints) == 6


@pytest.mark.parametrize(
    ("bias", "weights", "words"),
    [
        (float("nan"), {}, "bias is nan"),
        (0.0, {"magic": Weight(**ENDS)}, "magic; known: words"),
        (0.0, {"ends": Weight(0.0, 0.0, 1.0)}, "scale above 0"),
        (0.0, {"ends": Weight(0.0, 1.0, float("inf"))}, "finite"),
    ],
)
def test_what_makes_no_sense_is_refused(
    bias: float, weights: dict[str, Weight], words: str
) -> None:
    with pytest.raises(BadArguments, match=words):
        FeatureQuality(bias, weights)


GOOD: dict[str, Any] = {"format": FORMAT, "bias": 0.0, "weights": {"ends": ENDS}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "no stored quality model"),
        (json.dumps({**GOOD, "format": "other"}), "no stored quality model"),
        (json.dumps({"format": FORMAT, "bias": 0.0}), "damaged"),
        (json.dumps({**GOOD, "bias": "much"}), "damaged"),
        (json.dumps({**GOOD, "weights": []}), "damaged"),
        (json.dumps({**GOOD, "weights": {"ends": {"mean": 0.0}}}), "damaged"),
        (json.dumps({**GOOD, "weights": {"ends": {**ENDS, "scale": "1"}}}), "damaged"),
        (json.dumps({**GOOD, "weights": {"magic": ENDS}}), "known: words"),
    ],
)
def test_a_damaged_file_is_named(body: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(body)
    with pytest.raises(BadData, match=words) as refused:
        load_features(tmp_path / "model.json")
    assert "model.json" in str(refused.value)


def test_no_file_and_no_name(tmp_path: Path) -> None:
    with pytest.raises(MissingResource, match="not there"):
        load_features(tmp_path / "none.json")
    with pytest.raises(BadArguments, match="name the file"):
        load_features()

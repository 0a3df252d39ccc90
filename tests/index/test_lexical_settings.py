"""What a lexical index is asked to be is guarded, recorded and read back."""

from __future__ import annotations

import json
import math

import pytest

from tamis.core.errors import BadArguments, BadData
from tamis.index.lexical import LexicalSettings


def test_defaults_are_those_of_anserini() -> None:
    assert (LexicalSettings().engine, LexicalSettings().k1, LexicalSettings().b) == (
        "bm25s",
        0.9,
        0.4,
    )


@pytest.mark.parametrize(
    ("engine", "stemmer", "stopwords"),
    [("bm25s", "english", "english"), ("lucene", "porter", "lucene")],
)
def test_each_engine_records_its_own_analysis(engine: str, stemmer: str, stopwords: str) -> None:
    recorded = LexicalSettings(engine).to_json()
    assert (recorded["stemmer"], recorded["stopwords"]) == (stemmer, stopwords)


@pytest.mark.parametrize("engine", ["bm25s", "lucene"])
def test_settings_survive_a_manifest(engine: str) -> None:
    settings = LexicalSettings(engine, k1=0.82, b=0.68)
    assert LexicalSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.mark.parametrize("k1", [-0.1, math.nan, math.inf])
def test_k1_must_be_finite_and_not_negative(k1: float) -> None:
    with pytest.raises(BadArguments, match="k1"):
        LexicalSettings(k1=k1)


@pytest.mark.parametrize("b", [-0.01, 1.01, math.nan])
def test_b_must_lie_between_0_and_1(b: float) -> None:
    with pytest.raises(BadArguments, match="b is"):
        LexicalSettings(b=b)


def test_the_ends_of_both_ranges_are_legal() -> None:
    assert LexicalSettings(k1=0, b=0).b == 0
    assert LexicalSettings(b=1).b == 1


def test_an_unknown_engine_is_told_the_known_ones() -> None:
    with pytest.raises(BadArguments, match="'lucine'; known: bm25s, lucene"):
        LexicalSettings("lucine")


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {**LexicalSettings().to_json(), "k1": "wide"},
        {**LexicalSettings().to_json(), "engine": "lucine"},
        {**LexicalSettings().to_json(), "stemmer": "krovetz"},
        {**LexicalSettings().to_json(), "language": "en"},
    ],
)
def test_malformed_or_foreign_settings_are_bad_data(broken: dict[str, object]) -> None:
    with pytest.raises(BadData, match="lexical settings"):
        LexicalSettings.from_json(broken)

"""Every feature against truth worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tamis.core.protocols import Candidates
from tamis.core.records import Passage, Query, Ranking
from tamis.rerank.features import FEATURES, features
from tamis.rerank.terms import Terms

NAN = math.nan


def candidates(
    question: str, passages: list[Passage], scores: list[float], **stages: list[float]
) -> Candidates:
    known = {name: np.array(values, np.float32) for name, values in stages.items()}
    rows = np.arange(len(passages), dtype=np.int64)
    ranking = Ranking(Query("q", question), rows, np.array(scores, np.float32), known)
    return Candidates(ranking, passages)


def column(name: str, of: Candidates) -> np.ndarray:
    return features(of)[:, list(FEATURES).index(name)]


TEXTS = [
    Passage("a", "In 1066 the Normans conquered England.", title="Battle of Hastings"),
    Passage("b", "England and the battle; Norman knights of 1066 and 1067."),
    Passage("c", "A recipe for bread."),
]
QUESTION = "When did the Norman battle of Hastings 1066 happen?"
"""Terms: norman, battl, hast, 1066, happen."""
SCORES = candidates(
    QUESTION, TEXTS, [0.9, 0.5, 0.1], dense=[0.8, NAN, 0.2], lexical=[7.0, 7.0, 3.0]
)
RARE = {"norman": 2, "battl": 2, "hast": 1, "1066": 2, "happen": 0}
RARITY = {term: math.log(1 + (3 - df + 0.5) / (df + 0.5)) for term, df in RARE.items()}
IN_BOTH = RARITY["norman"]


def test_the_terms_of_the_example_are_as_the_hand_worked_truth_takes_them() -> None:
    assert Terms().of_query(QUESTION) == (["norman", "battl", "hast", "1066", "happen"], False)


A_OCCURS = RARITY["norman"] + RARITY["battl"] + RARITY["hast"] + RARITY["1066"]
B_OCCURS = RARITY["norman"] + RARITY["battl"] + RARITY["1066"]
ALL = sum(RARITY.values())

TRUTH: dict[str, list[float]] = {
    "dense_score": [0.8, NAN, 0.2],
    "dense_reciprocal_rank": [1, NAN, 0.5],
    "dense_gap": [0, NAN, -0.6],
    "dense_scaled": [1, NAN, 0],
    "lexical_score": [7, 7, 3],
    "lexical_reciprocal_rank": [1, 1, 1 / 3],
    "lexical_gap": [0, 0, -4],
    "lexical_scaled": [1, 1, 0],
    "reciprocal_rank": [1, 1 / 2, 1 / 3],
    "scaled_score": [1, 0.5, 0],
    "stages_found": [2, 1, 2],
    "query_terms": [5, 5, 5],
    "query_numbers": [1, 1, 1],
    "passage_words": [6, 10, 4],
    "title_words": [3, 0, 0],
    "coverage": [4 / 5, 3 / 5, 0],
    "text_coverage": [2 / 5, 3 / 5, 0],
    "title_coverage": [2 / 5, NAN, NAN],
    "weighted_coverage": [A_OCCURS / ALL, B_OCCURS / ALL, 0],
    "matched_rarity_mean": [A_OCCURS / 4, B_OCCURS / 3, NAN],
    "matched_rarity_max": [RARITY["hast"], IN_BOTH, NAN],
    "saturated_frequency": [A_OCCURS / 2.2, B_OCCURS / 2.2, 0],
    # a: battle hastings | 1066 normans conquered england
    # b: england battle norman knights 1066 1067
    "term_share": [4 / 6, 3 / 6, 0],
    "longest_run": [2 / 5, 1 / 5, 0],
    "phrase": [0, 0, 0],
    "pairs_covered": [1 / 4, 0, 0],
    "numbers_covered": [1, 1, 0],
    "first_match": [0, 1, NAN],
    "mean_first_match": [1 / 2, (1 + 2 + 4) / 3, NAN],
}


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_is_what_the_hand_says(name: str) -> None:
    np.testing.assert_allclose(column(name, SCORES), TRUTH[name], rtol=1e-6)


def test_the_phrase_is_found_in_title_or_text_over_function_words_and_endings() -> None:
    texts = [
        Passage("a", "The history of the battles at Hastings"),
        Passage("b", "nothing here", title="Histories: battle, Hastings"),
        Passage("c", "battle history Hastings"),
    ]
    of = candidates("history of battle at hastings", texts, [3, 2, 1])
    assert column("phrase", of).tolist() == [1, 1, 0]
    assert column("longest_run", of).tolist() == pytest.approx([1, 1, 1 / 3])


def test_a_phrase_does_not_run_from_the_title_into_the_text() -> None:
    of = candidates("red fox", [Passage("a", "fox", title="red")], [1])
    assert column("phrase", of).tolist() == [0]
    assert column("coverage", of).tolist() == [1]


def test_a_run_may_repeat_a_term() -> None:
    of = candidates("new york new york", [Passage("a", "york new york new york new")], [1])
    assert column("longest_run", of).tolist() == [1]
    assert column("query_terms", of).tolist() == [4]


def test_a_query_of_function_words_keeps_them() -> None:
    of = candidates("who are you", [Passage("a", "Who are you"), Passage("b", "x")], [2, 1])
    assert column("phrase", of).tolist() == [1, 0]
    assert column("query_terms", of).tolist() == [3, 3]


def test_a_query_without_words_matches_nothing() -> None:
    of = candidates("???", [Passage("a", "text")], [1])
    assert column("coverage", of).tolist() == [0]
    assert column("phrase", of).tolist() == [0]
    assert np.isnan(column("numbers_covered", of)).all()


def test_stages_that_the_ranking_does_not_know_are_nan() -> None:
    of = candidates("bread", TEXTS, [3, 2, 1])
    table = features(of)
    for place, name in enumerate(FEATURES):
        if name.startswith(("dense_", "lexical_")):
            assert np.isnan(table[:, place]).all(), name
    assert column("stages_found", of).tolist() == [0, 0, 0]
    assert column("reciprocal_rank", of).tolist() == pytest.approx([1, 1 / 2, 1 / 3])


def test_equal_scores_are_scaled_to_one() -> None:
    of = candidates("bread", TEXTS, [2, 2, 2])
    assert column("scaled_score", of).tolist() == [1, 1, 1]
    assert column("reciprocal_rank", of).tolist() == [1, 1, 1]


def test_no_candidates_no_rows() -> None:
    table = features(candidates("bread", [], []))
    assert table.shape == (0, len(FEATURES))
    assert table.dtype == np.float32


def test_every_feature_has_a_meaning_and_the_table_is_float32() -> None:
    assert all(FEATURES.values())
    assert features(SCORES).dtype == np.float32
    assert set(TRUTH) == set(FEATURES)

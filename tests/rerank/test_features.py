"""Every feature against truth worked by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.protocols import Candidates
from tamis.core.records import Passage, Query, Ranking
from tamis.rerank.features import FEATURES, feature_names, features, stages_in
from tamis.rerank.lexical_scores import LEXICAL
from tamis.rerank.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

NAN = math.nan


class Counted:
    """A collection of nine passages, as a test says it is."""

    passages = 9
    title_words = 18
    text_words = 72

    def __init__(self, known: dict[str, tuple[int, int, int]]) -> None:
        self.known = known

    def counts(self, terms: Sequence[str]) -> np.ndarray:
        return np.array([self.known.get(term, (0, 0, 0)) for term in terms], np.int64).reshape(
            -1, 3
        )


def candidates(
    question: str,
    passages: list[Passage],
    scores: list[float],
    terms: Counted | None = None,
    quality: list[float] | None = None,
    **stages: list[float],
) -> Candidates:
    known = {name: np.array(values, np.float32) for name, values in stages.items()}
    rows = np.arange(len(passages), dtype=np.int64)
    ranking = Ranking(Query("q", question), rows, np.array(scores, np.float32), known)
    worth = None if quality is None else np.array(quality, np.float32)
    return Candidates(ranking, passages, terms, worth)


def column(name: str, of: Candidates, stages: Sequence[str] = ()) -> np.ndarray:
    return features(of, stages=stages)[:, list(feature_names(stages)).index(name)]


TEXTS = [
    Passage("a", "In 1066 the Normans conquered England.", title="Battle of Hastings"),
    Passage("b", "England and the battle; Norman knights of 1066 and 1067."),
    Passage("c", "A recipe for bread."),
]
QUESTION = "When did the Norman battle of Hastings 1066 happen?"
"""Terms: norman, battl, hast, 1066, happen."""
KNOWN = {"norman": (2, 1, 3), "battl": (1, 1, 1), "hast": (1, 1, 0), "1066": (1, 0, 4)}
"""Passages with the term, times in titles, times in texts; nobody ever says "happen"."""
SCORES = candidates(
    QUESTION,
    TEXTS,
    [0.9, 0.5, 0.1],
    Counted(KNOWN),
    [0.2, 0.4, 0.3],
    dense=[0.8, NAN, 0.2],
    lexical=[7.0, 7.0, 3.0],
)
RARE = {"norman": 2, "battl": 2, "hast": 1, "1066": 2, "happen": 0}
RARITY = {term: math.log(1 + (3 - df + 0.5) / (df + 0.5)) for term, df in RARE.items()}
IN_BOTH = RARITY["norman"]


def test_the_terms_of_the_example_are_as_the_hand_worked_truth_takes_them() -> None:
    assert Terms().of_query(QUESTION) == (["norman", "battl", "hast", "1066", "happen"], False)


A_OCCURS = RARITY["norman"] + RARITY["battl"] + RARITY["hast"] + RARITY["1066"]
B_OCCURS = RARITY["norman"] + RARITY["battl"] + RARITY["1066"]
ALL = sum(RARITY.values())
IDF = {1: math.log(1 + 8.5 / 1.5), 2: math.log(1 + 7.5 / 2.5), 0: math.log(1 + 9.5 / 0.5)}
A_IDF = IDF[2] + 3 * IDF[1]  # norman, battl, hast, 1066: once each in title or text
B_IDF = IDF[2] + 2 * IDF[1]  # norman, battl, 1066
EVERY_IDF = A_IDF + IDF[0]
SHARE = {"norman": 4 / 90, "battl": 2 / 90, "hast": 1 / 90, "1066": 4 / 90}


def saturation(k1: float, b: float, words: float, mean: float) -> float:
    """BM25 of a term that stands once."""
    return 1 / (1 + k1 * (1 - b + b * words / mean))


def dirichlet(found: str, words: int, mu: int) -> float:
    """Of the four terms that the collection knows; those found stand once."""
    held = found.split()
    return (
        sum(
            math.log(((term in held) + mu * share) / (words + mu) / share)
            for term, share in SHARE.items()
        )
        / 4
    )


def jelinek(found: str, words: int, share: float) -> float:
    held = found.split()
    return (
        sum(
            math.log(((1 - share) * (term in held) / max(words, 1) + share * p) / p)
            for term, p in SHARE.items()
        )
        / 4
    )


def field_bm25(title: int, text: float, words: tuple[int, int]) -> float:
    """BM25F of a term that stands once, in the title or in the text."""
    weight = 3 * title / (0.25 + 0.75 * words[0] / 2) + text / (0.25 + 0.75 * words[1] / 8)
    return weight / (weight + 1.2)


A_WORDS, B_WORDS = (3, 6), (0, 10)
DEVIATION = math.sqrt(32 / 9)  # of 7, 7 and 3, whose mean is 17 / 3

TRUTH: dict[str, list[float]] = {
    "dense_score": [0.8, NAN, 0.2],
    "dense_reciprocal_rank": [1, NAN, 0.5],
    "dense_gap": [0, NAN, -0.6],
    "dense_scaled": [1, NAN, 0],
    "lexical_score": [7, 7, 3],
    "lexical_reciprocal_rank": [1, 1, 1 / 3],
    "lexical_gap": [0, 0, -4],
    "lexical_scaled": [1, 1, 0],
    "dense_deviations": [1, NAN, -1],
    "dense_best": [0.8, 0.8, 0.8],
    "lexical_deviations": [(7 - 17 / 3) / DEVIATION] * 2 + [(3 - 17 / 3) / DEVIATION],
    "lexical_best": [7, 7, 7],
    "rank_difference": [0, -1, 1 / 2 - 1 / 3],
    "agreement": [2 / 3, 2 / 3, 2 / 3],
    "quality": [0.2, 0.4, 0.3],
    "quality_scaled": [0, 1, 0.5],
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
    "title_asked": [1, NAN, NAN],
    "frequency": [4, 3, 0],
    "highest_frequency": [1, 1, 0],
    "ordered_pairs": [0, 0, 0],
    "near_pairs": [0, 1 / 2, 0],  # b: battle norman
    "shortest_span": [2, 4, NAN],
    "span_density": [1, 3 / 4, 0],
    "window_coverage": [(RARITY["norman"] + RARITY["1066"]) / ALL, B_OCCURS / ALL, 0],
    "bm25_all_0.9_0.4": [
        A_IDF * saturation(0.9, 0.4, 9, 10),
        B_IDF * saturation(0.9, 0.4, 10, 10),
        0,
    ],
    "bm25_all_1.2_0.75": [
        A_IDF * saturation(1.2, 0.75, 9, 10),
        B_IDF * saturation(1.2, 0.75, 10, 10),
        0,
    ],
    "bm25_all_2.0_1.0": [A_IDF * saturation(2, 1, 9, 10), B_IDF * saturation(2, 1, 10, 10), 0],
    "bm25_text_0.9_0.4": [
        (IDF[2] + IDF[1]) * saturation(0.9, 0.4, 6, 8),
        B_IDF * saturation(0.9, 0.4, 10, 8),
        0,
    ],
    "bm25_text_1.2_0.75": [
        (IDF[2] + IDF[1]) * saturation(1.2, 0.75, 6, 8),
        B_IDF * saturation(1.2, 0.75, 10, 8),
        0,
    ],
    "bm25_title_0.9_0.4": [2 * IDF[1] * saturation(0.9, 0.4, 3, 2), 0, 0],
    "bm25_title_1.2_0.75": [2 * IDF[1] * saturation(1.2, 0.75, 3, 2), 0, 0],
    "bm25_gap": [
        0,
        B_IDF * saturation(0.9, 0.4, 10, 10) - A_IDF * saturation(0.9, 0.4, 9, 10),
        -A_IDF * saturation(0.9, 0.4, 9, 10),
    ],
    "bm25f": [
        2 * IDF[1] * field_bm25(1, 0, A_WORDS) + (IDF[2] + IDF[1]) * field_bm25(0, 1, A_WORDS),
        B_IDF * field_bm25(0, 1, B_WORDS),
        0,
    ],
    "dirichlet_all_500": [
        dirichlet("norman battl hast 1066", 9, 500),
        dirichlet("norman battl 1066", 10, 500),
        dirichlet("", 4, 500),
    ],
    "dirichlet_all_2000": [
        dirichlet("norman battl hast 1066", 9, 2000),
        dirichlet("norman battl 1066", 10, 2000),
        dirichlet("", 4, 2000),
    ],
    "dirichlet_text_1000": [
        dirichlet("norman 1066", 6, 1000),
        dirichlet("norman battl 1066", 10, 1000),
        dirichlet("", 4, 1000),
    ],
    "dirichlet_title_20": [dirichlet("battl hast", 3, 20), 0, 0],
    "jelinek_all_0.1": [
        jelinek("norman battl hast 1066", 9, 0.1),
        jelinek("norman battl 1066", 10, 0.1),
        math.log(0.1),
    ],
    "jelinek_text_0.5": [
        jelinek("norman 1066", 6, 0.5),
        jelinek("norman battl 1066", 10, 0.5),
        math.log(0.5),
    ],
    "jelinek_title_0.5": [jelinek("battl hast", 3, 0.5), math.log(0.5), math.log(0.5)],
    "idf_coverage": [A_IDF / EVERY_IDF, B_IDF / EVERY_IDF, 0],
    "matched_idf_mean": [A_IDF / 4, B_IDF / 3, NAN],
    "matched_idf_max": [IDF[1], IDF[1], NAN],
    "missed_idf_max": [IDF[0], IDF[0], IDF[0]],
    "tf_idf": [A_IDF * math.log(2), B_IDF * math.log(2), 0],
    "relative_words": [0.9, 1, 0.4],
    "query_idf_mean": [EVERY_IDF / 5] * 3,
    "query_idf_max": [IDF[0]] * 3,
    "query_idf_deviation": [
        float(np.std([IDF[2], IDF[1], IDF[1], IDF[1], IDF[0]])),
    ]
    * 3,
    "query_unknown": [1 / 5] * 3,
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


def test_an_index_that_did_not_count_its_words_leaves_those_columns_empty() -> None:
    table = features(candidates(QUESTION, TEXTS, [0.9, 0.5, 0.1]))
    empty = {name for name, values in zip(FEATURES, table.T, strict=True) if np.isnan(values).all()}
    assert set(LEXICAL) <= empty
    assert {"quality", "quality_scaled"} <= empty
    assert not {"coverage", "window_coverage", "reciprocal_rank"} & empty


def test_terms_that_nobody_says_leave_query_likelihood_without_a_meaning() -> None:
    of = candidates("zyx wvu", TEXTS, [3, 2, 1], Counted(KNOWN))
    assert np.isnan(column("dirichlet_all_500", of)).all()
    assert column("query_unknown", of).tolist() == [1, 1, 1]
    assert column("bm25_all_0.9_0.4", of).tolist() == [0, 0, 0]


def test_a_term_asked_twice_counts_twice_in_bm25() -> None:
    once = column("bm25_all_0.9_0.4", candidates("norman", TEXTS, [3, 2, 1], Counted(KNOWN)))
    twice = column(
        "bm25_all_0.9_0.4", candidates("norman norman", TEXTS, [3, 2, 1], Counted(KNOWN))
    )
    np.testing.assert_allclose(twice, 2 * once)
    assert once[0] > 0


def test_the_best_window_is_a_sentence_wide() -> None:
    near = Passage("n", "flea " + "x " * 18 + "dog")
    far = Passage("f", "flea " + "x " * 19 + "dog")
    of = candidates("flea dog", [near, far], [2, 1])
    assert column("window_coverage", of).tolist() == pytest.approx([1, 0.5])
    assert column("shortest_span", of).tolist() == [20, 21]


def test_pairs_are_near_within_eight_terms_and_in_order_side_by_side() -> None:
    texts = ["flea dog", "dog flea", "flea 1 2 3 4 5 6 dog", "dog 1 2 3 4 5 6 7 flea"]
    of = candidates("flea dog", [Passage(str(n), t) for n, t in enumerate(texts)], [4, 3, 2, 1])
    assert column("ordered_pairs", of).tolist() == [0.5, 0, 0, 0]
    assert column("near_pairs", of).tolist() == [0.5, 0.5, 0.5, 0]


def test_numbers_are_terms_with_a_digit() -> None:
    texts = [Passage("a", "In 1960 a flea"), Passage("b", "60 fleas, 1961")]
    of = candidates("fleas of 1960 and b12, 1960", texts, [2, 1])
    assert column("query_numbers", of).tolist() == [2, 2]
    assert column("numbers_covered", of).tolist() == [0.5, 0]


def test_scores_of_rerankers_before_become_features_when_a_model_asks_for_them() -> None:
    of = candidates("bread", TEXTS, [3, 2, 1])
    stages = {**of.ranking.stages, "maxsim (tamis-small)": np.array([1, NAN, 3], np.float32)}
    of = Candidates(Ranking(of.ranking.query, of.ranking.rows, of.ranking.scores, stages), TEXTS)
    names = list(feature_names(["maxsim"]))
    assert names[: len(FEATURES)] == list(FEATURES)
    assert stages_in(names) == ["maxsim"]
    assert stages_in(list(FEATURES)) == []
    np.testing.assert_allclose(column("maxsim_score", of, ["maxsim"]), [1, NAN, 3])
    np.testing.assert_allclose(column("maxsim_gap", of, ["maxsim"]), [-2, NAN, 0])
    assert np.isnan(column("cross_score", of, ["cross"])).all()

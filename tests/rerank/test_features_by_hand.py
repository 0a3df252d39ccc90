"""Every text feature once more, passage by passage in plain Python, over random texts."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest

from tamis.core.protocols import Candidates
from tamis.core.records import Passage, Query, Ranking
from tamis.rerank.coverage import COVERAGE
from tamis.rerank.features import FEATURES, features
from tamis.rerank.lexical_scores import BM25, DIRICHLET, JELINEK, LEXICAL
from tamis.rerank.proximity import PROXIMITY
from tamis.rerank.terms import FUNCTION_WORDS, Terms, words_of

NAN = math.nan
WORDS = ["flea", "fleas", "dog", "dogs", "cat", "1066", "b12", "sea", "wind", "bread"]
WORDS += ["the", "of", "who", "is", "being"]


class Counted:
    """Counts of a collection, by plain counting."""

    def __init__(self, passages: list[Passage]) -> None:
        self.passages = len(passages)
        titles = [Terms().of_words(words_of(p.title)) for p in passages]
        texts = [Terms().of_words(words_of(p.text)) for p in passages]
        self.title_words, self.text_words = sum(map(len, titles)), sum(map(len, texts))
        self.df = Counter(
            t for both in zip(titles, texts, strict=True) for t in {*both[0], *both[1]}
        )
        self.in_titles = Counter(term for words in titles for term in words)
        self.in_texts = Counter(term for words in texts for term in words)

    def counts(self, terms: list[str]) -> np.ndarray:
        rows = [(self.df[t], self.in_titles[t], self.in_texts[t]) for t in terms]
        return np.array(rows, np.int64).reshape(-1, 3)


class Plain:
    """One query and the candidates' terms, read word by word."""

    def __init__(self, question: str, passages: list[Passage], collection: Counted) -> None:
        self.collection = collection
        words = words_of(question)
        content = [word for word in words if word not in FUNCTION_WORDS]
        self.whole = not content
        self.asked = self.stems(words if self.whole else content)
        self.distinct = list(dict.fromkeys(self.asked))
        self.titles = [self.read(p.title) for p in passages]
        self.texts = [self.read(p.text) for p in passages]
        self.title_words = [len(words_of(p.title)) for p in passages]
        self.text_words = [len(words_of(p.text)) for p in passages]
        df = {
            t: sum(t in a + b for a, b in zip(self.titles, self.texts, strict=True))
            for t in self.distinct
        }
        n = len(passages)
        self.rarity = {t: math.log(1 + (n - d + 0.5) / (d + 0.5)) for t, d in df.items()}
        total, df = collection.passages, collection.df
        self.idf = {t: math.log(1 + (total - df[t] + 0.5) / (df[t] + 0.5)) for t in self.distinct}
        self.first = [self.bm25(place, "all", 0.9, 0.4) for place in range(n)]

    @staticmethod
    def stems(words: list[str]) -> list[str]:
        return Terms().of_words(words)

    def read(self, text: str) -> list[str]:
        words = words_of(text)
        return self.stems(words if self.whole else [w for w in words if w not in FUNCTION_WORDS])

    def field(self, place: int, name: str) -> tuple[list[str], int, float]:
        """Terms, words, mean words."""
        c = self.collection
        title = (self.titles[place], self.title_words[place], c.title_words / c.passages)
        text = (self.texts[place], self.text_words[place], c.text_words / c.passages)
        if name == "all":
            return title[0] + text[0], title[1] + text[1], title[2] + text[2]
        return title if name == "title" else text

    def bm25(self, place: int, name: str, k1: float, b: float) -> float:
        terms, words, mean = self.field(place, name)
        norm = k1 * (1 - b + b * (words / mean if mean else 1))
        return sum(self.idf[t] * terms.count(t) / (terms.count(t) + norm) for t in self.asked)

    def bm25f(self, place: int) -> float:
        total = 0.0
        for term in self.asked:
            s = 0.0
            for name, weight in (("title", 3), ("text", 1)):
                terms, words, mean = self.field(place, name)
                s += weight * terms.count(term) / (0.25 + 0.75 * (words / mean if mean else 1))
            total += self.idf[term] * s / (s + 1.2)
        return total

    def likelihood(self, place: int, name: str, mu: float = 0, share: float = 0) -> float:
        terms, words, _ = self.field(place, name)
        c, gains = self.collection, []
        for term in self.asked:
            p = (c.in_titles[term] + c.in_texts[term]) / (c.title_words + c.text_words)
            if p and mu:
                gains.append(math.log((terms.count(term) + mu * p) / (words + mu) / p))
            elif p:
                own = terms.count(term) / max(words, 1)
                gains.append(math.log(((1 - share) * own + share * p) / p))
        return sum(gains) / len(gains) if gains else NAN

    def row(self, place: int) -> dict[str, float]:
        return {**self.covered(place), **self.close(place), **self.lexical(place)}

    def covered(self, place: int) -> dict[str, float]:
        title, text = self.titles[place], self.texts[place]
        both, asked = title + text, self.distinct
        matched = [t for t in asked if t in both]
        weights = [self.rarity[t] for t in matched]
        numbers = [t for t in asked if any(c.isdigit() for c in t)]
        titled = self.title_words[place] > 0
        of_asked = max(len(asked), 1)
        return {
            "query_terms": len(self.asked),
            "query_numbers": len(numbers),
            "passage_words": self.text_words[place],
            "title_words": self.title_words[place],
            "coverage": len(matched) / of_asked,
            "text_coverage": sum(t in text for t in asked) / of_asked,
            "title_coverage": sum(t in title for t in asked) / of_asked if titled else NAN,
            "title_asked": sum(t in asked for t in title) / max(len(title), 1) if titled else NAN,
            "weighted_coverage": sum(weights) / sum(self.rarity.values()) if asked else 0,
            "matched_rarity_mean": sum(weights) / len(weights) if weights else NAN,
            "matched_rarity_max": max(weights, default=NAN),
            "saturated_frequency": sum(
                self.rarity[t] * both.count(t) / (both.count(t) + 1.2) for t in matched
            ),
            "term_share": sum(t in asked for t in both) / max(len(both), 1),
            "frequency": sum(t in asked for t in both),
            "highest_frequency": max([both.count(t) for t in asked], default=0),
            "numbers_covered": sum(t in both for t in numbers) / len(numbers) if numbers else NAN,
        }

    def close(self, place: int) -> dict[str, float]:
        title, text, asked = self.titles[place], self.texts[place], self.asked
        stretches = {
            tuple(asked[a:z]) for a in range(len(asked)) for z in range(a + 1, len(asked) + 1)
        }
        run = max(
            [
                len(part)
                for part in stretches
                for field in (title, text)
                for at in range(len(field))
                if tuple(field[at : at + len(part)]) == part
            ],
            default=0,
        )
        pairs = set(pairwise(asked))
        neighbours = [*pairwise(title), *pairwise(text)]
        ordered = Counter(pairwise(text))
        near = Counter(
            pair
            for (i, a), (j, b) in combinations(enumerate(text), 2)
            if j - i < 8
            for pair in {(a, b), (b, a)}
        )
        held = {t for t in text if t in asked}
        spans = [
            z - a
            for a in range(len(text))
            for z in range(a + 1, len(text) + 1)
            if held and held <= set(text[a:z])
        ]
        windows = [
            sum(self.rarity[t] for t in set(text[a : a + 20]) & held) for a in range(len(text))
        ]
        firsts = [text.index(t) for t in held]
        return {
            "longest_run": run / max(len(asked), 1),
            "phrase": float(0 < len(asked) == run),
            "pairs_covered": len(pairs & set(neighbours)) / len(pairs) if pairs else NAN,
            "ordered_pairs": sum(ordered[p] / (ordered[p] + 1) for p in pairs),
            "near_pairs": sum(near[p] / (near[p] + 1) for p in pairs),
            "shortest_span": min(spans, default=NAN),
            "span_density": len(held) / min(spans) if spans else 0,
            "window_coverage": max(windows, default=0) / max(sum(self.rarity.values()), 1e-12),
            "first_match": min(firsts, default=NAN),
            "mean_first_match": sum(firsts) / len(firsts) if firsts else NAN,
        }

    def lexical(self, place: int) -> dict[str, float]:
        both, idf = self.titles[place] + self.texts[place], self.idf
        matched = [idf[t] for t in self.distinct if t in both]
        _, words, mean = self.field(place, "all")
        missed = [idf[t] for t in self.distinct if t not in both]
        unknown = [self.collection.df[t] == 0 for t in self.distinct]
        values = list(idf.values())
        return {
            **{f"bm25_{f}_{k1}_{b}": self.bm25(place, f, k1, b) for f, k1, b in BM25},
            "bm25_gap": self.first[place] - max(self.first),
            "bm25f": self.bm25f(place),
            **{f"dirichlet_{f}_{mu}": self.likelihood(place, f, mu=mu) for f, mu in DIRICHLET},
            **{f"jelinek_{f}_{s}": self.likelihood(place, f, share=s) for f, s in JELINEK},
            "idf_coverage": sum(matched) / max(sum(values), 1e-12),
            "matched_idf_mean": sum(matched) / len(matched) if matched else NAN,
            "matched_idf_max": max(matched, default=NAN),
            "missed_idf_max": max(missed, default=NAN),
            "tf_idf": sum(idf[t] * math.log(1 + both.count(t)) for t in self.asked),
            "relative_words": words / mean,
            "query_idf_mean": float(np.mean(values)) if values else NAN,
            "query_idf_max": max(values, default=NAN),
            "query_idf_deviation": float(np.std(values)) if values else NAN,
            "query_unknown": sum(unknown) / len(unknown) if unknown else NAN,
        }


def text_of(random: np.random.Generator, most: int) -> str:
    return " ".join(random.choice(WORDS, int(random.integers(0, most + 1))))


@pytest.mark.parametrize("seed", range(25))
def test_the_arrays_say_what_plain_counting_says(seed: int) -> None:
    random = np.random.default_rng(seed)
    titled = seed % 5 != 4  # a collection without any title, too
    passages = [
        Passage(str(n), text_of(random, 40), text_of(random, 5) if titled else "")
        for n in range(12)
    ]
    question = {0: "who is the", 1: "?"}.get(seed) or text_of(random, 6)
    if seed % 3 == 0:
        question += " unheard"
    collection = Counted(passages)
    shown = passages[:7]
    ranking = Ranking(Query("q", question), np.arange(7), np.linspace(1, 0, 7, dtype=np.float32))
    table = features(Candidates(ranking, shown, collection))
    plain = Plain(question, shown, collection)
    rows = [plain.row(place) for place in range(7)]
    for name in (*COVERAGE, *PROXIMITY, *LEXICAL):
        expected = [row[name] for row in rows]
        found = table[:, list(FEATURES).index(name)]
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6, err_msg=name)


def test_the_plain_one_knows_every_text_feature() -> None:
    passages = [Passage("a", "a flea", "dog")]
    row = Plain("flea", passages, Counted(passages)).row(0)
    assert set(row) == {*COVERAGE, *PROXIMITY, *LEXICAL}


def test_what_is_remembered_of_passages_never_changes_a_feature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(7)
    passages = [Passage(str(n), text_of(random, 30), text_of(random, 4)) for n in range(9)]
    collection, terms = Counted(passages), Terms()

    def table(question: str, used: Terms) -> np.ndarray:
        rows, scores = np.arange(9), np.ones(9, np.float32)
        ranking = Ranking(Query("q", question), rows, scores)
        return features(Candidates(ranking, passages, collection), used)

    questions = ["flea dog", "who is the", "1066 sea wind", "flea dog"]
    for _ in range(2):
        for question in questions:
            np.testing.assert_array_equal(table(question, terms), table(question, Terms()))
        monkeypatch.setattr("tamis.rerank.terms._LETTERS", 50)  # and now it forgets all the time
    assert table("", terms).shape == (9, len(FEATURES))

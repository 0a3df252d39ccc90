"""Neural rankers against hand-made numbers and plain loops."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData
from tamis.rerank.neural.drmm import histograms
from tamis.rerank.neural.mv_lstm import _strongest
from tamis.rerank.neural.pairs import Pairs, Side, cosines, side
from tamis.rerank.neural.rbf import RbfKernels, log_sums
from tamis.rerank.neural.spec import MODELS, NeuralSpec
from tamis.rerank.neural.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable

    from tamis.rerank.neural.scorer import Scorer

QUERY, PASSAGE = "how long does a flea live", "a flea lives for long days in the sea"


def one(scorer: Scorer, query: str, *passages: str) -> list[float]:
    """Scores of passages for one query."""
    ids = scorer.words.read(passages, scorer.spec.passage_pieces)
    asked = np.zeros(len(passages), np.int64)
    return scorer.scores_of(scorer.read_queries([query]), ids, asked).tolist()


def padded(given: Side, by: int) -> Side:
    """The same texts with more padding."""
    n, _, dim = given.vectors.shape
    return Side(
        torch.cat([given.vectors, torch.zeros(n, by, dim)], 1),
        torch.cat([given.weights, torch.zeros(n, by)], 1),
        torch.cat([given.mask, torch.zeros(n, by, dtype=torch.bool)], 1),
        given.lengths,
    )


class TestEveryModel:
    @pytest.mark.parametrize("name", MODELS)
    def test_padding_is_never_read(self, name: str, neural_scorer: Callable[..., Scorer]) -> None:
        scorer = neural_scorer(name)
        queries = side(scorer.words, scorer.read_queries([QUERY, "cat"]))
        passages = side(scorer.words, scorer.words.read([PASSAGE, "dog bread", "?"], 20))
        asked = torch.tensor([0, 1, 0])
        with torch.inference_mode():
            plain = scorer.model(Pairs(queries, passages, asked))
            again = scorer.model(Pairs(padded(queries, 3), padded(passages, 5), asked))
        torch.testing.assert_close(again, plain, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("name", MODELS)
    def test_every_weight_learns(self, name: str, neural_scorer: Callable[..., Scorer]) -> None:
        scorer = neural_scorer(name)
        queries = side(scorer.words, scorer.read_queries([QUERY, "cat dog"]))
        passages = side(scorer.words, scorer.words.read([PASSAGE, "dog bread", "wind sea"], 20))
        scores = scorer.model(Pairs(queries, passages, torch.tensor([0, 1, 0])))
        (scores * torch.tensor([1.0, -2.0, 0.5])).sum().backward()
        still = [key for key, x in scorer.model.named_parameters() if x.grad is None]
        assert not still
        scorer.model.zero_grad(set_to_none=True)

    @pytest.mark.parametrize("name", MODELS)
    def test_options_are_checked(self, name: str) -> None:
        with pytest.raises(BadData, match="colour"):
            NeuralSpec(name, vocabulary=5, dim=4, options={"colour": 1})

    def test_an_unknown_model_lists_the_known(self) -> None:
        with pytest.raises(BadArguments, match="mv-lstm"):
            NeuralSpec("bert", vocabulary=5, dim=4)


class TestKernels:
    def test_sums_are_those_of_a_plain_loop(self) -> None:
        kernels, rng = RbfKernels(11), np.random.default_rng(0)
        matched = torch.from_numpy(rng.uniform(-1, 1, (2, 3, 4)).astype(np.float32))
        mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
        found = kernels(matched, mask)
        centres = [1.0, *(0.9 - 0.2 * place for place in range(10))]
        for n, i, k in np.ndindex(2, 3, 11):
            width = 1e-3 if k == 0 else 0.1
            expected = sum(
                math.exp(-((float(matched[n, i, j]) - centres[k]) ** 2) / (2 * width**2))
                for j in range(4)
                if mask[n, j]
            )
            assert float(found[n, i, k]) == pytest.approx(expected, rel=1e-4, abs=1e-6)

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(st.integers(0, 6), min_size=1, max_size=6),
        st.lists(st.integers(0, 6), min_size=1, max_size=9),
    )
    def test_the_narrow_kernel_counts_exact_matches(
        self, query: list[int], passage: list[int]
    ) -> None:
        vectors = torch.eye(7)
        masks = torch.ones(1, len(query)).bool(), torch.ones(1, len(passage)).bool()
        matched = cosines(vectors[query][None], vectors[passage][None], *masks)
        sums = RbfKernels(11)(matched, masks[1])[0, :, 0]
        assert sums.tolist() == pytest.approx([passage.count(each) for each in query])

    def test_a_query_piece_without_weight_says_nothing(self) -> None:
        sums = torch.tensor([[[math.e, 1.0], [5.0, 7.0]]])
        found = log_sums(sums, torch.tensor([[2.0, 0.0]]))
        torch.testing.assert_close(found, torch.tensor([[0.2, 0.0]]))


class TestHistograms:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 999), st.integers(2, 40))
    def test_bins_sum_to_the_length_of_the_passage(self, seed: int, bins: int) -> None:
        rng = np.random.default_rng(seed)
        matched = torch.from_numpy(rng.uniform(-1, 1, (2, 3, 6)).astype(np.float32))
        mask = torch.arange(6) < torch.tensor([[4], [6]])
        found = histograms(matched, mask, bins)
        assert found.sum(2).tolist() == [[4.0] * 3, [6.0] * 3]

    def test_by_hand(self) -> None:
        matched = torch.tensor([[[-1.0, -0.6, 0.1, 0.99, 1.0]]])
        found = histograms(matched, torch.ones(1, 5).bool(), 5)
        assert found.tolist() == [[[2, 0, 1, 1, 1]]]


def test_the_strongest_matches_come_falling_and_are_filled_with_nothing() -> None:
    matched = torch.tensor([[[0.2, 0.9], [-0.5, 0.4]], [[-0.3, 0.8], [0.7, 0.6]]])
    query = torch.tensor([[True, True], [True, False]])
    passage = torch.tensor([[True, True], [True, False]])
    found = _strongest(matched, (query, passage), 5)
    expected = torch.tensor([[0.9, 0.4, 0.2, -0.5, 0.0], [-0.3, 0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(found, expected)


class TestRecurrent:
    @pytest.mark.parametrize(("order", "pieces"), [("qdq", 2 * 2 + 3 + 2), ("dq", 6), ("qd", 6)])
    def test_what_is_read(
        self, order: str, pieces: int, neural_scorer: Callable[..., Scorer]
    ) -> None:
        scorer = neural_scorer("recurrent", order=order)
        queries = side(scorer.words, scorer.read_queries(["cat dog"]))
        passages = side(scorer.words, scorer.words.read(["bread recipe flea"], 20))
        pairs = Pairs(queries, passages, torch.tensor([0]))
        states, packed = scorer.model._reading(pairs)
        assert states.shape == (pieces, 32)
        assert packed.lengths.tolist() == [pieces]

    def test_the_order_of_words_is_read(self, neural_scorer: Callable[..., Scorer]) -> None:
        scorer = neural_scorer("recurrent")
        one_way, other = one(scorer, "cat", "cat bread dog", "dog bread cat")
        assert abs(one_way - other) > 1e-4


def test_knrm_reads_no_order(neural_scorer: Callable[..., Scorer]) -> None:
    one_way, other = one(neural_scorer("knrm"), "cat sea", "cat bread dog", "dog bread cat")
    assert one_way == pytest.approx(other, abs=1e-6)


def test_an_untouched_map_is_none(neural_scorer: Callable[..., Scorer]) -> None:
    texts = PASSAGE, "dog bread"
    mapped = neural_scorer("knrm", mapped=True)
    plain = neural_scorer("knrm")
    mapped.model.load_state_dict(plain.model.state_dict(), strict=False)
    assert one(mapped, QUERY, *texts) == pytest.approx(one(plain, QUERY, *texts))


class TestTk:
    def test_an_option_that_does_not_fit(self) -> None:
        with pytest.raises(BadData, match="heads divide"):
            NeuralSpec("tk", vocabulary=5, dim=4, options={"width": 10, "heads": 3})

    def test_with_all_weight_on_the_words_it_is_knrm(
        self, neural_scorer: Callable[..., Scorer]
    ) -> None:
        tk, knrm = neural_scorer("tk"), neural_scorer("knrm")
        knrm.model.load_state_dict(
            {k: v for k, v in tk.model.state_dict().items() if k in knrm.model.state_dict()}
        )
        with torch.no_grad():
            tk.model.widen.bias.fill_(1.0)
            assert one(tk, QUERY, PASSAGE) != pytest.approx(one(knrm, QUERY, PASSAGE), abs=1e-4)
            tk.model.share.fill_(50.0)
        texts = PASSAGE, "dog bread"
        assert one(tk, QUERY, *texts) == pytest.approx(one(knrm, QUERY, *texts), abs=1e-6)


class TestWords:
    def test_a_text_without_pieces_is_one_blank(self, tiny_words: Words) -> None:
        (blank,) = tiny_words.read([""], 5)
        assert blank.tolist() == [tiny_words.blank]
        vectors, weights = tiny_words.look_up(torch.from_numpy(blank))
        assert not vectors.any()
        assert not weights.any()

    def test_a_text_is_cut(self, tiny_words: Words) -> None:
        assert [len(ids) for ids in tiny_words.read(["cat dog cat dog", "cat"], 3)] == [3, 1]

    def test_vectors_become_directions_and_weights(self) -> None:
        vectors = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 1.0]], np.float32)

        class Three:
            vocabulary = 3

        words = Words.of(Three(), vectors)  # type: ignore[arg-type]
        np.testing.assert_allclose(words.directions, [[0.6, 0.8], [0, 0], [0, 1]], atol=1e-3)
        np.testing.assert_allclose(words.weights, [2.5, 0, 0.5])

    def test_another_vocabulary_is_refused(self, tiny_words: Words) -> None:
        with pytest.raises(BadData, match="another vocabulary"):
            Words(tiny_words.pieces, np.zeros((3, 4)), np.zeros(3))

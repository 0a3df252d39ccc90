"""TKL against TK where they meet, and its windows against plain loops."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from tamis.core.errors import BadArguments
from tamis.rerank.neural.pairs import Pairs, side
from tamis.rerank.neural.tkl import TklOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from tamis.rerank.neural.scorer import Scorer

LONG = "a flea lives for long days in the sea how long does the cat of wind live a dog"


@pytest.fixture
def drawn(neural_scorer: Callable[..., Scorer]) -> Callable[..., Scorer]:
    """(model, **options) -> a scorer whose every weight is drawn, so that nothing is a zero."""

    def make(model: str, **options: object) -> Scorer:
        scorer = neural_scorer(model, **options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            for weights in scorer.model.parameters():
                torch.nn.init.normal_(weights, std=0.3)
        return scorer

    return make


class TestContext:
    def test_a_text_of_one_chunk_is_read_as_by_tk(self, drawn: Callable[..., Scorer]) -> None:
        tk, tkl = drawn("tk"), drawn("tkl", chunk=20)
        shared = tk.model.state_dict()
        tkl.model.load_state_dict({**tkl.model.state_dict(), **shared})
        texts = side(tk.words, tk.words.read(["a flea lives", "cat"], 20))
        with torch.no_grad():
            found = tkl.model.contextualised(texts)
            expected = tk.model.contextualised(texts)
        torch.testing.assert_close(found[texts.mask], expected[texts.mask], rtol=0, atol=1e-5)

    def test_a_piece_sees_its_chunk_and_the_overlap_alone(
        self, drawn: Callable[..., Scorer]
    ) -> None:
        scorer = drawn("tkl", chunk=4, overlap=2)
        ids = scorer.words.read([LONG], 24)[0]
        other = ids.copy()
        other[10] = (other[10] + 1) % 5  # in the third chunk, 8 to 11, and the overlap of the 4th
        with torch.no_grad():
            one, two = (
                scorer.model.contextualised(side(scorer.words, [each]))[0] for each in (ids, other)
            )
        changed = (one - two).abs().amax(1) > 1e-6
        assert changed[8:12].all()
        assert not changed[:8].any()
        assert changed[12:16].all()
        assert not changed[16:].any()

    def test_other_company_changes_nothing(self, drawn: Callable[..., Scorer]) -> None:
        scorer = drawn("tkl", chunk=4, overlap=2)
        short, long = scorer.words.read(["cat of wind", LONG], 24)
        with torch.no_grad():
            alone = scorer.model.contextualised(side(scorer.words, [short]))[0]
            beside = scorer.model.contextualised(side(scorer.words, [short, long]))[0, :3]
        torch.testing.assert_close(beside, alone, rtol=0, atol=1e-5)


def test_scores_are_those_of_plain_loops(drawn: Callable[..., Scorer]) -> None:
    scorer = drawn("tkl", window=4, stride=2, best=2)
    model = scorer.model
    queries = side(scorer.words, scorer.read_queries(["how long does a flea live"]))
    passages = side(scorer.words, scorer.words.read([LONG, "the cat", "wind over a sea dog"], 24))
    pairs = Pairs(queries, passages, torch.zeros(3, dtype=torch.int64))
    with torch.no_grad():
        found = model(pairs).tolist()
        left = torch.nn.functional.normalize(model.contextualised(queries), dim=2)[0]
        right = torch.nn.functional.normalize(model.contextualised(passages), dim=2)
        gate = model.gate(queries)[0]
        w, b = model.out.weight[0], float(model.out.bias)
        for number, length in enumerate(passages.lengths.tolist()):
            scores = []
            for start in range(0, max(0, length - 4) + 2, 2)[: 1 + -(-max(0, length - 4) // 2)]:
                inside = range(start, min(start + 4, length))
                score = b
                for k, (centre, width) in enumerate(
                    zip(model.kernels.centres, model.kernels.widths, strict=True)
                ):
                    for i in range(len(left)):
                        total = sum(
                            math.exp(
                                -float((left[i] @ right[number, j] - centre) ** 2 / (2 * width**2))
                            )
                            for j in inside
                        )
                        known = torch.tensor([float(queries.weights[0, i]), len(inside) / 4])
                        a, p, c = model.saturation(known).tolist()
                        root = max(total, 1e-10) ** (1 / (1 + math.exp(-p)))
                        score += 0.1 * float(gate[i] * w[k]) * ((1 + a) * root - c)
                scores.append(score)
            assert found[number] == pytest.approx(
                best_windows(scores, model.shares.numpy(), 2, 2), rel=1e-3, abs=1e-4
            )


def best_windows(scores: list[float], shares: np.ndarray, best: int, apart: int) -> float:
    """Greedily the best, ``apart`` places from each other, with what stands around them."""
    total, free = 0.0, set(range(len(scores)))
    for rank in range(best):
        if not free:
            break
        top = max(free, key=lambda place: (scores[place], -place))
        for offset, share in zip((0, -1, 1, -2, 2), shares[rank], strict=True):
            if 0 <= top + offset < len(scores):
                total += float(share) * scores[top + offset]
        free = {place for place in free if abs(place - top) >= apart}
    return total


@pytest.mark.parametrize(
    "options", [{"chunk": 0}, {"overlap": -1}, {"stride": 31}, {"best": 0}, {"heads": 7}]
)
def test_wrong_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(BadArguments, match="expected"):
        TklOptions(**options)

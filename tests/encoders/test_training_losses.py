"""Losses of training against sentence-transformers' own, on the same vectors."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
losses = pytest.importorskip("sentence_transformers.losses")

from torch import Tensor, nn  # noqa: E402

from tamis.encoders.training.losses import (  # noqa: E402
    cosine_distance,
    in_batch_nce,
    listwise_kl,
    margin_mse,
    over_dimensions,
    triplet_margin,
)

N, K, DIM = 6, 3, 24


class Given(nn.Module):
    """A model whose features are its vectors already."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return dict(features)

    def get_embedding_dimension(self) -> int:
        return DIM

    get_sentence_embedding_dimension = get_embedding_dimension


def unit(*shape: int, seed: int) -> Tensor:
    drawn = torch.randn(*shape, DIM, generator=torch.Generator().manual_seed(seed))
    return nn.functional.normalize(drawn, dim=-1)


@pytest.fixture
def columns() -> list[Tensor]:
    """Queries, their positives and K negatives of each, [N, DIM] each."""
    return [unit(N, seed=seed) for seed in range(2 + K)]


def theirs(loss: Any, columns: list[Tensor], labels: Tensor | None = None) -> float:
    features = [{"sentence_embedding": column.clone()} for column in columns]
    return float(loss(features, labels))


def scores(columns: list[Tensor]) -> Tensor:
    """[N, N (1 + K)]: the first N passages are the positives."""
    return columns[0] @ torch.cat(columns[1:]).T


def listed(columns: list[Tensor]) -> Tensor:
    """[N, 1 + K]: each query with its own passages."""
    return torch.stack([(columns[0] * column).sum(1) for column in columns[1:]], 1)


def all_there() -> Tensor:
    return torch.ones(N, 1 + K, dtype=torch.bool)


def own_answers() -> Tensor:
    return torch.eye(N, N * (1 + K), dtype=torch.bool)


@pytest.mark.parametrize("negatives", [0, 1, K])
def test_infonce_is_multiple_negatives_ranking(columns: list[Tensor], negatives: int) -> None:
    given = columns[: 2 + negatives]
    answers = torch.eye(N, N * (1 + negatives), dtype=torch.bool)
    ours = in_batch_nce(scores(given), torch.arange(N), answers, 0.05)
    loss = losses.MultipleNegativesRankingLoss(Given(), scale=20.0)
    assert float(ours) == pytest.approx(theirs(loss, given), rel=1e-5)


def test_infonce_both_ways_is_the_symmetric_loss(columns: list[Tensor]) -> None:
    ours = in_batch_nce(scores(columns), torch.arange(N), own_answers(), 0.05, both_ways=True)
    both = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    try:
        loss = losses.MultipleNegativesRankingLoss(Given(), scale=20.0, **both)
    except TypeError:  # before these options there was a class of its own
        loss = losses.MultipleNegativesSymmetricRankingLoss(Given(), scale=20.0)
    assert float(ours) == pytest.approx(theirs(loss, columns), rel=1e-5)


def test_an_answer_of_another_pair_is_no_negative(columns: list[Tensor]) -> None:
    """Query 0 is also answered by passage 1, which is near: as if that passage were not there."""
    columns[1][1] = columns[0][0]
    found, positives = scores(columns[:2]), torch.arange(N)
    answers = own_answers()[:, :N]
    answers[0, 1] = True
    masked = in_batch_nce(found, positives, answers, 0.05)
    rows = [nn.functional.cross_entropy(found[i] / 0.05, torch.tensor(i)) for i in range(1, N)]
    kept = [0, *range(2, N)]
    rows.append(nn.functional.cross_entropy(found[0, kept] / 0.05, torch.tensor(0)))
    assert float(masked) == pytest.approx(float(torch.stack(rows).mean()), rel=1e-6)


def test_a_query_of_the_same_answer_is_no_negative_backwards(columns: list[Tensor]) -> None:
    """Queries 0 and 1 share passage 0; asked for passage 0's query, neither stands against the
    other."""
    found = scores(columns[:2])[:, 1:]  # five passages: 1 answers 0 and 1, the others one each
    positives = torch.tensor([0, 0, 1, 2, 3, 4])
    answers = nn.functional.one_hot(positives, N - 1).bool()
    both = in_batch_nce(found, positives, answers, 0.05, both_ways=True)
    forth = in_batch_nce(found, positives, answers, 0.05)
    back = []
    for row, place in enumerate(positives.tolist()):
        rivals = [i for i in range(N) if i == row or positives[i] != place]
        logits = found[rivals, place] / 0.05
        back.append(nn.functional.cross_entropy(logits, torch.tensor(rivals.index(row))))
    expected = (float(forth) + float(torch.stack(back).mean())) / 2
    assert float(both) == pytest.approx(expected, rel=1e-6)


def test_triplet_margin_is_theirs_by_cosine(columns: list[Tensor]) -> None:
    metric = losses.TripletDistanceMetric.COSINE
    loss = losses.TripletLoss(Given(), distance_metric=metric, triplet_margin=0.2)
    each = [theirs(loss, [*columns[:2], negative]) for negative in columns[2:]]
    ours = triplet_margin(listed(columns), all_there(), 0.2)
    assert float(ours) == pytest.approx(sum(each) / K, rel=1e-5)


@pytest.mark.parametrize("negatives", [1, K])
def test_margin_mse_is_theirs(columns: list[Tensor], negatives: int) -> None:
    given = columns[: 2 + negatives]
    teacher = torch.randn(N, 1 + negatives, generator=torch.Generator().manual_seed(9))
    ours = margin_mse(listed(given), teacher, all_there()[:, : 1 + negatives])
    loss = losses.MarginMSELoss(Given())
    margins = teacher[:, :1] - teacher[:, 1:]
    assert float(ours) == pytest.approx(theirs(loss, given, margins), rel=1e-5)


def test_listwise_kl_is_theirs(columns: list[Tensor]) -> None:
    """Theirs is multiplied by the squared temperature."""
    teacher = torch.randn(N, 1 + K, generator=torch.Generator().manual_seed(9))
    ours = listwise_kl(listed(columns), teacher, all_there(), 0.5)
    loss = losses.DistillKLDivLoss(Given(), temperature=0.5)
    assert float(ours) * 0.25 == pytest.approx(theirs(loss, columns, teacher), rel=1e-5)


def test_absent_negatives_count_for_nothing(columns: list[Tensor]) -> None:
    """A row of two negatives, one of none, and others of three: as if each were alone."""
    found = listed(columns)
    teacher = torch.randn(N, 1 + K, generator=torch.Generator().manual_seed(9))
    present = all_there()
    present[0, 2] = False
    present[1, 1:] = False
    poisoned = found.masked_fill(~present, torch.nan)
    pairs = present[:, 1:]
    short = (0.2 - (found[:, :1] - found[:, 1:])).relu()
    margins = (found[:, :1] - found[:, 1:] - teacher[:, :1] + teacher[:, 1:]).square()
    kl = [
        listwise_kl(
            found[row : row + 1, own],
            teacher[row : row + 1, own],
            present[:1, :1].expand(1, len(own)),
            0.5,
        )
        for row, own in ((row, present[row].nonzero()[:, 0].tolist()) for row in [0, *range(2, N)])
    ]
    for ours, expected in (
        (triplet_margin(poisoned, present, 0.2), short[pairs].mean()),
        (margin_mse(poisoned, teacher, present), margins[pairs].mean()),
        (listwise_kl(poisoned, teacher, present, 0.5), torch.stack(kl).mean()),
    ):
        assert float(ours) == pytest.approx(float(expected), rel=1e-5)


def test_nobody_with_a_negative_is_zero_with_zero_gradients() -> None:
    found = torch.randn(N, 1 + K, requires_grad=True)
    teacher, nobody = torch.randn(N, 1 + K), torch.zeros(N, 1 + K, dtype=torch.bool)
    total = (
        triplet_margin(found, nobody, 0.2)
        + margin_mse(found, teacher, nobody)
        + listwise_kl(found, teacher, nobody, 0.5)
    )
    total.backward()
    assert float(total.detach()) == 0
    assert (found.grad == 0).all()


def test_gradients_are_finite_where_negatives_are_absent(columns: list[Tensor]) -> None:
    found = listed(columns).requires_grad_()
    present = all_there()
    present[2:, 2:] = False
    listwise_kl(found, torch.randn(N, 1 + K), present, 0.05).backward()
    assert torch.isfinite(found.grad).all()
    assert (found.grad[2:, 2:] == 0).all()


@pytest.mark.parametrize("dims", [[8], [16, 8]])
def test_over_dimensions_is_matryoshka(columns: list[Tensor], dims: list[int]) -> None:
    """Theirs is a sum over all sizes, ours the mean."""

    def term(queries: Tensor, passages: Tensor) -> Tensor:
        found = queries @ passages.T
        return in_batch_nce(found, torch.arange(N), own_answers(), 0.05)

    ours = over_dimensions(term, dims, columns[0], torch.cat(columns[1:]))
    given = Given()
    inner = losses.MultipleNegativesRankingLoss(given, scale=20.0)
    loss = losses.MatryoshkaLoss(given, inner, [DIM, *dims])
    assert float(ours) * (1 + len(dims)) == pytest.approx(theirs(loss, columns), rel=1e-5)


def test_over_dimensions_truncates_both_sides_of_a_distance(columns: list[Tensor]) -> None:
    student, teacher = columns[:2]
    ours = over_dimensions(cosine_distance, [8], student, teacher)
    whole = 1 - nn.functional.cosine_similarity(student, teacher).mean()
    short = 1 - nn.functional.cosine_similarity(student[:, :8], teacher[:, :8]).mean()
    assert float(ours) == pytest.approx(float(whole + short) / 2, rel=1e-5)

"""Contrastive fine-tuning of small encoders on a toy language of two vocabularies."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import tamis
from tamis.core.errors import BadArguments, BadData, Mismatch, MissingResource, UnknownComponent
from tamis.core.progress import Silent
from tamis.encoders.recurrent.kinds import load_encoder
from tamis.encoders.training import frozen_start, named_models, recipes, students
from tamis.encoders.training.loop import train
from tamis.encoders.training.pair_batches import PairTexts
from tamis.encoders.training.pairs import Pair, write_pairs
from tamis.encoders.training.recipes import prepare
from tamis.encoders.training.spec import spec_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tamis.encoders.training.contrastive import Contrastive
    from tamis.encoders.training.spec import TrainingSpec

ASKED = [
    "river",
    "stone",
    "cloud",
    "horse",
    "bread",
    "glass",
    "winter",
    "garden",
    "letter",
    "music",
    "bridge",
    "candle",
]
TOLD = [
    "engine",
    "purple",
    "salt",
    "doctor",
    "window",
    "paper",
    "silver",
    "monkey",
    "rocket",
    "cotton",
    "island",
    "thunder",
]
N = len(ASKED)


def pairs(*, negatives: int = 0, scores: bool = False) -> list[Pair]:
    """Query i asks by one word and is answered by another one; the words are learnt by heart.
    Negatives are the next passages, the farther the lower their score."""
    found = []
    for i, word in enumerate(ASKED):
        others = tuple(f"it was the {TOLD[(i + k) % N]}" for k in range(1, 1 + negatives))
        said = tuple(0.9 - 0.2 * k for k in range(1 + negatives)) if scores else ()
        found.append(Pair(f"where is the {word}", f"it was the {TOLD[i]}", others, said))
    return found


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two encoders to begin with, and files of pairs."""
    folder = tmp_path_factory.mktemp("contrastive")
    tamis.folded(1, 32, seed=1, space="abc", query_prefix="q: ").save(folder / "folded")
    tamis.recurrent("mingru", 1, 32, seed=1).save(folder / "recurrent")
    write_pairs(folder / "plain.jsonl", pairs())
    write_pairs(folder / "scored.jsonl", pairs(negatives=3, scores=True))
    return folder


def spec(base: Path, file: str = "scored.jsonl", **tables: Any) -> TrainingSpec:
    """Small and fast; ``contrastive``, ``schedule`` and ``model`` are added to its tables."""
    body: dict[str, Any] = {
        "recipe": "contrastive",
        "seed": 5,
        "pairs": {"file": file},
        "model": {"start": "folded", **tables.pop("model", {})},
        "contrastive": {"batch_pairs": 4, "negatives": 2, **tables.pop("contrastive", {})},
        "schedule": {
            "epochs": 10,
            "rate": 0.01,
            "table_rate": 0.05,
            "warmup": 2,
            **tables.pop("schedule", {}),
        },
        **tables,
    }
    return spec_of(body, "spec.toml", base)


def made(wanted: TrainingSpec, cache: Path) -> Contrastive:
    found: Any = prepare(wanted, cache / "cache")
    return found


def ranks(recipe: Contrastive) -> float:
    """The mean reciprocal rank of the positives among all positives."""
    encoder = recipe.trainee.encoder()
    own = pairs()
    queries = encoder.encode_queries([pair.query for pair in own])
    scores = queries @ encoder.encode_passages([pair.positive for pair in own]).T
    return float((1 / (1 + (scores > scores.diagonal()[:, None]).sum(1))).mean())


def weights(recipe: Contrastive) -> dict[str, torch.Tensor]:
    return {name: x.detach().clone() for name, x in recipe.trainee.module.named_parameters()}


class StopAt:
    """Progress that breaks the run off after so many steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def stage(self, name: str, total: int | None) -> Any:
        del name, total
        return nullcontext(self._advance)

    def _advance(self, done: int) -> None:
        self._left -= done
        if self._left <= 0:
            raise KeyboardInterrupt

    def note(self, words: str) -> None:
        del words


@pytest.mark.parametrize("start", ["folded", "recurrent"])
@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"both_ways": True, "keep": 0.5},
        {"infonce": 0, "triplet": 1.0, "negatives": 3},
        {"infonce": 0, "kl": 1.0, "negatives": 3},
        {"infonce": 0, "margin_mse": 1.0, "negatives": 3},
        {"dims": [8, 16]},
    ],
    ids=str,
)
def test_every_loss_falls_and_lifts_the_ranking(
    base: Path, tmp_path: Path, start: str, terms: dict[str, Any]
) -> None:
    recipe = made(spec(base, contrastive=terms, model={"start": start, "kind": start}), tmp_path)
    batches = list(recipe.batches(0))
    before, ranked = _total(recipe, batches[:3]), ranks(recipe)
    train(recipe, recipe._spec, tmp_path / "run", progress=Silent())
    after, lifted = _total(recipe, batches[:3]), ranks(recipe)
    assert after < before / 2
    assert lifted > max(0.6, ranked + 0.2)


def _total(recipe: Contrastive, batches: list[Any]) -> float:
    with torch.no_grad():
        return sum(float(x) for batch in batches for x in recipe.losses(batch).values())


def test_matryoshka_teaches_short_vectors(base: Path, tmp_path: Path) -> None:
    def short(dims: list[int]) -> float:
        recipe = made(spec(base, contrastive={"dims": dims}), tmp_path)
        train(recipe, recipe._spec, tmp_path / f"run {dims}", progress=Silent())
        encoder, own = recipe.trainee.encoder(), pairs()
        queries = encoder.encode_queries([pair.query for pair in own])[:, :4]
        passages = encoder.encode_passages([pair.positive for pair in own])[:, :4]
        passages = passages / np.linalg.norm(passages, axis=1, keepdims=True)
        scores = queries @ passages.T
        return float((1 / (1 + (scores > scores.diagonal()[:, None]).sum(1))).mean())

    assert short([4]) > short([]) + 0.1


def test_keep_holds_the_vectors(base: Path, tmp_path: Path) -> None:
    def moved(keep: float) -> float:
        recipe = made(spec(base, contrastive={"keep": keep}), tmp_path)
        texts = [pair.positive for pair in pairs()]
        before = recipe.trainee.encoder().encode_passages(texts)
        train(recipe, recipe._spec, tmp_path / f"run {keep}", progress=Silent())
        after = recipe.trainee.encoder().encode_passages(texts)
        return float(1 - (before * after).sum(1).mean())

    assert moved(3.0) < moved(0.0) / 2


def test_only_what_was_kept_near_stays_in_its_space(base: Path, tmp_path: Path) -> None:
    for keep, space in ((0.0, ""), (1.0, "abc")):
        recipe = made(spec(base, contrastive={"keep": keep}), tmp_path)
        recipe.trainee.save(tmp_path / f"model {keep}", trained_on=recipe.trained_on)
        card = load_encoder(tmp_path / f"model {keep}").card
        assert (card.space == "abc") == (space == "abc")
        text = (tmp_path / f"model {keep}" / "README.md").read_text()
        assert "Trained on 12 pairs of scored.jsonl, by infonce" in text


def test_goals_are_those_of_the_start_though_the_model_learns(base: Path, tmp_path: Path) -> None:
    """They are asked for when the run is half over, as after a kill."""
    recipe = made(spec(base, contrastive={"keep": 1.0}), tmp_path)
    texts = [pair.query for pair in pairs()]
    before = recipe.trainee.encoder().encode_queries(texts)
    with torch.no_grad():
        for parameter in recipe.trainee.module.parameters():
            parameter.add_(torch.randn(parameter.shape))
    batch, goals = next(recipe.batches(7))
    places = [texts.index(recipe._pairs.queries[row]) for row in batch.queries]
    assert np.abs(goals[: len(places)] - before[places]).max() < 2e-3


def long(base: Path) -> TrainingSpec:
    terms = {"keep": 0.5, "kl": 0.3, "both_ways": True}
    return spec(base, contrastive=terms, schedule={"epochs": 5, "checkpoint_every": 3})


@pytest.fixture(scope="module")
def unbroken(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("unbroken")
    recipe = made(long(base), folder)
    assert recipe.steps == 15
    train(recipe, long(base), folder / "run", progress=Silent())
    return weights(recipe)


@pytest.mark.parametrize("stop", [1, 3, 4, 14])
def test_killed_and_resumed_ends_with_the_same_weights(
    base: Path, tmp_path: Path, unbroken: dict[str, torch.Tensor], stop: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(made(long(base), tmp_path), long(base), tmp_path / "run", progress=StopAt(stop))
    resumed = made(long(base), tmp_path)
    train(resumed, long(base), tmp_path / "run", progress=Silent())
    for name, found in weights(resumed).items():
        assert torch.equal(found, unbroken[name]), name


def test_batches_depend_on_seed_and_step_alone(base: Path, tmp_path: Path) -> None:
    recipe = made(spec(base), tmp_path)
    all_of_them = [batch for batch, _ in recipe.batches(0)]
    later = [batch for batch, _ in recipe.batches(4)]
    for one, other in zip(all_of_them[4:], later, strict=True):
        for name in ("queries", "passages", "columns", "present", "answers", "scores"):
            assert (getattr(one, name) == getattr(other, name)).all()
    per_epoch = len(all_of_them) // 10
    for start in range(0, len(all_of_them), per_epoch):
        epoch = [batch.queries for batch in all_of_them[start : start + per_epoch]]
        assert sorted(np.concatenate(epoch)) == list(range(N))
    orders = {tuple(batch.queries) for batch in all_of_them}
    assert len(orders) > per_epoch
    another = made(replace(spec(base), seed=6), tmp_path)
    assert (next(another.batches(0))[0].queries != all_of_them[0].queries).any()


def test_batches_by_tokens_hold_as_many_on_average(base: Path, tmp_path: Path) -> None:
    wanted = spec(base, contrastive={"batch_pairs": 0}, schedule={"batch_tokens": 60, "epochs": 1})
    recipe = made(wanted, tmp_path)
    counts = []
    for batch, _ in recipe.batches(0):
        queries, passages = recipe._tokens
        counts.append(
            queries.lengths[batch.queries].sum()
            + passages.lengths[batch.columns][batch.present].sum()
        )
    assert len(counts) == recipe.steps > 1
    assert abs(np.mean(counts) - 60) < 15


def test_more_negatives_than_asked_for_take_turns() -> None:
    texts = PairTexts([Pair("q", "p", ("a", "b", "c"), (0.9, 0.1, 0.2, 0.3)), Pair("r", "o")])
    score = {"a": 0.1, "b": 0.2, "c": 0.3}
    seen = set()
    for step in range(20):
        batch = texts.batch(np.array([0, 1]), 2, np.random.default_rng(step))
        assert batch.present.tolist() == [[True] * 3, [True, False, False]]
        assert batch.scored.tolist() == [True, False]
        drawn = [texts.passages[batch.passages[column]] for column in batch.columns[0]]
        assert drawn[0] == "p"
        assert batch.scores[0].tolist() == pytest.approx([0.9, score[drawn[1]], score[drawn[2]]])
        seen.add(tuple(drawn[1:]))
    assert seen == {("a", "b"), ("a", "c"), ("b", "c")}


def test_what_answers_a_query_is_never_its_negative() -> None:
    """Two queries of one passage, a query of two passages, and a mined negative that answers."""
    texts = PairTexts(
        [
            Pair("q", "shared", ("x", "second", "x"), (3.0, 2.0, 1.0, 0.0)),
            Pair("r", "shared"),
            Pair("q", "second"),
        ]
    )
    batch = texts.batch(np.arange(3), 3, np.random.default_rng(0))
    passages = [texts.passages[row] for row in batch.passages]
    assert sorted(passages) == ["second", "shared", "x"]
    assert batch.present.sum(1).tolist() == [2, 1, 1]
    assert batch.scores[0].tolist() == [3.0, 2.0, 0.0, 0.0]
    for row, known in enumerate([{"shared", "second"}, {"shared"}, {"shared", "second"}]):
        assert {passages[place] for place in np.flatnonzero(batch.answers[row])} == known


def test_shared_answers_give_no_gradient_against_each_other(base: Path, tmp_path: Path) -> None:
    """All pairs of a batch have the same passage: there is nothing to tell apart."""
    write_pairs(tmp_path / "same.jsonl", [Pair(f"the {word}", "one passage") for word in ASKED])
    recipe = made(spec(tmp_path, "same.jsonl", model={"start": str(base / "folded")}), tmp_path)
    for batch, _ in recipe.batches(28):
        losses = recipe.losses((batch, None))
        assert float(losses["infonce"].detach()) == 0


def _first_losses(base: Path, folder: Path, given: list[Pair], **terms: Any) -> dict[str, float]:
    """Of one batch of all pairs."""
    write_pairs(folder / "given.jsonl", given)
    own = {"kl": 1.0, "margin_mse": 1.0, "negatives": 3, "batch_pairs": 0, **terms}
    start = {"start": str(base / "folded")}
    recipe = made(spec(folder, "given.jsonl", contrastive=own, model=start), folder)
    assert recipe.steps == 10
    found = recipe.losses(next(recipe.batches(0)))
    return {name: float(x.detach()) for name, x in found.items()}


def test_pairs_without_scores_are_left_out_of_what_needs_them(base: Path, tmp_path: Path) -> None:
    scored = pairs(negatives=3, scores=True)
    unscored = [replace(pair, scores=()) for pair in scored]
    mixed = _first_losses(base, tmp_path, [*scored[:5], *unscored[5:]])
    alone = _first_losses(base, tmp_path, scored[:5])
    for name in ("kl", "margin_mse"):
        assert mixed[name] == pytest.approx(alone[name], rel=1e-4)
    assert mixed["infonce"] > alone["infonce"] * 1.01


def test_scores_of_another_scale_are_brought_to_that_of_cosines(base: Path, tmp_path: Path) -> None:
    scored = pairs(negatives=3, scores=True)
    large = [replace(pair, scores=tuple(20 * x for x in pair.scores)) for pair in scored]
    found = _first_losses(base, tmp_path, large, score_scale=0.05)
    assert found == pytest.approx(_first_losses(base, tmp_path, scored), rel=1e-4)


def test_held_out_queries_are_watched_and_never_learnt(base: Path, tmp_path: Path) -> None:
    wanted = spec(base, contrastive={"held_out": 4, "keep": 0.5}, schedule={"evaluate_every": 5})
    recipe = made(wanted, tmp_path)
    learnt = set(recipe._pairs.queries)
    held = {pair.query for pair in recipe._held_out}
    assert len(held) == 4
    assert not held & learnt
    assert len(held | learnt) == N
    seen = recipe.watch()
    assert set(seen) == {"held-out RR", "cosine query", "cosine passage"}
    assert seen["cosine query"] > 0.999
    train(recipe, wanted, tmp_path / "run", progress=Silent())
    assert recipe.watch()["cosine query"] < 0.999


def test_the_watched_rank_is_that_of_the_best_answer(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores by hand: ranks 1, 2 (a tie loses) and 2."""

    class ByHand:
        def encode_queries(self, texts: list[str]) -> np.ndarray:
            return np.eye(3, dtype=np.float32)[[["a", "b", "c"].index(text) for text in texts]]

        def encode_passages(self, texts: list[str]) -> np.ndarray:
            by_text = {"pa": [9, 5, 8], "pa2": [0, 0, 0], "pb": [1, 5, 0], "pc": [2, 1, 7]}
            return np.array([by_text[text] for text in texts], np.float32)

    own = [Pair("a", "pa"), Pair("a", "pa2"), Pair("b", "pb"), Pair("c", "pc")]
    others = [Pair(f"x{i}", f"y{i}") for i in range(3)]
    write_pairs(tmp_path / "own.jsonl", [*own, *others])
    wanted = spec(tmp_path, "own.jsonl", model={"start": str(base / "folded")})
    recipe = made(wanted, tmp_path)
    recipe._held_out = own
    monkeypatch.setattr(recipe.trainee, "encoder", ByHand)
    assert recipe.watch()["held-out RR"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


def test_pairs_are_made_by_whoever_is_handed_in(base: Path, tmp_path: Path) -> None:
    table = {"source": "title", "corpus": "there/corpus.jsonl", "negatives": 2}
    asked = []

    def make(given: Any) -> list[Pair]:
        asked.append(given)
        return pairs()

    recipe = prepare(spec(base, pairs=table), tmp_path, make)
    assert asked == [table]
    assert "12 pairs of source title of corpus.jsonl" in recipe.trained_on
    with pytest.raises(BadArguments, match=r"\[pairs\] has the keys source, corpus, negatives"):
        prepare(spec(base, pairs=table), tmp_path)
    with pytest.raises(BadData, match=r"\[pairs\]: not one pair"):
        prepare(spec(base, pairs=table), tmp_path, lambda _: [])


BAD = [
    ({"contrastive": {"infonce": -1.0}}, BadData, r"spec.toml \[contrastive\]: .*infonce is -1"),
    ({"contrastive": {"infonce": 0}}, BadData, "infonce, triplet, margin_mse, kl are all 0"),
    ({"contrastive": {"temperature": 0}}, BadData, r"\[contrastive\] temperature is 0"),
    ({"contrastive": {"guess": 1}}, BadData, r"\[contrastive\] has the key 'guess'"),
    ({"contrastive": {"dims": [0]}}, BadData, r"\[contrastive\] dims is 0"),
    ({"contrastive": {"kl": 1, "negatives": 0}}, BadData, "kl needs negatives, which is 0"),
    (
        {"contrastive": {"triplet": 1}, "file": "plain.jsonl"},
        BadData,
        "triplet is 1, .*plain.jsonl",
    ),
    ({"contrastive": {"kl": 1}, "file": "unscored.jsonl"}, BadData, "kl is 1, .*teacher's scores"),
    ({"contrastive": {"held_out": 11}}, BadData, "12 different queries, 11 of them held out"),
    ({"file": "absent.jsonl"}, MissingResource, "absent.jsonl is not there"),
    ({"pairs": {}}, BadArguments, r"names no \[pairs\]"),
    ({"pairs": {"file": 3}}, BadData, r"\[pairs\]: 'file' is 3, expected str"),
    ({"texts": [{"path": "x"}]}, BadData, r"has \[texts\], which the recipe 'contrastive'"),
    ({"teacher": {"model": "minilm"}}, BadArguments, r"nobody asks \[teacher\]: set keep"),
    ({"teacher": {"model": "no/such/dir"}, "contrastive": {"keep": 1}}, MissingResource, "no/such"),
    ({"recipe": "guess"}, BadArguments, "recipe is 'guess'; known: .*contrastive"),
    ({"device": "cuda"}, BadArguments, "no CUDA device"),
    ({"model": {"start": "absent"}}, BadData, "start is 'absent', .*holds no encoder of tamis"),
    ({"model": {"kind": "recurrent"}}, BadData, "kind is 'recurrent', and .* a folded one"),
    ({"model": {"kind": "transformer"}}, BadData, "kind is 'transformer', and .* a folded one"),
    (
        {"model": {"kind": "transformer", "start": "./absent"}},
        MissingResource,
        r"\[model\] start is './absent', and there is no folder",
    ),
    ({"model": {"start": "", "kind": "recurrent", "cell": "guess"}}, UnknownComponent, "mingru"),
    ({"model": {"start": "", "kind": "recurrent", "width": 30}}, BadArguments, "width is 30"),
    (
        {"model": {"start": "", "kind": "recurrent", "cell": "infersent", "width": 32}},
        BadArguments,
        "'infersent' is a whole encoder body",
    ),
    ({"model": {"start": "", "width": 30}}, BadArguments, "multiples of 32"),
]


@pytest.mark.parametrize(("tables", "error", "says"), BAD, ids=[str(each[0]) for each in BAD])
def test_a_wrong_spec_is_refused_before_anything_is_loaded(
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tables: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    if tables.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has such a device")

    def loaded(*_given: Any, **_options: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(students, "student", loaded)
    monkeypatch.setattr(recipes, "load_teacher", loaded)
    monkeypatch.setattr(frozen_start, "frozen_start", loaded)
    write_pairs(base / "unscored.jsonl", pairs(negatives=3))
    with pytest.raises(error, match=says):
        prepare(spec(base, **tables), tmp_path)


def test_an_encoder_that_comes_along_is_named_without_its_folder(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of the same name beside the data goes first."""
    write_pairs(tmp_path / "pairs.jsonl", pairs())
    wanted = spec(tmp_path, "pairs.jsonl", contrastive={"keep": 1.0})
    monkeypatch.setattr(named_models, "_PACKAGED", base)
    made(wanted, tmp_path).trainee.save(tmp_path / "folded", trained_on="")
    monkeypatch.setattr(named_models, "_PACKAGED", tmp_path / "nowhere")
    assert made(wanted, tmp_path).trainee.dim == 32


def test_sizes_must_be_smaller_than_the_vectors(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match=r"dims names 32, and the vectors have 32"):
        made(spec(base, contrastive={"dims": [8, 32]}), tmp_path)


def test_a_teacher_of_another_space_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = spec(base, contrastive={"keep": 1.0}, teacher={"model": "minilm"})
    monkeypatch.setattr(recipes, "load_teacher", lambda *_: load_encoder(base / "recurrent"))
    with pytest.raises(Mismatch, match=r"\[model\] start is 'folded' of space 'abc'"):
        made(wanted, tmp_path)

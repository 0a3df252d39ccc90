"""Quick-Thoughts: which sentences are neighbours, the loss by hand, what is learned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tamis.core.errors import BadArguments, BadData, MissingResource, TamisError
from tamis.core.progress import Silent
from tamis.encoders.folded.encoder import load_folded
from tamis.encoders.folded.model import FoldedModel
from tamis.encoders.folded.spec import FoldedSpec
from tamis.encoders.folded.untrained import random_weights
from tamis.encoders.recurrent.spec import RecurrentSpec
from tamis.encoders.recurrent.untrained import seeded
from tamis.encoders.training import quick_thoughts as module
from tamis.encoders.training.loop import train
from tamis.encoders.training.quick_thoughts import (
    QuickThoughts,
    QuickThoughtsSpec,
    neighbour_loss,
    neighbours,
    passages,
    quick_thoughts,
)
from tamis.encoders.training.spec import TrainingSpec, spec_of
from tamis.encoders.training.texts import TextSource
from tamis.encoders.training.trainee import PackedTrainee
from tamis.encoders.word_pieces import WordPieces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOPICS, WORDS = 24, 6
VOCABULARY = 2 + TOPICS * WORDS

Body = dict[str, Any]


@pytest.fixture
def pieces(tmp_path: Path) -> WordPieces:
    names = [
        "[UNK]",
        ".",
        *(f"T{topic}w{word}" for topic in range(TOPICS) for word in range(WORDS)),
    ]
    tokenizer = Tokenizer(
        WordLevel({name: place for place, name in enumerate(names)}, unk_token="[UNK]")  # noqa: S106
    )
    tokenizer.pre_tokenizer = Whitespace()
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_str(), "utf-8")
    return WordPieces(path)


@pytest.fixture
def source(tmp_path: Path) -> TextSource:
    """144 passages of 2 to 5 sentences; a passage has a topic, and a sentence words of it."""
    rng = np.random.default_rng(5)
    path = tmp_path / "texts.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for number in range(144):
            said = [
                " ".join(f"T{number % TOPICS}w{word}" for word in rng.integers(WORDS, size=4)) + "."
                for _ in range(rng.integers(2, 6))
            ]
            out.write(json.dumps({"text": " ".join(said)}) + "\n")
    return TextSource(str(path))


def folded(pieces: WordPieces) -> PackedTrainee:
    spec = FoldedSpec(1, 32, rank=16, dim=32, vocabulary=VOCABULARY, space="a teacher's")
    return PackedTrainee(FoldedModel.of(spec, random_weights(spec, 1)), pieces)


def recurrent(pieces: WordPieces) -> PackedTrainee:
    spec = RecurrentSpec("gru", vocabulary=VOCABULARY, width=16, dim=32, pooling="mean+max")
    return PackedTrainee(seeded(spec, 1), pieces)


def spec_with(base: Path, **schedule: Any) -> TrainingSpec:
    usual = {"epochs": 2.0, "batch_tokens": 256, "warmup": 2, "rate": 0.01, "table_rate": 0.01}
    body = {"recipe": "quick-thoughts", "seed": 3, "schedule": {**usual, **schedule}}
    return spec_of(body, "spec.toml", base)


def recipe_of(
    trainee: PackedTrainee, source: TextSource, base: Path, own: Body | None = None, **schedule: Any
) -> QuickThoughts:
    described = QuickThoughtsSpec(**(own or {}))
    return QuickThoughts(spec_with(base, **schedule), described, [source], trainee)


# which sentences are neighbours


def test_passages_by_hand() -> None:
    text = "One flea jumps. Nothing. Two fleas jump high. One flea jumps. "
    text += "A flea lives here. Fleas bite us."
    kept = ["One flea jumps.", "Two fleas jump high.", "A flea lives here.", "Fleas bite us."]
    assert passages(text, 32) == [kept], "too short a sentence and a repeated one are left out"
    assert passages(text, 2) == [kept[:2], kept[2:]]
    assert passages(text, 3) == [kept[:3]], "the last would have no neighbour"
    assert passages("One flea jumps.", 32) == []
    assert passages("", 32) == []
    assert passages(f"One flea jumps. {'Long ' * 65}words. Two fleas jump.", 32) == [
        ["One flea jumps.", "Two fleas jump."]
    ]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (1, ["01000", "10100", "01000", "00001", "00010"]),
        (2, ["01100", "10100", "11000", "00001", "00010"]),
        (3, ["01100", "10100", "11000", "00001", "00010"]),
    ],
)
def test_neighbours_by_hand(window: int, expected: list[str]) -> None:
    """Passages of three and of two sentences."""
    found = neighbours(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1]), window)
    assert ["".join(str(int(each)) for each in row) for row in found] == expected


def test_a_batch_by_hand(pieces: WordPieces, tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"
    texts = [
        "T0w0 T0w1 T0w2. T1w0 T1w1 T1w2 T1w3. T2w0 T2w1 T2w2.",
        "Alone it stands here.",
        "T3w0 T3w1 T3w2. T0w0 T0w1 T0w2.",
    ]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    recipe = recipe_of(folded(pieces), TextSource(str(path)), tmp_path)
    batch = recipe.batch(np.array([1, 0]))
    assert batch.tokens.lengths.tolist() == [4, 4, 4, 5, 4]
    assert batch.tokens.ids[:8].tolist() == [20, 21, 22, 1, 2, 3, 4, 1]
    assert batch.passage.tolist() == [0, 0, 1, 1, 1]
    assert batch.place.tolist() == [0, 1, 0, 1, 2]
    assert batch.words[1] == batch.words[2]
    assert len(set(batch.words.tolist())) == 4


# the loss


def test_the_loss_by_hand() -> None:
    """Rows: one positive of two candidates, two positives of three."""
    scores = torch.tensor([[-torch.inf, 1.0, 2.0], [0.0, -torch.inf, 0.5], [1.0, 3.0, -torch.inf]])
    positives = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=torch.bool)
    e = np.exp
    rows = [
        -np.log(e(1) / (e(1) + e(2))),
        -(np.log(1 / (1 + e(0.5))) + np.log(e(0.5) / (1 + e(0.5)))) / 2,
        -np.log(e(3) / (e(1) + e(3))),
    ]
    assert float(neighbour_loss(scores, positives)) == pytest.approx(np.mean(rows), abs=1e-6)


def test_candidates_are_all_other_texts_of_the_batch(
    pieces: WordPieces, source: TextSource, tmp_path: Path
) -> None:
    """Against a loop; the same words elsewhere are no candidates, whoever says them."""
    recipe = recipe_of(folded(pieces), source, tmp_path, {"window": 2, "temperature": 0.3})
    batch = recipe.batch(np.arange(12))
    batch.words[7] = batch.words[20]
    with torch.no_grad():
        vectors = recipe.trainee.vectors(batch.tokens).double().numpy()
        loss = float(recipe.losses(batch)["neighbours"])
    rows = []
    n = len(vectors)
    for i in range(n):
        likely = {
            j: np.exp(vectors[i] @ vectors[j] / 0.3)
            for j in range(n)
            if j != i and {i, j} != {7, 20}
        }
        near = [
            j
            for j in likely
            if batch.passage[i] == batch.passage[j] and abs(batch.place[i] - batch.place[j]) <= 2
        ]
        rows.append(-np.mean([np.log(likely[j] / sum(likely.values())) for j in near]))
    assert batch.passage[7] != batch.passage[20]
    assert loss == pytest.approx(np.mean(rows), abs=1e-5)


# learning


@pytest.mark.parametrize("made", [folded, recurrent])
def test_neighbours_are_found(
    made: Callable[[WordPieces], PackedTrainee],
    pieces: WordPieces,
    source: TextSource,
    tmp_path: Path,
) -> None:
    recipe = recipe_of(made(pieces), source, tmp_path, {"held_out": 12, "window": 3}, epochs=8.0)
    first = float(recipe.losses(next(recipe.batches(0)))["neighbours"].detach())
    at_start = recipe.watch()
    train(recipe, spec_with(tmp_path, epochs=8.0), tmp_path / "run", progress=Silent())
    at_end = recipe.watch()
    assert float(recipe.losses(next(recipe.batches(0)))["neighbours"].detach()) < first - 0.3
    assert at_end["held-out neighbours"] < at_start["held-out neighbours"]
    assert at_end["neighbour found first"] > at_start["neighbour found first"] + 0.1
    assert 0.3 < at_end["neighbour found first"] <= 1


def test_nothing_is_watched_when_nothing_is_held_out(
    pieces: WordPieces, source: TextSource, tmp_path: Path
) -> None:
    assert recipe_of(folded(pieces), source, tmp_path).watch() == {}


def test_watched_numbers_by_hand(pieces: WordPieces, source: TextSource, tmp_path: Path) -> None:
    recipe = recipe_of(folded(pieces), source, tmp_path, {"held_out": 10}, batch_tokens=10_000)
    batch = recipe.batch(recipe._held_out)
    with torch.no_grad():
        scores = recipe.trainee.vectors(batch.tokens)
        scores = (scores @ scores.T).fill_diagonal_(-2).numpy()
    best = scores.argmax(1)
    right = neighbours(batch.passage, batch.place, 1)[np.arange(len(best)), best]
    found = recipe.watch()
    assert found["neighbour found first"] == pytest.approx(right.mean())
    assert found["held-out neighbours"] == pytest.approx(
        float(recipe.losses(batch)["neighbours"].detach()), abs=1e-5
    )


# the same run again, and a run that is cut short


def test_a_killed_run_ends_with_the_same_weights(
    pieces: WordPieces, source: TextSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_with(tmp_path, checkpoint_every=4)

    def fresh() -> QuickThoughts:
        return recipe_of(recurrent(pieces), source, tmp_path, checkpoint_every=4)

    whole = fresh()
    train(whole, spec, tmp_path / "whole", progress=Silent())
    assert whole.steps > 10

    cut, calls = fresh(), iter(range(7))
    losses = cut.losses

    def until_killed(batch: Any) -> Any:
        next(calls)
        return losses(batch)

    monkeypatch.setattr(cut, "losses", until_killed)
    with pytest.raises(StopIteration):
        train(cut, spec, tmp_path / "cut", progress=Silent())
    resumed = fresh()
    train(resumed, spec, tmp_path / "cut", progress=Silent())
    expected = dict(whole.trainee.module.named_parameters())
    for name, found in resumed.trainee.module.named_parameters():
        assert torch.equal(found, expected[name]), name


def test_an_epoch_is_every_passage_once(
    pieces: WordPieces, source: TextSource, tmp_path: Path
) -> None:
    recipe = recipe_of(folded(pieces), source, tmp_path, epochs=1.0)
    batches = list(recipe.batches(0))
    assert len(batches) == recipe.steps > 3
    words = np.concatenate([batch.words for batch in batches])
    assert sorted(words) == sorted(recipe._words)
    later = list(recipe.batches(2))
    for one, other in zip(batches[2:], later, strict=True):
        assert one.tokens.ids.tolist() == other.tokens.ids.tolist()


# specs, and what is saved


@pytest.fixture
def never_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_spec: TrainingSpec) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr(module, "student_in_own_space", fail)


@pytest.mark.usefixtures("never_loaded")
@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"quick-thoughts": {"g": 1}}, BadData, r"\[quick-thoughts\] has the key 'g'"),
        ({"quick-thoughts": {"window": 0}}, BadData, "window is 0, expected 1 to 3"),
        ({"quick-thoughts": {"window": 4}}, BadData, "window is 4, expected 1 to 3"),
        ({"quick-thoughts": {"temperature": 0.0}}, BadData, "temperature is 0.0, expected > 0"),
        ({"quick-thoughts": {"longest": 1}}, BadData, "longest is 1, expected 2 or more"),
        ({"quick-thoughts": {"held_out": -1}}, BadData, "held_out is -1"),
        ({"quick_thoughts": {}}, BadData, r"has \[quick_thoughts\], which the recipe"),
        ({"texts": []}, BadArguments, r"names no \[\[texts\]\]"),
        ({"texts": [{"path": "no.jsonl"}]}, MissingResource, "no.jsonl does not exist"),
        (
            {"texts": [{"path": "texts.jsonl", "part": "title"}]},
            BadArguments,
            "part is 'title' for .*texts.jsonl, where no sentence has a neighbour",
        ),
        ({"texts": [{"path": "texts.jsonl", "states": 4}]}, BadData, "states is 4 for"),
    ],
)
def test_a_wrong_spec_is_refused_before_anything_is_loaded(
    changed: Body, kind: type[TamisError], message: str, source: TextSource, tmp_path: Path
) -> None:
    body = {"recipe": "quick-thoughts", "texts": [{"path": "texts.jsonl"}], **changed}
    with pytest.raises(kind, match=message):
        quick_thoughts(spec_of(body, "spec.toml", tmp_path), tmp_path)


def test_texts_without_neighbours(pieces: WordPieces, tmp_path: Path) -> None:
    path = tmp_path / "single.jsonl"
    path.write_text(json.dumps({"text": "One flea jumps."}) + "\n", "utf-8")
    with pytest.raises(BadData, match="0 texts with two sentences in a row, 0 held out"):
        recipe_of(folded(pieces), TextSource(str(path)), tmp_path)


def test_a_run_from_a_folder_to_a_folder(
    pieces: WordPieces, source: TextSource, tmp_path: Path
) -> None:
    folded(pieces).save(tmp_path / "begun", trained_on="Nothing.")
    body: Body = {
        "recipe": "quick-thoughts",
        "model": {"start": "begun"},
        "schedule": {"batch_tokens": 256, "warmup": 1, "rate": 0.01, "table_rate": 0.01},
        "texts": [{"path": "texts.jsonl"}],
    }
    spec = spec_of(body, "spec.toml", tmp_path)
    recipe = quick_thoughts(spec, tmp_path / "cache")
    train(recipe, spec, tmp_path / "run", progress=Silent())
    recipe.trainee.save(tmp_path / "done", trained_on=recipe.trained_on)
    done, text = load_folded(tmp_path / "done"), ["T1w1 T1w2 T2w3"]
    now = recipe.trainee.encoder().encode(text, "passage").vectors
    assert np.abs(done.encode(text, "passage").vectors - now).max() < 0.02
    before = load_folded(tmp_path / "begun")
    assert np.abs(before.encode(text, "passage").vectors - now).max() > 0.04
    assert before.card.space == "a teacher's"
    config = json.loads((tmp_path / "done" / "config.json").read_text("utf-8"))
    assert config["space"] == "", "it has left the teacher's space for its own"
    assert "144 passages of texts.jsonl" in (tmp_path / "done" / "README.md").read_text("utf-8")

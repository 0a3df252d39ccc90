"""Bottleneck pre-training: what is replaced, the sampled softmax, what the vector comes to hold."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from tamis.core.errors import BadArguments, BadData, MissingResource, TamisError
from tamis.core.progress import Silent
from tamis.encoders.folded.encoder import load_folded
from tamis.encoders.folded.model import FoldedModel
from tamis.encoders.folded.spec import FoldedSpec
from tamis.encoders.folded.untrained import random_weights
from tamis.encoders.recurrent.spec import RecurrentSpec
from tamis.encoders.recurrent.untrained import seeded
from tamis.encoders.training import bottleneck as module
from tamis.encoders.training.bottleneck import Bottleneck, BottleneckSpec, bottleneck
from tamis.encoders.training.log import LOG, read_log
from tamis.encoders.training.loop import train
from tamis.encoders.training.model_parts import heard, token_states, token_table
from tamis.encoders.training.replaced_pieces import Unigrams, replaced
from tamis.encoders.training.sampled_softmax import Vocabulary
from tamis.encoders.training.spec import TrainingSpec, spec_of
from tamis.encoders.training.texts import TextSource
from tamis.encoders.training.token_store import TokenStore, rows_of_steps, steps_per_epoch
from tamis.encoders.training.trainee import PackedTrainee, Tokens
from tamis.encoders.word_pieces import WordPieces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOPICS, WORDS = 6, 8  # of a text: it speaks of one topic, in that topic's words
VOCABULARY = 2 + TOPICS * WORDS

Body = dict[str, Any]


def pieces_at(path: Path, *, mask: bool = True) -> WordPieces:
    names = ["[UNK]", "[MASK]" if mask else "spare"]
    names += [f"t{topic}w{word}" for topic in range(TOPICS) for word in range(WORDS)]
    tokenizer = Tokenizer(
        WordLevel({name: place for place, name in enumerate(names)}, unk_token="[UNK]")  # noqa: S106
    )
    tokenizer.pre_tokenizer = WhitespaceSplit()
    path.write_text(tokenizer.to_str(), "utf-8")
    return WordPieces(path)


def folded(pieces: WordPieces, layers: int = 1) -> PackedTrainee:
    spec = FoldedSpec(
        layers, 32 * bool(layers), rank=16, dim=32, vocabulary=VOCABULARY, space="a teacher's"
    )
    return PackedTrainee(FoldedModel.of(spec, random_weights(spec, 1)), pieces)


def recurrent(pieces: WordPieces, cell: str = "gru", pooling: str = "mean") -> PackedTrainee:
    spec = RecurrentSpec(cell, vocabulary=VOCABULARY, width=16, dim=32, pooling=pooling)
    return PackedTrainee(seeded(spec, 1), pieces)


def infersent(pieces: WordPieces) -> PackedTrainee:
    return recurrent(pieces, "infersent", "own")


@pytest.fixture
def pieces(tmp_path: Path) -> WordPieces:
    return pieces_at(tmp_path / "tokenizer.json")


@pytest.fixture
def source(tmp_path: Path) -> TextSource:
    """200 texts of 6 to 12 words."""
    rng = np.random.default_rng(7)
    path = tmp_path / "texts.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for number in range(200):
            words = rng.integers(WORDS, size=rng.integers(6, 13))
            text = " ".join(f"t{number % TOPICS}w{word}" for word in words)
            out.write(json.dumps({"text": text}) + "\n")
    return TextSource(str(path))


def spec_with(base: Path, **schedule: Any) -> TrainingSpec:
    usual = {"epochs": 2.0, "batch_tokens": 256, "warmup": 2, "rate": 0.01, "table_rate": 0.01}
    body = {"recipe": "bottleneck", "seed": 3, "schedule": {**usual, **schedule}}
    return spec_of(body, "spec.toml", base)


def recipe_of(
    trainee: PackedTrainee, source: TextSource, base: Path, own: Body | None = None, **schedule: Any
) -> Bottleneck:
    given = {"width": 16, "samples": 0, **(own or {})}
    return Bottleneck(spec_with(base, **schedule), BottleneckSpec(**given), [source], trainee)


# what is replaced


def test_replaced_by_hand() -> None:
    found = replaced(
        ids=np.array([5, 6, 7, 8, 9]),
        noise=np.array([1, 2, 7, 1, 4]),
        draws=np.array([0.1, 0.4, 0.1, 0.9, 0.29]),
        encoder=0.3,
        decoder=0.5,
    )
    assert found.encoder.tolist() == [1, 6, 7, 8, 4]
    assert found.decoder.tolist() == [1, 2, 7, 8, 4]
    assert found.rows.tolist() == [0, 1, 4]
    assert found.originals.tolist() == [5, 6, 9]
    assert found.in_encoder.tolist() == [True, False, True]


@given(st.integers(0, 40), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32))
def test_the_encoder_sees_no_replacement_that_the_decoder_does_not(
    n: int, one: float, other: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    ids, noise = rng.integers(4, size=(2, n))
    found = replaced(ids, noise, rng.random(n), min(one, other), max(one, other))
    by_encoder = np.flatnonzero(found.encoder != ids)
    by_decoder = np.flatnonzero(found.decoder != ids)
    assert found.rows.tolist() == by_decoder.tolist()
    assert found.rows[found.in_encoder].tolist() == by_encoder.tolist()
    back = found.decoder.copy()
    back[found.rows] = found.originals
    assert back.tolist() == ids.tolist()


def test_shares_are_those_asked_for(source: TextSource, pieces: WordPieces, tmp_path: Path) -> None:
    own = {"encoder_share": 0.2, "decoder_share": 0.6, "noise": "mask"}
    recipe = recipe_of(folded(pieces), source, tmp_path, own)
    texts = [batch.texts for batch in recipe.batches(0)]
    tokens = sum(len(each.encoder) for each in texts)
    assert sum(len(each.rows) for each in texts) / tokens == pytest.approx(0.6, abs=0.03)
    assert sum(each.in_encoder.sum() for each in texts) / tokens == pytest.approx(0.2, abs=0.03)


def test_a_mask_stands_where_a_piece_is_replaced(
    source: TextSource, pieces: WordPieces, tmp_path: Path
) -> None:
    batch = next(recipe_of(folded(pieces), source, tmp_path, {"noise": "mask"}).batches(0))
    assert set(batch.texts.decoder[batch.texts.rows]) == {1}
    assert 1 not in batch.texts.originals


def test_unigrams_by_hand() -> None:
    unigrams = Unigrams(np.array([0, 0, 2]), 4)
    assert (unigrams.share * 7).tolist() == pytest.approx([3, 1, 2, 1])
    assert unigrams.inclusion(2).tolist() == pytest.approx([33 / 49, 13 / 49, 24 / 49, 13 / 49])
    drawn = np.bincount(unigrams.draw(np.random.default_rng(0), 70_000), minlength=4)
    assert drawn / 10_000 == pytest.approx([3, 1, 2, 1], abs=0.06)


# the softmax over a sample


def test_with_every_piece_a_candidate_it_is_the_whole_softmax() -> None:
    draw = torch.Generator().manual_seed(0)
    table, queries = torch.randn(9, 5, generator=draw), torch.randn(7, 5, generator=draw)
    share, originals = torch.randn(9, generator=draw), torch.tensor([0, 8, 3, 3, 1, 5, 2])
    vocabulary = Vocabulary(table, share)
    sampled = vocabulary.sampled_cross_entropy(queries, originals, torch.arange(9), torch.zeros(9))
    whole = torch.nn.functional.cross_entropy(queries @ table.T + share, originals)
    assert float(sampled) == pytest.approx(float(whole), abs=1e-6)
    assert vocabulary.cross_entropy(queries, originals) == pytest.approx(float(whole), abs=1e-6)


def test_the_true_distribution_minimises_the_sampled_softmax() -> None:
    """Over every sample of five pieces, each with its chance, gradients add up to nothing where
    the scores are the log of what is true."""
    true = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05], dtype=torch.float64)
    chance = torch.tensor([0.9, 0.2, 0.5, 0.3, 0.7], dtype=torch.float64)
    query = true.log()[None].requires_grad_()
    vocabulary = Vocabulary(torch.eye(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64))
    total = torch.zeros((), dtype=torch.float64)
    for sample in range(32):
        drawn = torch.tensor([bool(sample >> piece & 1) for piece in range(5)])
        likely = torch.where(drawn, chance, 1 - chance).prod()
        for piece in range(5):
            loss = vocabulary.sampled_cross_entropy(
                query, torch.tensor([piece]), drawn.nonzero()[:, 0], chance.log()
            )
            total = total + likely * true[piece] * loss
    total.backward()
    assert query.grad is not None
    assert query.grad.abs().max() < 1e-12


@pytest.mark.parametrize("rows", [0, 1])
def test_nothing_to_tell_apart_has_a_gradient_of_zero(rows: int) -> None:
    queries = torch.ones(rows, 3, requires_grad=True)
    vocabulary = Vocabulary(torch.ones(2, 3), torch.zeros(2))
    loss = vocabulary.sampled_cross_entropy(
        queries, torch.ones(rows, dtype=torch.long), torch.tensor([1]), torch.zeros(2)
    )
    loss.backward()
    assert float(loss.detach()) == 0
    assert queries.grad is not None
    assert (queries.grad == 0).all()


# learning


@pytest.mark.parametrize("made", [folded, recurrent])
def test_the_vector_comes_to_hold_the_content(
    made: Callable[[WordPieces], PackedTrainee],
    pieces: WordPieces,
    source: TextSource,
    tmp_path: Path,
) -> None:
    own = {"held_out": 20, "decoder_share": 0.9, "noise": "mask"}
    recipe = recipe_of(made(pieces), source, tmp_path, own, epochs=10.0, evaluate_every=1000)
    at_start = recipe.watch()
    assert at_start["held-out decoder"] == at_start["held-out decoder, vectors swapped"]
    train(recipe, spec_with(tmp_path, epochs=10.0), tmp_path / "run", progress=Silent())
    lines = [line for line in read_log(tmp_path / "run" / LOG) if "loss" in line]
    assert lines[-1]["decoder"] < 0.85 * np.log(TOPICS * WORDS)
    at_end = recipe.watch()
    assert at_end["held-out decoder"] < at_start["held-out decoder"] - 0.5
    assert at_end["held-out decoder"] < at_end["held-out decoder, vectors swapped"] - 0.5


@pytest.mark.parametrize("samples", [0, 12])
def test_losses_fall(samples: int, pieces: WordPieces, source: TextSource, tmp_path: Path) -> None:
    recipe = recipe_of(folded(pieces), source, tmp_path, {"samples": samples}, epochs=4.0)
    first = {name: float(x.detach()) for name, x in recipe.losses(next(recipe.batches(0))).items()}
    assert list(first) == ["encoder", "decoder"]
    train(recipe, spec_with(tmp_path, epochs=4.0), tmp_path / "run", progress=Silent())
    last = recipe.losses(next(recipe.batches(0)))
    for name, loss in first.items():
        assert float(last[name].detach()) < 0.9 * loss


def test_at_the_start_the_decoder_knows_how_frequent_pieces_are(
    pieces: WordPieces, source: TextSource, tmp_path: Path
) -> None:
    recipe = recipe_of(folded(pieces), source, tmp_path, {"encoder": 0.5, "decoder": 2.0})
    batch = next(recipe.batches(0))
    surprise = -np.log(Unigrams(recipe._store.ids, VOCABULARY).share)
    losses = {name: loss.detach() for name, loss in recipe.losses(batch).items()}
    seen = batch.texts.originals[batch.texts.in_encoder]
    assert float(losses["decoder"]) == pytest.approx(2 * surprise[batch.texts.originals].mean())
    assert float(losses["encoder"]) == pytest.approx(0.5 * surprise[seen].mean())


def test_every_part_learns(pieces: WordPieces, source: TextSource, tmp_path: Path) -> None:
    recipe = recipe_of(folded(pieces, layers=2), source, tmp_path, epochs=1.0)
    before = {name: x.clone() for name, x in recipe.trainee.module.named_parameters()}
    train(recipe, spec_with(tmp_path, epochs=1.0), tmp_path / "run", progress=Silent())
    for name, parameter in recipe.trainee.module.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_a_whole_body_learns_from_the_decoder_alone(
    pieces: WordPieces, source: TextSource, tmp_path: Path
) -> None:
    recipe = recipe_of(infersent(pieces), source, tmp_path, {"encoder": 0.0})
    assert list(recipe.losses(next(recipe.batches(0)))) == ["decoder"]


@pytest.mark.usefixtures("never_loaded")
@pytest.mark.parametrize(
    ("model", "missing"),
    [
        ({"layers": 0}, "a student without layers"),
        ({"start": "static"}, "a student without layers"),
        ({"kind": "recurrent", "cell": "infersent", "pooling": "own"}, "'infersent', which pools"),
        ({"kind": "recurrent", "start": "infersent"}, "'infersent', which pools"),
    ],
)
def test_a_model_without_token_states_cannot_restore_tokens(
    model: Body, missing: str, pieces: WordPieces, source: TextSource, tmp_path: Path
) -> None:
    folded(pieces, layers=0).save(tmp_path / "static", trained_on="Nothing.")
    infersent(pieces).save(tmp_path / "infersent", trained_on="Nothing.")
    body = {"recipe": "bottleneck", "model": model, "texts": [{"path": "texts.jsonl"}]}
    spec = spec_of(body, "spec.toml", tmp_path)
    with pytest.raises(BadArguments, match=rf"{missing}.*set encoder = 0 in \[bottleneck\]"):
        bottleneck(spec, tmp_path)


def test_states_are_what_the_vector_is_pooled_from(pieces: WordPieces) -> None:
    """Replaced by their mean, which has the same mean, states leave the vector as it was."""
    trainee = recurrent(pieces)
    told = token_states(trainee.model)
    assert told is not None
    tokens = trainee.tokens(["t1w1 t1w2 t3w1"], "passage")
    with heard(told.part) as said:
        vector = trainee.vectors(tokens)
    assert said[0].shape == (3, told.width)
    handle = told.part.register_forward_hook(lambda _part, _given, out: out.mean(0).expand(3, -1))
    again = trainee.vectors(tokens)
    handle.remove()
    assert torch.allclose(vector, again, atol=1e-6)
    assert not said[1:], "heard only what was said meanwhile"


def test_the_tied_table_is_the_models_own(pieces: WordPieces) -> None:
    for trainee in (folded(pieces), recurrent(pieces)):
        assert any(token_table(trainee.model) is p for p in trainee.module.parameters())


# the same run again, and a run that is cut short


def weights_of(recipe: Bottleneck) -> dict[str, torch.Tensor]:
    return {name: x.detach().clone() for name, x in recipe.trainee.module.named_parameters()}


def test_a_killed_run_ends_with_the_same_weights(
    pieces: WordPieces, source: TextSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_with(tmp_path, checkpoint_every=5)

    def fresh() -> Bottleneck:
        return recipe_of(folded(pieces), source, tmp_path, {"samples": 12}, checkpoint_every=5)

    whole = fresh()
    train(whole, spec, tmp_path / "whole", progress=Silent())
    assert whole.steps > 12

    cut, calls = fresh(), iter(range(8))
    losses = cut.losses

    def until_killed(batch: Any) -> Any:
        next(calls)
        return losses(batch)

    monkeypatch.setattr(cut, "losses", until_killed)
    with pytest.raises(StopIteration):
        train(cut, spec, tmp_path / "cut", progress=Silent())
    resumed = fresh()
    train(resumed, spec, tmp_path / "cut", progress=Silent())
    expected = weights_of(whole)
    for name, found in weights_of(resumed).items():
        assert torch.equal(found, expected[name]), name


def test_batches_depend_on_seed_and_step_alone(
    pieces: WordPieces, source: TextSource, tmp_path: Path
) -> None:
    recipe = recipe_of(folded(pieces), source, tmp_path, {"samples": 12})
    whole, later = list(recipe.batches(0)), list(recipe.batches(9))
    assert len(whole) == recipe.steps
    assert len(later) == recipe.steps - 9
    for one, other in zip(whole[9:], later, strict=True):
        assert one.texts.decoder.tolist() == other.texts.decoder.tolist()
        assert one.candidates.tolist() == other.candidates.tolist()


def test_every_step_has_noise_of_its_own(
    pieces: WordPieces, source: TextSource, tmp_path: Path
) -> None:
    own = {"noise": "mask", "samples": 12}
    recipe = recipe_of(folded(pieces), source, tmp_path, own, batch_tokens=10_000, epochs=3.0)
    one, two, three = recipe.batches(0)
    places = {tuple(batch.texts.rows) for batch in (one, two, three)}
    assert len(places) == 3, "an epoch is one batch here, with as many tokens each time"
    assert one.candidates.tolist() != two.candidates.tolist()


def test_an_epoch_is_every_row_once() -> None:
    steps = list(rows_of_steps(10, 3, seed=5, start=0, steps=7))
    assert [step for step, _ in steps] == list(range(7))
    for first in (0, 3):
        rows = np.concatenate([rows for _, rows in steps[first : first + 3]])
        assert sorted(rows.tolist()) == list(range(10))
    assert [r.tolist() for _, r in steps[:3]] != [r.tolist() for _, r in steps[3:6]]
    later = [(step, rows.tolist()) for step, rows in rows_of_steps(10, 3, 5, 4, 7)]
    assert later == [(step, rows.tolist()) for step, rows in steps[4:]]
    assert (steps_per_epoch(1000, 10, 300), steps_per_epoch(5, 10, 300)) == (3, 1)
    assert steps_per_epoch(1000, 2, 300) == 2, "no batch is empty"


def test_a_store_gives_texts_in_any_order() -> None:
    store = TokenStore(
        [
            Tokens(np.array([1, 2, 3]), np.array([1, 0, 2])),
            Tokens(np.array([4, 5]), np.array([2])),
        ]
    )
    taken = store.take(np.array([3, 1, 2, 3]))
    assert taken.ids.tolist() == [4, 5, 2, 3, 4, 5]
    assert taken.lengths.tolist() == [2, 0, 2, 2]
    assert len(store) == 4


def test_held_out_texts_are_never_learned_from(
    pieces: WordPieces, source: TextSource, tmp_path: Path
) -> None:
    recipe = recipe_of(folded(pieces), source, tmp_path, {"held_out": 150}, epochs=1.0)
    lengths = sum(int(batch.lengths.sum()) for batch in recipe.batches(0))
    assert lengths == recipe._store.lengths[recipe._learned].sum()
    assert len(recipe._learned) == 50
    assert not set(recipe._learned) & set(recipe._held_out)
    assert "50 texts of texts.jsonl" in recipe.trained_on


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
        ({"bottleneck": {"colour": 1}}, BadData, r"\[bottleneck\] has the key 'colour'"),
        ({"bottleneck": {"width": "wide"}}, BadData, "'width' is \"wide\", expected int"),
        ({"bottleneck": {"width": 7}}, BadData, "width is 7, expected an even number"),
        ({"bottleneck": {"noise": "pink"}}, BadData, "noise is 'pink'; known: unigram, mask"),
        ({"bottleneck": {"encoder_share": 0.6}}, BadData, "encoder_share is 0.6 and decoder_share"),
        ({"bottleneck": {"decoder_share": 1.1}}, BadData, "decoder_share 1.1, expected"),
        ({"bottleneck": {"encoder_share": 0.0}}, BadData, "set encoder = 0"),
        ({"bottleneck": {"decoder": 0.0}}, BadData, "decoder is 0.0, expected more than 0"),
        ({"bottleneck": {"samples": -1}}, BadData, "samples is -1, expected 0 or more"),
        ({"bottleneck": {"held_out": 1}}, BadData, "held_out is 1, expected 0 or 2"),
        ({"distillation": {}}, BadData, r"has \[distillation\], which the recipe 'bottleneck'"),
        ({"teacher": {"size": 3}}, BadData, r"\[teacher\] has the key 'size'"),
        ({"teacher": {"model": "nobody"}}, MissingResource, r"\[teacher\] model is 'nobody'"),
        ({"model": {"start": "m"}, "teacher": {}}, BadArguments, "only makes a new model"),
        ({"model": {"kind": "transformer", "start": "m"}}, BadArguments, 'kind is "transformer"'),
        ({"texts": []}, BadArguments, r"names no \[\[texts\]\]"),
        ({"texts": [{"path": "no.jsonl"}]}, MissingResource, "no.jsonl does not exist"),
        ({"texts": [{"path": "texts.jsonl", "states": 4}]}, BadData, "states is 4 for"),
    ],
)
def test_a_wrong_spec_is_refused_before_anything_is_loaded(
    changed: Body, kind: type[TamisError], message: str, source: TextSource, tmp_path: Path
) -> None:
    body = {"recipe": "bottleneck", "texts": [{"path": "texts.jsonl"}], **changed}
    with pytest.raises(kind, match=message):
        bottleneck(spec_of(body, "spec.toml", tmp_path), tmp_path)


def test_too_few_texts(pieces: WordPieces, source: TextSource, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="200 texts with words, 200 held out"):
        recipe_of(folded(pieces), source, tmp_path, {"held_out": 200})


def test_mask_noise_needs_a_mask(source: TextSource, tmp_path: Path) -> None:
    pieces = pieces_at(tmp_path / "maskless.json", mask=False)
    with pytest.raises(BadArguments, match=r"no word piece \[MASK\]; set noise = \"unigram\""):
        recipe_of(folded(pieces), source, tmp_path, {"noise": "mask"})


def test_a_run_from_a_folder_to_a_folder(
    pieces: WordPieces, source: TextSource, tmp_path: Path
) -> None:
    begun = folded(pieces)
    begun.save(tmp_path / "begun", trained_on="Nothing.")
    body: Body = {
        "recipe": "bottleneck",
        "model": {"start": "begun"},
        "bottleneck": {"width": 16, "samples": 12},
        "schedule": {"batch_tokens": 256, "warmup": 1, "rate": 0.01, "table_rate": 0.01},
        "texts": [{"path": "texts.jsonl"}],
    }
    spec = spec_of(body, "spec.toml", tmp_path)
    recipe = bottleneck(spec, tmp_path / "cache")
    train(recipe, spec, tmp_path / "run", progress=Silent())
    recipe.trainee.save(tmp_path / "done", trained_on=recipe.trained_on)
    with safe_open(tmp_path / "done" / "model.safetensors", framework="np") as file:
        kept = set(file.keys())
    with safe_open(tmp_path / "begun" / "model.safetensors", framework="np") as file:
        assert kept == set(file.keys()), "no decoder is saved"
    done = load_folded(tmp_path / "done")
    text = ["t1w1 t1w2"]
    now = recipe.trainee.encoder().encode(text, "passage").vectors
    assert np.abs(done.encode(text, "passage").vectors - now).max() < 0.02
    before = load_folded(tmp_path / "begun")
    assert np.abs(before.encode(text, "passage").vectors - now).max() > 0.04
    assert before.card.space == "a teacher's"
    config = json.loads((tmp_path / "done" / "config.json").read_text("utf-8"))
    assert config["space"] == "", "it has left the teacher's space for its own"
    assert "200 texts of texts.jsonl" in (tmp_path / "done" / "README.md").read_text("utf-8")


def test_candidates_are_different_pieces_drawn_by_frequency(
    pieces: WordPieces, source: TextSource, tmp_path: Path
) -> None:
    recipe = recipe_of(folded(pieces), source, tmp_path, {"samples": 12})
    for batch in islice(recipe.batches(0), 5):
        assert len(set(batch.candidates)) == len(batch.candidates) <= 12
    whole = next(recipe_of(folded(pieces), source, tmp_path).batches(0))
    assert whole.candidates.tolist() == list(range(VOCABULARY))

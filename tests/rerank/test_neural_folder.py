"""A neural ranker's folder: the same scores after loading, and no damage passes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import tamis
from tamis.core.errors import BadArguments, BadData, CorruptFile, MissingResource, TamisError
from tamis.core.protocols import Candidates
from tamis.core.records import Passage, Query, Ranking
from tamis.encoders.word_pieces import WordPieces
from tamis.rerank.neural.kind import is_neural
from tamis.rerank.neural.model_folder import load, save
from tamis.rerank.neural.reranker import NeuralReranker
from tamis.rerank.neural.spec import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tamis.rerank.neural.scorer import Scorer

TEXTS = ["A flea lives for days", "wind", "", "the cat sleeps, the dog does not"]


def batch() -> list[Candidates]:
    rows = np.arange(len(TEXTS), dtype=np.int64)
    ranking = Ranking(Query("1", "how long does a flea live"), rows, np.zeros(4, np.float32))
    return [Candidates(ranking, [Passage(str(i), text) for i, text in enumerate(TEXTS)])]


@pytest.fixture
def folder(tmp_path: Path, neural_scorer: Callable[..., Scorer]) -> Path:
    save(neural_scorer("knrm"), tmp_path / "model", trained_on="Trained on air.")
    return tmp_path / "model"


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_gives_the_same_bits(
    name: str, tmp_path: Path, neural_scorer: Callable[..., Scorer]
) -> None:
    scorer = neural_scorer(name)
    save(scorer, tmp_path / "model", trained_on="")
    again = load(tmp_path / "model", WordPieces)
    np.testing.assert_array_equal(again.score(batch())[0], scorer.score(batch())[0])
    assert again.spec == scorer.spec


def test_a_path_is_a_reranker(folder: Path, neural_scorer: Callable[..., Scorer]) -> None:
    reranker = tamis.reranker(str(folder), keep=3)
    assert (reranker.name, reranker.keep) == ("knrm (model)", 3)
    expected = neural_scorer("knrm").score(batch())[0]
    np.testing.assert_array_equal(reranker.score(batch())[0], expected)


def test_its_fingerprint_follows_weights_and_settings(
    folder: Path, tmp_path: Path, neural_scorer: Callable[..., Scorer]
) -> None:
    stored = NeuralReranker.load(folder, WordPieces).fingerprint
    scorer = neural_scorer("knrm")
    assert stored == NeuralReranker(scorer, name="another name").fingerprint
    assert NeuralReranker(neural_scorer("drmm"), name="drmm").fingerprint != stored
    with torch.no_grad():
        next(scorer.model.parameters()).view(-1)[0] += 1
    assert NeuralReranker(scorer, name="knrm").fingerprint != stored


def test_no_other_model_goes_with_it(folder: Path) -> None:
    with pytest.raises(BadArguments, match="takes no other model, and 'other' is given"):
        tamis.reranker(str(folder), model="other")


def test_the_title_is_read_or_not(neural_scorer: Callable[..., Scorer]) -> None:
    scorer = neural_scorer("knrm")
    passage = Passage("1", "wind", title="flea")
    whole = scorer.read_passages([passage])[0]
    assert len(whole) == 2
    object.__setattr__(scorer.spec, "title", False)
    assert scorer.read_passages([passage])[0].tolist() == whole[1:].tolist()


def test_the_card_says_what_it_was_trained_on(folder: Path) -> None:
    card = (folder / "README.md").read_text("utf-8")
    assert "Trained on air." in card
    assert "| passage_pieces | `24` |" in card


def test_what_stands_there_is_left_alone(
    folder: Path, neural_scorer: Callable[..., Scorer]
) -> None:
    before = (folder / "config.json").read_bytes()
    with pytest.raises(BadArguments, match="exists"):
        save(neural_scorer("tk"), folder, trained_on="")
    assert (folder / "config.json").read_bytes() == before
    assert not list(folder.parent.glob(".*"))


def test_other_folders_are_not_ours(tmp_path: Path) -> None:
    assert not is_neural(tmp_path)
    for content in ("[]", "{", '{"kind": "folded"}'):
        (tmp_path / "config.json").write_text(content)
        assert not is_neural(tmp_path)


def _config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


DAMAGE: dict[str, tuple[type[TamisError], str, Callable[[Path], object]]] = {
    "no weights": (
        MissingResource,
        "not whole",
        lambda folder: (folder / "model.safetensors").unlink(),
    ),
    "no tokenizer": (
        MissingResource,
        "tokenizer.json",
        lambda folder: (folder / "tokenizer.json").unlink(),
    ),
    "half the weights": (
        CorruptFile,
        "model.safetensors",
        lambda folder: (folder / "model.safetensors").write_bytes(
            (folder / "model.safetensors").read_bytes()[:200]
        ),
    ),
    "a wrong vocabulary": (BadData, "words.directions", lambda folder: _config(folder, dim=8)),
    "another model": (BadData, "disagree about", lambda folder: _config(folder, model="drmm")),
    "other options": (
        BadData,
        "out.weight",
        lambda folder: _config(folder, options={"kernels": 5}),
    ),
    "an unknown key": (BadData, "'colour'", lambda folder: _config(folder, colour=1)),
    "a wrong kind of value": (BadData, "'title'", lambda folder: _config(folder, title="yes")),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(name: str, folder: Path) -> None:
    kind, words, harm = DAMAGE[name]
    harm(folder)
    with pytest.raises(kind, match=words):
        load(folder, WordPieces)


def test_a_value_that_is_no_number_is_refused(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["model.out.bias"][0] = np.nan
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(BadData, match="not finite"):
        load(folder, WordPieces)

"""``perplexity:MODEL`` against the loss that transformers computes from labels."""

from __future__ import annotations

import logging
import math
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tamis.core.errors import BadData
from tamis.encoders.quality import neural_perplexity as module
from tamis.encoders.quality.neural_perplexity import NeuralPerplexity
from tamis.encoders.quality.perplexity import Perplexity, perplexity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TEXTS = [
    "the flea",
    "the",
    "bread, dog: the king the city",
    "the dog " * 10 + "x!",
    "q",
    "words nobody knows",
]


def losses(folder: Path, texts: Sequence[str]) -> list[float]:
    """Minus the mean loss of each text alone, by transformers' own labels."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    seq2seq = "t5" in str(folder)
    auto: Any = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    model = auto.from_pretrained(folder).eval()
    found = []
    for text in texts:
        if seq2seq:
            ids = torch.tensor([tokenizer("")["input_ids"]])
            labels = torch.tensor([tokenizer(text)["input_ids"]])
        else:
            ids = torch.tensor([[1, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
            labels = ids
        with torch.inference_mode():
            found.append(-float(model(input_ids=ids, labels=labels).loss))
    return found


@pytest.mark.parametrize("kind", ["gpt2_folder", "t5_folder", "untied_t5_folder"])
def test_transformers_own_loss(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    expected = losses(folder, TEXTS)
    assert max(expected) - min(expected) > 0.1
    scores = NeuralPerplexity(folder).score(TEXTS)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2_folder", "t5_folder"])
def test_other_company_changes_nothing(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = NeuralPerplexity(request.getfixturevalue(kind))
    texts = [*TEXTS, "", *(f"{text} bread" for text in TEXTS), "the city " * 99]
    alone = np.concatenate([model.score([text]) for text in texts])
    np.testing.assert_allclose(model.score(texts), alone, rtol=1e-5)
    monkeypatch.setitem(module._BUDGET, "cpu", 30)
    np.testing.assert_allclose(model.score(texts), alone, rtol=1e-5)


def test_a_text_without_a_token(gpt2_folder: Path, t5_folder: Path) -> None:
    words = NeuralPerplexity(gpt2_folder)._loaded.network.config.vocab_size
    assert NeuralPerplexity(gpt2_folder).score([""]).tolist() == [np.float32(-math.log(words))]
    # T5's target is the end alone
    np.testing.assert_allclose(
        NeuralPerplexity(t5_folder).score([""]), losses(t5_folder, [""]), rtol=1e-5
    )


def test_what_is_too_long_is_cut_and_said_once(
    gpt2_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = NeuralPerplexity(gpt2_folder)
    room = ["the"] * 47  # and the start
    caplog.set_level(logging.WARNING)
    fits = model.score([" ".join(room)])
    assert not caplog.messages
    for more in (["dog"], ["bread", "flea"] * 40):
        assert model.score([" ".join(room + more)]).tolist() == fits.tolist()
    assert caplog.messages == [
        "small reads 48 tokens: longer passages are scored by their beginning"
    ]


def test_a_target_that_is_too_long_keeps_its_end(t5_folder: Path) -> None:
    model = NeuralPerplexity(t5_folder)
    assert model._room == 512
    whole = " ".join(["the"] * 511)
    fits, longer = model.score([whole, whole + " dog" * 50])
    np.testing.assert_allclose(fits, losses(t5_folder, [whole])[0], rtol=1e-5)
    assert longer == fits


def test_the_fingerprint_names_the_weights(gpt2_folder: Path, t5_folder: Path) -> None:
    first, again, other = map(NeuralPerplexity, (gpt2_folder, gpt2_folder, t5_folder))
    assert first.card == again.card
    assert first.card.name == "perplexity (small)"
    assert other.card.fingerprint != first.card.fingerprint


def test_by_its_registered_name(gpt2_folder: Path) -> None:
    assert isinstance(perplexity(), Perplexity)
    assert isinstance(perplexity(gpt2_folder), NeuralPerplexity)


def test_a_model_that_foresees_nothing_is_refused(teacher_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="BertModel, which foresees no next word; perplexity expects"):
        NeuralPerplexity(teacher_folder)


def test_pickled_weights_are_refused(gpt2_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2_folder, tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadData, match="which is a pickle"):
        NeuralPerplexity(folder)

"""``qualt5`` against transformers' own forward pass with the whole head."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.encoders.quality import qualt5 as module
from tamis.encoders.quality.qualt5 import QualT5

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [
    "the flea",
    "",
    "bread, dog and king: the city " * 4,
    "the dog " * 40 + "zebra!",
    "the flea bread",
    "unknown words: qwzx xqjv",
]
LONG = "the dog Relevant bread-king flea " * 60


def whole_head(folder: Path, prompts: list[str]) -> list[float]:
    """One prompt at a time through the model as it was saved; the words' pieces by hand."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    true, false = tokenizer.convert_tokens_to_ids(["\u2581true", "\u2581false"])
    scores = []
    for prompt in prompts:
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        with torch.inference_mode():
            logits = model(input_ids=ids, decoder_input_ids=torch.tensor([[0]])).logits[0, 0]
        assert len(logits) > 50
        scores.append(float(torch.log_softmax(logits[[true, false]].double(), 0)[0]))
    return scores


@pytest.mark.parametrize("kind", ["t5_folder", "untied_t5_folder"])
def test_the_logits_of_the_whole_head(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    expected = whole_head(folder, [f"Document: {text} Relevant:" for text in TEXTS])
    assert max(expected) - min(expected) > 0.01
    found = QualT5(folder).score(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found < 0).all()


def test_the_input_of_a_tied_head_is_scaled(t5_folder: Path, untied_t5_folder: Path) -> None:
    """Else scores of a tied model would be those of logits four times as large."""
    scaled = QualT5(t5_folder)._loaded.network.config.scale_decoder_outputs
    assert scaled
    assert not QualT5(untied_t5_folder)._loaded.network.config.scale_decoder_outputs


def test_the_head_has_two_rows_left(t5_folder: Path) -> None:
    network = QualT5(t5_folder)._loaded.network
    assert tuple(network.lm_head.weight.shape) == (2, 16)
    assert len(network.shared.weight) > 50


def test_other_company_changes_nothing(t5_folder: Path) -> None:
    model = QualT5(t5_folder)
    texts = [*TEXTS, *(f"{text} bread" for text in TEXTS), LONG]
    alone = np.concatenate([model.score([text]) for text in texts])
    np.testing.assert_allclose(model.score(texts), alone, atol=1e-5)
    np.testing.assert_allclose(model.score(texts[::-1])[::-1], alone, atol=1e-5)


def test_small_batches_are_large_ones(t5_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = QualT5(t5_folder).score(TEXTS)
    monkeypatch.setitem(module._BUDGET, "cpu", 20)
    np.testing.assert_allclose(QualT5(t5_folder).score(TEXTS), whole, atol=1e-5)


def test_a_long_text_loses_its_end_and_the_question_stays(t5_folder: Path) -> None:
    model = QualT5(t5_folder)
    [ids] = model._prompts([LONG])
    tokenizer = model._loaded.tokenizer
    assert 500 < len(ids) <= 512
    words = tokenizer.decode(ids)
    assert words.startswith("Document: the dog Relevant")
    assert words.rstrip().removesuffix("</s>").rstrip().endswith("Relevant:")
    read = words.partition("Document: ")[2].rpartition(" Relevant:")[0]
    assert LONG.startswith(read)
    one_more = LONG[: len(read) + 6]
    assert len(tokenizer(f"Document: {one_more} Relevant:")["input_ids"]) > 512
    expected = whole_head(t5_folder, [f"Document: {read} Relevant:"])
    np.testing.assert_allclose(model.score([LONG]), expected, atol=1e-5)
    assert model.score([LONG + "more"])[0] == model.score([LONG])[0]


@pytest.mark.parametrize("letters", [505, 506, 507, 508, 520])
def test_texts_about_as_long_as_there_is_room(t5_folder: Path, letters: int) -> None:
    """Letters are tokens: the cut falls everywhere, also inside a word."""
    model = QualT5(t5_folder)
    [ids] = model._prompts(["q" * letters])
    tokenizer = model._loaded.tokenizer
    whole = len(tokenizer(f"Document: {'q' * letters} Relevant:")["input_ids"])
    assert len(ids) == min(whole, 512)


class TestFingerprint:
    def test_names_the_weights(self, t5_folder: Path, untied_t5_folder: Path) -> None:
        first, again, other = map(QualT5, (t5_folder, str(t5_folder), untied_t5_folder))
        assert first.card == again.card
        assert first.card.fingerprint != other.card.fingerprint
        assert first.card.name == "qualt5 (tiny)"


class TestRefused:
    def test_another_kind_of_model(self, gpt2_folder: Path, teacher_folder: Path) -> None:
        with pytest.raises(BadData, match="is a gpt2; qualt5 expects a T5"):
            QualT5(gpt2_folder)
        with pytest.raises(BadData, match="BertModel, which foresees no next word"):
            QualT5(teacher_folder)

    def test_pickled_weights(self, t5_folder: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(t5_folder, tmp_path / "m")
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(BadData, match=r"pytorch_model\.bin, which is a pickle.*tamis convert"):
            QualT5(folder)
        (folder / "pytorch_model.bin").unlink()
        with pytest.raises(BadData, match=r"holds no model\.safetensors"):
            QualT5(folder)

    def test_weights_that_are_not_there(self, t5_folder: Path, tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        folder = shutil.copytree(t5_folder, tmp_path / "m")
        weights = load_file(folder / "model.safetensors")
        del weights["decoder.final_layer_norm.weight"]
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(BadData, match=r"lacks 1 weights .*decoder\.final_layer_norm"):
            QualT5(folder)

    def test_answers_that_begin_alike(
        self, t5_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "ANSWERS", ("ja", "nein"))  # in letters, after a space mark
        with pytest.raises(BadData, match=r"begins 'ja' and 'nein' .* two that differ"):
            QualT5(t5_folder)

    def test_no_folder_and_no_device(self, t5_folder: Path, tmp_path: Path) -> None:
        with pytest.raises(MissingResource, match=r"model of qualt5.*cannot be loaded"):
            QualT5(tmp_path / "none")
        if not torch.cuda.is_available():
            with pytest.raises(BadArguments, match="no CUDA device"):
                QualT5(t5_folder, device="cuda")

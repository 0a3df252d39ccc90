"""Tiny models of random weights: a cross-encoder in the files of a real one, neural rankers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tamis.rerank.neural.scorer import Scorer
    from tamis.rerank.neural.words import Words

WORDS = "flea lives for days cat dog bread recipe long how does a the of in sea wind"


def _save(folder: Path, labels: int = 1, length: int = 48) -> Path:
    """A BERT of two tiny layers with random weights, as sentence-transformers saves one."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    torch.manual_seed(7)
    folder.mkdir(parents=True)
    letters = [form for c in "abcdefghijklmnopqrstuvwxyz" for form in (c, f"##{c}")]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split(), *letters]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(dict.fromkeys(tokens)), "utf-8")
    config = BertConfig(
        vocab_size=len(dict.fromkeys(tokens)),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=length,
        num_labels=labels,
        initializer_range=0.6,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(vocab=str(vocabulary), model_max_length=length).save_pretrained(folder)
    CrossEncoder(str(folder), device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def save_cross_encoder() -> Callable[..., Path]:
    """(folder, labels=1, length=48) -> the folder, with a tiny cross-encoder in it."""
    return _save


@pytest.fixture(scope="session")
def tiny_cross(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(tmp_path_factory.mktemp("models") / "tiny")


def small_options(model: str) -> dict[str, int]:
    """Widths that a test can afford."""
    return {
        "conv-knrm": {"grams": 2, "width": 8},
        "mv-lstm": {"width": 16, "strongest": 5, "hidden": 8},
        "recurrent": {"width": 32, "layers": 1},
        "tk": {"width": 16, "layers": 1, "heads": 2, "hidden": 16},
    }.get(model, {})


@pytest.fixture(scope="session")
def tiny_words(tmp_path_factory: pytest.TempPathFactory) -> Words:
    """Whole words as pieces, 16 dimensions, random vectors of different lengths."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    from tamis.encoders.word_pieces import WordPieces
    from tamis.rerank.neural.words import Words

    vocabulary = ["[UNK]", *dict.fromkeys(WORDS.split())]
    rust = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(vocabulary)}, unk_token="[UNK]")  # noqa: S106
    )
    rust.normalizer = normalizers.Lowercase()
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    rust.save(str(path))
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((len(vocabulary), 16)) * rng.uniform(0.2, 2, (len(vocabulary), 1))
    return Words.of(WordPieces(path), vectors.astype(np.float32))


@pytest.fixture(scope="session")
def neural_scorer(tiny_words: Words) -> Callable[..., Scorer]:
    """(model, **options) -> an untrained scorer, its weights drawn from seed 5."""
    import torch

    from tamis.rerank.neural.scorer import Scorer
    from tamis.rerank.neural.spec import NeuralSpec, build

    def make(model: str, **options: object) -> Scorer:
        spec = NeuralSpec(
            model=model,
            vocabulary=len(tiny_words.directions),
            dim=tiny_words.dim,
            query_pieces=8,
            passage_pieces=24,
            words_of="tiny",
            options={**small_options(model), **options},
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            return Scorer(build(spec).eval(), tiny_words, spec)

    return make

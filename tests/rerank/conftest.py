"""A tiny cross-encoder of random weights, in the files of a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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

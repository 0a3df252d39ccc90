"""Language models with random weights, a few thousand numbers each, in folders of transformers'."""

from __future__ import annotations

from string import ascii_letters, digits, punctuation
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast

WHOLE = ["true", "false", "Document", "Relevant", "the", "flea", "bread", "dog", "king", "city"]


def unigrams() -> PreTrainedTokenizerFast:
    """T5's kind of tokenizer: words begin with a mark, unknown ones fall into letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = [*(f"\u2581{word}" for word in WHOLE), "\u2581", *ascii_letters, *digits, *punctuation]
    scored = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    scored += [(piece, -1.0 - 0.01 * place) for place, piece in enumerate(pieces)]
    rust = Tokenizer(models.Unigram(scored, unk_id=2, byte_fallback=False))
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    rust.decoder = decoders.Metaspace()
    rust.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=rust, **special)


def saved(folder: Path, make: Callable[[int], Any]) -> Path:
    """A model of so many words and its tokenizer."""
    import torch

    tokenizer = unigrams()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        make(len(tokenizer)).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def t5(vocabulary: int, **more: Any) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    settings = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    special = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    config = T5Config(
        vocab_size=vocabulary, initializer_factor=0.4, **{**settings, **special, **more}
    )
    return T5ForConditionalGeneration(config)


def gpt2(vocabulary: int) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 48}
    ends = {"bos_token_id": 1, "eos_token_id": 1}
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=vocabulary, initializer_range=0.3, **sizes, **ends)
    )


@pytest.fixture(scope="session")
def t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("t5") / "tiny", t5)


@pytest.fixture(scope="session")
def untied_t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As T5 1.1 is: a head of its own, whose input is not scaled."""
    made = tmp_path_factory.mktemp("t5") / "untied"
    return saved(made, lambda words: t5(words, tie_word_embeddings=False))


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 positions, no start token."""
    return saved(tmp_path_factory.mktemp("gpt2") / "small", gpt2)

"""Pairs as a tokenizer of transformers makes them, each text read once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tamis.rerank.pair_tokens import PairTokens

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["a flea lives for days", "", "sea wind " * 30, "Cat, dog!", "sea " * 10]


@pytest.fixture(scope="module")
def tokenizer(tiny_cross: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_cross)


def roberta(tokenizer: Any) -> Any:
    """The same words between other signs, and no segments."""
    from tokenizers.processors import RobertaProcessing
    from transformers import PreTrainedTokenizerFast

    rust = tokenizer.backend_tokenizer.__class__.from_str(tokenizer.backend_tokenizer.to_str())
    cls, sep = (tokenizer.convert_tokens_to_ids(sign) for sign in ("[CLS]", "[SEP]"))
    rust.post_processor = RobertaProcessing(("[SEP]", sep), ("[CLS]", cls))
    return PreTrainedTokenizerFast(
        tokenizer_object=rust,
        pad_token="[PAD]",  # noqa: S106
        model_input_names=["input_ids", "attention_mask"],
    )


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_as_the_tokenizer_cuts_the_passage_alone(tokenizer: Any, kind: str) -> None:
    tokenizer = tokenizer if kind == "bert" else roberta(tokenizer)
    pairs = [(query, passage) for query in TEXTS[:1] + TEXTS[3:] for passage in TEXTS]
    expected = tokenizer(
        [query for query, _ in pairs],
        [passage for _, passage in pairs],
        truncation="only_second",
        max_length=32,
    )
    found = PairTokens(tokenizer, 32).of(pairs)
    assert max(len(each["input_ids"]) for each in found) == 32
    assert set(found[0]) == set(tokenizer.model_input_names)
    for name in tokenizer.model_input_names:
        assert [each[name] for each in found] == expected[name]


def test_each_text_is_tokenised_once(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, read = PairTokens(tokenizer, 32), []
    rust = tokens._rust

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(rust, name)

        def encode_batch(self, texts: list[str], **options: Any) -> Any:
            read.extend(texts)
            return rust.encode_batch(texts, **options)

    monkeypatch.setattr(tokens, "_rust", Counting())
    tokens.of([("cat", "dog"), ("cat", "sea"), ("wind", "dog"), ("cat", "dog")])
    assert sorted(read) == ["cat", "dog", "sea", "wind"]


def test_a_long_query_does_not_shorten_a_passage_for_the_next(tokenizer: Any) -> None:
    long, short = "flea " * 20, "flea"
    tokens = PairTokens(tokenizer, 32)
    together = tokens.of([(long, TEXTS[2]), (short, TEXTS[2])])
    assert together[1] == tokens.of([(short, TEXTS[2])])[0]
    assert len(together[1]["input_ids"]) == 32

"""Texts to packed word pieces, with a tokenizer of six pieces."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

from tamis.core.errors import BadData, MissingResource
from tamis.encoders import word_pieces
from tamis.encoders.word_pieces import WordPieces

PIECES = {"[UNK]": 0, "flea": 1, "sieve": 2, "s": 3, "##s": 4, "grain": 5}

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A tokenizer.json with these pieces, and these keys changed."""

    def write(pieces: dict[str, int] = PIECES, **changed: Any) -> Path:
        tokenizer = Tokenizer(WordPiece(pieces, unk_token="[UNK]"))  # noqa: S106
        tokenizer.pre_tokenizer = Whitespace()
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps({**json.loads(tokenizer.to_str()), **changed}), "utf-8")
        return path

    return write


def test_a_pack_by_hand(make: Make) -> None:
    packed = WordPieces(make()).pack(["fleas", "", "sieve ? grain"])
    assert packed.ids.tolist() == [1, 4, 2, 0, 5]
    assert packed.bounds.tolist() == [0, 2, 2, 5]
    assert packed.counts.tolist() == [2, 0, 3]
    assert (packed.ids.dtype, packed.bounds.dtype, packed.counts.dtype) == (
        np.int32,
        np.int64,
        np.int32,
    )


def test_texts_are_cut_and_counted_whole(make: Make) -> None:
    packed = WordPieces(make()).pack(["fleas", "grain", "sieve grain flea"], "s ", 3)
    assert packed.ids.tolist() == [3, 1, 4, 3, 5, 3, 2, 5]
    assert packed.bounds.tolist() == [0, 3, 5, 8]
    assert packed.counts.tolist() == [3, 2, 4]


def test_no_text_no_token(make: Make) -> None:
    pieces = WordPieces(make())
    packed = pieces.pack([], "s ", 3)
    assert (packed.ids.tolist(), packed.bounds.tolist(), packed.counts.tolist()) == ([], [0], [])
    assert list(pieces.pack_ahead([])) == []


@pytest.mark.parametrize("texts", [1, 2, 3, 4, 5])
def test_chunks_are_those_of_the_whole(
    make: Make, monkeypatch: pytest.MonkeyPatch, texts: int
) -> None:
    pieces = WordPieces(make())
    some = ["fleas", "grain flea", "", "sieve", "s"][:texts]
    whole = pieces.pack(some, "s ", 2)
    monkeypatch.setattr(word_pieces, "_CHUNK", 2)
    chunks = list(pieces.pack_ahead(some, "s ", 2))
    assert [start for start, _ in chunks] == list(range(0, texts, 2))
    assert np.concatenate([packed.ids for _, packed in chunks]).tolist() == whole.ids.tolist()
    assert np.concatenate([packed.counts for _, packed in chunks]).tolist() == whole.counts.tolist()


def test_the_files_own_padding_and_truncation_are_left_out(make: Make) -> None:
    path = make(
        truncation={"max_length": 1, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        padding={
            "strategy": {"Fixed": 8},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[UNK]",
        },
    )
    assert WordPieces(path).pack(["fleas"]).ids.tolist() == [1, 4]


def test_the_vocabulary_reaches_to_the_largest_id(make: Make) -> None:
    assert WordPieces(make()).vocabulary == 6
    assert WordPieces(make({**PIECES, "grain": 40})).vocabulary == 41


def test_a_file_that_is_not_there_or_no_tokenizer(make: Make, tmp_path: Path) -> None:
    with pytest.raises(MissingResource, match=r"none\.json"):
        WordPieces(tmp_path / "none.json")
    path = make()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadData, match="not a tokenizer"):
        WordPieces(path)


def test_half_a_surrogate_pair_is_named(make: Make) -> None:
    with pytest.raises(BadData, match=r"'s \\ud800 flea' holds half"):
        WordPieces(make()).pack(["grain", "\ud800 flea"], "s ")

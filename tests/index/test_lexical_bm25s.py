"""The bm25s engine: scores by hand and by a second implementation, files, mapping, memory."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import bm25s
import numpy as np
import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import Mismatch
from tamis.core.fingerprints import of_file
from tamis.core.records import Query
from tamis.index.lexical import LexicalSettings, build_lexical, open_lexical
from tamis.index.lexical.tokens import PackedTokens, pack, tokenizer

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [
    "The cats were running from the dogs, running fast.",
    "Dogs chase cats; a cat runs!",
    "",
    "Übergrößenträger sind keine Katzen.",
    "Nothing of the kind: 42 and 1,000 are numbers_with_underscores",
    "a I x",
]


def build(texts: list[str], folder: Path, **parameters: float) -> LexicalSettings:
    wanted = LexicalSettings("bm25s", **parameters)
    build_lexical(wanted, texts, folder)
    return wanted


def plain_tokens(texts: list[str]) -> list[list[str]]:
    """As bm25s's documentation tokenises."""
    stemmer = Stemmer.Stemmer("english")
    return bm25s.tokenize(
        texts, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
    )


def test_scores_worked_by_hand(tmp_path: Path) -> None:
    # Three passages of 2, 3 and 1 words, 2 on average; "cat" is in two of them.
    # idf = ln(1 + (3 - 2 + 0.5) / (2 + 0.5)) = ln 1.6 = 0.4700036
    # row 0: 1 / (1 + 0.9 (0.6 + 0.4 * 2/2)) = 1 / 1.9    -> 0.4700036 / 1.9       = 0.2473703
    # row 1: 2 / (2 + 0.9 (0.6 + 0.4 * 3/2)) = 2 / 3.08   -> 0.4700036 * 2 / 3.08  = 0.3051972
    wanted = build(["cat dog", "cat cat fish", "bird"], tmp_path)
    (ranking,) = open_lexical(wanted, tmp_path).retrieve([Query("q", "cat")], 10)
    assert ranking.rows.tolist() == [1, 0]
    assert ranking.scores.tolist() == pytest.approx([0.3051972, 0.2473703], abs=1e-6)


def test_plain_bm25s_opens_the_folder_and_scores_alike(tmp_path: Path) -> None:
    wanted = build(TEXTS, tmp_path)
    theirs = bm25s.BM25.load(tmp_path)
    (query,) = plain_tokens(["do cats run from dogs?"])
    (ranking,) = open_lexical(wanted, tmp_path).retrieve([Query("q", "do cats run from dogs?")], 9)
    scores = theirs.get_scores(query)
    assert len(ranking) == 2
    assert ranking.scores.tolist() == scores[ranking.rows].tolist()
    assert np.flatnonzero(scores).tolist() == sorted(ranking.rows.tolist())


def test_the_scores_are_those_of_bm25s_to_the_bit(tmp_path: Path) -> None:
    # Packing and scipy's ordering change no score: column by column, plain bm25s has the same.
    build(TEXTS, tmp_path, k1=1.2, b=0.75)
    ours = bm25s.BM25.load(tmp_path)
    plain = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    plain.index(plain_tokens(TEXTS), show_progress=False)
    words = {token for tokens in plain_tokens(TEXTS) for token in tokens}
    assert set(ours.vocab_dict) == {"", *words}
    for word in words:
        assert ours.get_scores([word]).tolist() == plain.get_scores([word]).tolist()


WORDS = st.lists(st.sampled_from(["ape", "bee", "cow", "apes", "the", "x"]), max_size=6)
SENTENCES = WORDS.map(" ".join)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(SENTENCES, min_size=1, max_size=12), query=SENTENCES, k=st.integers(1, 14))
def test_rankings_agree_with_the_formula(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], query: str, k: int
) -> None:
    folder = tmp_path_factory.mktemp("lexical")
    index = open_lexical(build(texts, folder), folder)
    (ranking,) = index.retrieve([Query("q", query)], k)
    expected = formula(texts, query)
    assert ranking.scores.tolist() == pytest.approx([expected[row] for row in ranking.rows])
    matching = [row for row, score in enumerate(expected) if score > 0]
    assert len(ranking) == min(k, len(matching))
    pairs = list(zip((-ranking.scores).tolist(), ranking.rows.tolist(), strict=True))
    assert pairs == sorted(pairs)
    left_out = set(matching) - set(ranking.rows.tolist())
    if left_out:
        weakest = expected[ranking.rows[-1]]
        assert all(expected[row] <= weakest * (1 + 1e-6) for row in left_out)


def formula(texts: list[str], query: str, k1: float = 0.9, b: float = 0.4) -> list[float]:
    """BM25 as Lucene means it, from the paper, in double precision, one passage at a time."""

    def words(text: str) -> list[str]:
        return plain_tokens([text])[0]

    passages = [Counter(words(text)) for text in texts]
    lengths = [sum(passage.values()) for passage in passages]
    mean = sum(lengths) / len(lengths)
    holding = Counter(word for passage in passages for word in passage)
    scores = []
    for passage, length in zip(passages, lengths, strict=True):
        score = 0.0
        for word in words(query):
            if passage[word]:
                idf = math.log(1 + (len(texts) - holding[word] + 0.5) / (holding[word] + 0.5))
                weight = passage[word] / (passage[word] + k1 * (1 - b + b * length / mean))
                score += idf * weight
        scores.append(score)
    return scores


BUILDER = """
import sys
from pathlib import Path
from tamis.index.lexical import LexicalSettings, build_lexical
texts = [f"word{i % 97} thing{i % 89} {'cat ' * (i % 5)}" for i in range(500)]
build_lexical(LexicalSettings(), texts, Path(sys.argv[1]))
"""


def test_files_are_the_same_whatever_the_hash_seed(tmp_path: Path) -> None:
    hashes = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        command = [sys.executable, "-P", "-c", BUILDER, str(folder)]
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, check=True, timeout=60)
        hashes.append({file.name: of_file(file) for file in folder.iterdir()})
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 5


def test_the_vocabulary_is_sorted_so_that_the_order_of_passages_leaves_ids_alone(
    tmp_path: Path,
) -> None:
    build(TEXTS, tmp_path / "a")
    build(TEXTS[::-1], tmp_path / "b")
    name = "vocab.index.json"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    vocabulary = bm25s.BM25.load(tmp_path / "a").vocab_dict
    assert list(vocabulary) == sorted(vocabulary)


def test_another_k1_or_b_than_built_is_a_mismatch(tmp_path: Path) -> None:
    build(["cat"], tmp_path)
    with pytest.raises(Mismatch, match=re.escape("(0.9, 0.4), not (1.2, 0.4)")):
        open_lexical(LexicalSettings(k1=1.2), tmp_path)


def test_scores_are_mapped_from_the_files_not_loaded(tmp_path: Path) -> None:
    index = open_lexical(build(TEXTS, tmp_path), tmp_path)
    for part in ("data", "indices", "indptr"):
        array = index._model.scores[part]
        assert type(array) is np.ndarray  # no memmap, whose slices are slow
        assert isinstance(array.base, np.memmap)
        assert not array.flags.writeable


def test_no_pickle_is_read(tmp_path: Path) -> None:
    build(TEXTS, tmp_path)
    for file in tmp_path.glob("*.npy"):
        np.load(file, allow_pickle=False)
    assert not list(tmp_path.glob("*.pkl"))


def test_packed_tokens_are_the_lists_that_bm25s_makes() -> None:
    tokens, vocabulary = pack(tokenizer("english", "english"), iter(TEXTS), lambda _: None)
    names = {number: token for token, number in vocabulary.items()}
    unpacked = [[names[number] for number in passage] for passage in tokens]
    assert unpacked == plain_tokens(TEXTS)
    assert (tokens.ids.dtype, len(tokens)) == (np.int32, len(TEXTS))


def test_packed_tokens_can_be_read_again_and_again() -> None:
    packed = PackedTokens(np.array([4, 5, 6], np.int32), np.array([2, 2, 3]))
    assert list(packed) == list(packed) == [[4, 5], [], [6]]


MEASURE = """
import random, re, sys
from pathlib import Path
import bm25s, scipy.sparse, Stemmer
from tamis.index.lexical import LexicalSettings, build_lexical

def texts(rows, draw=random.Random(0)):
    for _ in range(rows):
        yield " ".join(f"word{int(3e4 ** draw.random())}" for _ in range(40))

def peak():  # of this program; ru_maxrss would begin with what its parent had used
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = peak()
build_lexical(LexicalSettings(), texts(60_000), Path(sys.argv[1]))
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_building_needs_tens_of_bytes_a_token(tmp_path: Path) -> None:
    # 60,000 passages of 40 words: 2.4 million tokens. Measured: 65 MiB; 98 when numpy instead of
    # scipy orders the scores; 146 when the tokens are lists of integers.
    command = [sys.executable, "-P", "-c", MEASURE, str(tmp_path / "lexical")]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert int(run.stdout) / 1024 < 82


def test_importing_the_room_imports_no_engine() -> None:
    program = "import sys, tamis.index.lexical; print(*sorted(sys.modules))"
    command = [sys.executable, "-P", "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert not {"bm25s", "scipy", "Stemmer", "jnius", "pyserini"} & set(run.stdout.split())

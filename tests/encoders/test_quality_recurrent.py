"""The recurrent quality model: its score, its folder, and what a damaged folder says."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

import tamis
from tamis.core.errors import BadArguments, BadData, CorruptFile, MissingResource
from tamis.core.protocols import QualityCard
from tamis.encoders.folded.encoder import FoldedEncoder
from tamis.encoders.quality.recurrent import (
    HEAD,
    RecurrentQuality,
    is_quality_folder,
    load_recurrent,
    save_quality,
)

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["A flea lives for a hundred days.", "", "Home | About | Log in", "the the the", "\u65e5"]


@pytest.fixture
def encoder() -> FoldedEncoder:
    made = tamis.encoder("tamis-tiny")
    assert isinstance(made, FoldedEncoder)
    return made


@pytest.fixture
def head() -> np.ndarray:
    return np.random.default_rng(0).normal(size=384).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, encoder: FoldedEncoder, head: np.ndarray) -> Path:
    save_quality(tmp_path / "model", encoder, head, 0.5, "It learned nothing.")
    return tmp_path / "model"


def test_a_score_is_the_head_times_the_vector(encoder: FoldedEncoder, head: np.ndarray) -> None:
    model = RecurrentQuality(encoder, head, 0.5, QualityCard("mine", "0"))
    expected = encoder.encode_passages(TEXTS).astype(np.float64) @ head + 0.5
    np.testing.assert_allclose(model.score(TEXTS), expected, atol=1e-5)
    assert model.score(TEXTS)[1] == np.float32(0.5)


def test_a_saved_model_scores_the_same(
    folder: Path, encoder: FoldedEncoder, head: np.ndarray
) -> None:
    loaded = load_recurrent(folder)
    kept = RecurrentQuality(encoder, head, 0.5, QualityCard("mine", "0"))
    np.testing.assert_allclose(loaded.score(TEXTS), kept.score(TEXTS), atol=1e-5)
    assert is_quality_folder(folder)
    assert "It learned nothing." in (folder / "README.md").read_text("utf-8")
    with pytest.raises(BadArguments, match="exists"):
        save_quality(folder, encoder, head, 0.5, "")


def test_the_fingerprint_is_of_head_and_weights(
    folder: Path, encoder: FoldedEncoder, head: np.ndarray
) -> None:
    save_quality(folder.parent / "other", encoder, head + 1, 0.5, "It learned nothing.")
    save_quality(folder.parent / "same", encoder, head, 0.5, "Another sentence.")
    cards = [load_recurrent(folder.parent / name).card for name in ("model", "other", "same")]
    assert cards[0].fingerprint == cards[2].fingerprint != cards[1].fingerprint


@pytest.mark.parametrize(
    "tensors",
    [
        {"weight": np.zeros(384, np.float32)},
        {"weight": np.zeros((384, 1), np.float32), "bias": np.zeros(1, np.float32)},
        {"weight": np.zeros(384, np.float16), "bias": np.zeros(1, np.float32)},
        {"weight": np.zeros(383, np.float32), "bias": np.zeros(1, np.float32)},
        {"weight": np.full(384, np.nan, np.float32), "bias": np.zeros(1, np.float32)},
        {"weight": np.zeros(384, np.float32), "bias": np.zeros(2, np.float32)},
    ],
)
def test_a_wrong_head_is_named(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    save_file(tensors, folder / HEAD)
    with pytest.raises(BadData, match=HEAD):
        load_recurrent(folder)


def test_a_damaged_or_missing_head_is_named(folder: Path) -> None:
    (folder / HEAD).write_bytes(b"not tensors")
    with pytest.raises(CorruptFile, match=HEAD):
        load_recurrent(folder)
    (folder / HEAD).unlink()
    with pytest.raises(MissingResource, match=HEAD):
        load_recurrent(folder)
    shutil.rmtree(folder)
    with pytest.raises(MissingResource):
        load_recurrent(folder)

"""Recurrent students: word embeddings of their teacher, trained by distillation and contrast."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tamis.core.errors import BadArguments
from tamis.core.progress import Silent
from tamis.encoders.recurrent.kinds import load_encoder
from tamis.encoders.training.loop import train
from tamis.encoders.training.pairs import Pair, write_pairs
from tamis.encoders.training.recipes import prepare
from tamis.encoders.training.spec import spec_of
from tamis.encoders.training.teacher import Teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Texts = Callable[[int, int], list[str]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, texts: Texts) -> Path:
    folder = tmp_path_factory.mktemp("data")
    found = texts(0, 300)
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"text": each}) for each in found))
    write_pairs(folder / "pairs.jsonl", [Pair(each[:9], each) for each in found])
    return folder


def made(data: Path, teacher: Path, cache: Path, **tables: Any) -> tuple[Any, Any]:
    body: dict[str, Any] = {
        "recipe": "distillation",
        "model": {"kind": "recurrent", "layers": 1, "width": 32, **tables.pop("model", {})},
        "teacher": {"model": str(teacher)},
        "schedule": {"epochs": 6, "batch_tokens": 500, "warmup": 5, "rate": 0.005},
        **tables,
    }
    if body["recipe"] == "distillation":
        body.setdefault("texts", [{"path": "a.jsonl"}])
    spec = spec_of(body, "spec.toml", data)
    return spec, prepare(spec, cache / "cache")


def embeddings(recipe: Any) -> np.ndarray:
    found: np.ndarray = recipe.trainee.model.embedding.weight.detach().numpy()
    return found


def test_word_embeddings_are_the_teachers_vectors(
    data: Path, teacher_folder: Path, tmp_path: Path
) -> None:
    vectors = Teacher(teacher_folder).piece_vectors()
    _, same = made(data, teacher_folder, tmp_path)
    scale = np.sqrt(np.square(vectors).mean())
    np.testing.assert_allclose(embeddings(same), vectors / scale, atol=1e-5)
    assert np.square(embeddings(same)).mean() == pytest.approx(1, rel=1e-4)


def test_a_narrower_table_is_their_principal_components(
    data: Path, teacher_folder: Path, tmp_path: Path
) -> None:
    vectors = Teacher(teacher_folder).piece_vectors()
    _, narrow = made(data, teacher_folder, tmp_path, model={"width": 16})
    back = narrow.trainee.model.projection.weight.detach().numpy()
    values, directions = np.linalg.eigh(vectors.T @ vectors)
    best = directions[:, np.argsort(-values)[:16]]
    expected = vectors @ best @ best.T
    found = embeddings(narrow) @ back.T
    cosine = (found * expected).sum() / np.linalg.norm(found) / np.linalg.norm(expected)
    assert cosine == pytest.approx(1, abs=1e-4)


def test_a_wider_table_holds_them_beside_random_numbers(
    data: Path, teacher_folder: Path, tmp_path: Path
) -> None:
    vectors = Teacher(teacher_folder).piece_vectors()
    _, wide = made(data, teacher_folder, tmp_path, model={"width": 48})
    ratio = embeddings(wide)[:, :32] / vectors
    assert np.ptp(ratio) < 1e-2 * ratio.mean()
    assert 0.8 < np.square(embeddings(wide)[:, 32:]).mean() < 1.2


@pytest.mark.parametrize("model", [{"cell": "mingru"}, {"cell": "gru", "layers": 2}], ids=str)
def test_any_cell_comes_nearer_to_its_teacher(
    data: Path, teacher_folder: Path, tmp_path: Path, texts: Texts, model: dict[str, Any]
) -> None:
    spec, recipe = made(data, teacher_folder, tmp_path, model=model)
    teacher, asked = Teacher(teacher_folder), texts(9, 40)

    def cosine() -> float:
        found = recipe.trainee.encoder().encode_passages(asked)
        return float((found * teacher.encode_passages(asked)).sum(1).mean())

    before = cosine()
    train(recipe, spec, tmp_path / "run", progress=Silent())
    after = cosine()
    assert after > before + 0.05
    recipe.trainee.save(tmp_path / "model", trained_on=recipe.trained_on)
    saved = load_encoder(tmp_path / "model")
    assert saved.card.space == teacher.card.space
    found = recipe.trainee.encoder().encode_passages(asked)
    assert np.abs(saved.encode_passages(asked) - found).max() < 1e-5


def test_a_new_student_can_begin_with_contrast(
    data: Path, teacher_folder: Path, tmp_path: Path
) -> None:
    tables = {
        "recipe": "contrastive",
        "pairs": {"file": "pairs.jsonl"},
        "contrastive": {"keep": 1.0, "held_out": 60},
    }
    spec, recipe = made(data, teacher_folder, tmp_path, **tables)
    before = recipe.watch()
    train(recipe, spec, tmp_path / "run", progress=Silent())
    after = recipe.watch()
    assert after["held-out RR"] > before["held-out RR"]
    assert after["cosine passage"] > before["cosine passage"]


@pytest.mark.parametrize("model", [{}, {"kind": "transformer", "start": "minilm"}], ids=str)
def test_token_states_are_for_folded_students(
    data: Path, teacher_folder: Path, tmp_path: Path, model: dict[str, Any]
) -> None:
    texts = [{"path": "a.jsonl", "states": 8}]
    with pytest.raises(BadArguments, match=r"folded students only, .*set states = 0"):
        made(data, teacher_folder, tmp_path, model=model, texts=texts)
    if not model:
        made(data, teacher_folder, tmp_path, texts=texts, distillation={"states": 0})

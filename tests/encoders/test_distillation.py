"""Distillation end to end on a tiny teacher: what is learned, what is read, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tamis.core.errors import BadArguments, BadData, MissingResource, TamisError
from tamis.core.progress import Silent
from tamis.encoders.recurrent.kinds import load_encoder
from tamis.encoders.training.distillation import Distillation
from tamis.encoders.training.log import LOG, read_log
from tamis.encoders.training.loop import CHECKPOINT, _optimizer, rate_factor, train
from tamis.encoders.training.recipes import prepare
from tamis.encoders.training.spec import TrainingSpec, spec_of
from tamis.encoders.training.teacher import Teacher

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = 600


Texts = Callable[[int, int], list[str]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, texts: Texts) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, seed in (("a", 0), ("b", 1)):
        lines = [json.dumps({"text": text}) for text in texts(seed, TEXTS)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), "utf-8")
    return folder


def body(teacher: Path, **changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "recipe": "distillation",
        "seed": 1,
        "model": {"layers": 1, "width": 32, "rank": 32},
        "teacher": {"model": str(teacher)},
        "distillation": {"leaf": 8, "group": 2, "held_out": 1},
        "texts": [
            {"path": "a.jsonl", "states": 4},
            {"path": "b.jsonl", "role": "query"},
        ],
        "schedule": {"epochs": 2.0, "batch_tokens": 500, "warmup": 5, "checkpoint_every": 7},
    }
    for name, value in changes.items():
        table, _, key = name.partition("__")
        if key:
            whole[table] = {**whole.get(table, {}), key: value}
        else:
            whole[table] = value
    return whole


@pytest.fixture
def made(teacher_folder: Path, data: Path, tmp_path: Path) -> Any:
    def make(**changes: Any) -> tuple[TrainingSpec, Any]:
        spec = spec_of(body(teacher_folder, **changes), "spec.toml", data)
        return spec, prepare(spec, tmp_path / "cache")

    return make


class Killed(Exception):
    pass


class KilledAfter(Silent):
    """Stands for kill -9: nothing is written any more after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Any]:
        del name, total

        def advance(done: int) -> None:
            self.left -= done
            if self.left < 0:
                raise Killed

        yield advance


def weights(recipe: Any) -> dict[str, torch.Tensor]:
    return {name: x.detach().clone() for name, x in recipe.trainee.module.named_parameters()}


def test_a_student_comes_nearer_to_its_teacher(made: Any, tmp_path: Path) -> None:
    spec, recipe = made(schedule__epochs=12.0)
    before = recipe.watch()["cosine query"]
    train(recipe, spec, tmp_path / "run", progress=Silent())
    after = recipe.watch()["cosine query"]
    assert after > before + 0.1
    first, *_, last = [line["loss"] for line in read_log(tmp_path / "run" / LOG)]
    assert last < 0.8 * first


def test_killed_at_any_step_it_ends_with_the_same_weights(made: Any, tmp_path: Path) -> None:
    spec, whole = made()
    train(whole, spec, tmp_path / "whole", progress=Silent())
    assert whole.steps > 30
    for steps in (3, 7, 8, 30):
        folder = tmp_path / f"killed after {steps}"
        with pytest.raises(Killed):
            train(made()[1], spec, folder, progress=KilledAfter(steps))
        _, resumed = made()
        train(resumed, spec, folder, progress=Silent())
        for name, expected in weights(whole).items():
            assert torch.equal(weights(resumed)[name], expected), (steps, name)


def test_a_killed_log_has_every_step_once(made: Any, tmp_path: Path) -> None:
    spec, recipe = made(schedule__epochs=8.0, schedule__checkpoint_every=60)
    with pytest.raises(Killed):
        train(recipe, spec, tmp_path / "run", progress=KilledAfter(110))
    train(
        made(schedule__epochs=8.0, schedule__checkpoint_every=60)[1],
        spec,
        tmp_path / "run",
        progress=Silent(),
    )
    steps = [line["step"] for line in read_log(tmp_path / "run" / LOG)]
    assert steps == sorted(set(steps))
    assert steps[-1] == recipe.steps


def test_another_spec_never_goes_on_from_a_checkpoint(made: Any, tmp_path: Path) -> None:
    spec, recipe = made()
    train(recipe, spec, tmp_path / "run", progress=Silent())
    other, again = made(seed=2)
    with pytest.raises(BadArguments, match="another spec"):
        train(again, other, tmp_path / "run", progress=Silent())


def test_batches_hold_every_text_once_an_epoch_and_their_own_targets(made: Any) -> None:
    _, recipe = made(schedule__epochs=1.0, distillation__held_out=0)
    batches = list(recipe.batches(0))
    assert len(batches) == recipe.steps
    sizes = [len(batch.targets) for batch in batches]
    assert sum(sizes) == 2 * TEXTS
    teacher = recipe._cache._teacher
    for batch in batches[:3]:
        starts = np.cumsum(batch.tokens.lengths) - batch.tokens.lengths
        ids = [
            batch.tokens.ids[a : a + n] for a, n in zip(starts, batch.tokens.lengths, strict=True)
        ]
        read = [" ".join(teacher._model.tokenizer.convert_ids_to_tokens(each)) for each in ids]
        expected = teacher.encode(read, "passage").vectors
        np.testing.assert_allclose(batch.targets, expected, atol=2e-3)


def test_states_of_runs_are_means_of_what_the_vector_is_the_mean_of(made: Any) -> None:
    _, recipe = made(schedule__epochs=1.0, distillation__held_out=0)
    batch = next(b for b in recipe.batches(0) if len(b.run_rows))
    vectors, runs = recipe.trainee.vectors_and_runs(batch.tokens, 4)
    np.testing.assert_allclose(
        vectors.detach(), recipe.trainee.vectors(batch.tokens).detach(), atol=1e-6
    )
    assert len(runs) == sum(-(-n // 4) for n in batch.tokens.lengths)
    assert len(batch.run_rows) == len(batch.run_targets) <= len(runs)


def test_a_teacher_is_asked_once(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, first = made()
    list(first.batches(0))
    asked: list[int] = []
    monkeypatch.setattr(Teacher, "targets", lambda *_: asked.append(1))
    _, second = made(seed=5)
    list(second.batches(0))
    assert not asked


def test_an_untrained_student_is_its_teachers_bag_of_pieces(made: Any) -> None:
    _, recipe = made()
    teacher = recipe._cache._teacher
    table = teacher.piece_vectors()
    ids = [9, 17, 30]
    pieces = teacher._model.tokenizer.convert_ids_to_tokens(ids)
    student = recipe.trainee.encoder()
    weight = student.weights.weight[ids]
    expected = (table[ids] * weight[:, None]).sum(0)
    found = student.encode([" ".join(pieces)], "passage").vectors[0]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def test_a_saved_student_gives_the_vectors_of_the_trained_one(
    made: Any, texts: Texts, tmp_path: Path
) -> None:
    spec, recipe = made()
    train(recipe, spec, tmp_path / "run", progress=Silent())
    recipe.trainee.save(tmp_path / "model", trained_on=recipe.trained_on)
    loaded = load_encoder(tmp_path / "model")
    some = texts(7, 20)
    found = loaded.encode(some, "passage").vectors
    expected = recipe.trainee.encoder().encode(some, "passage").vectors
    assert (found * expected).sum(1).min() > 0.9995  # int8 table
    assert loaded.card.space == recipe._cache._teacher.card.space
    assert "texts of a.jsonl" in (tmp_path / "model" / "README.md").read_text("utf-8")


def test_a_source_listed_twice_is_read_twice_and_told_once(made: Any) -> None:
    once = {"path": "a.jsonl", "role": "query"}
    _, one = made(texts=[once], distillation__held_out=0)
    _, both = made(texts=[once, once], distillation__held_out=0)
    assert one.trained_on == both.trained_on
    assert both.steps == pytest.approx(2 * one.steps, abs=2)


def test_output_and_weights_of_pieces_move_at_rates_of_their_own(made: Any) -> None:
    spec, recipe = made(schedule__rate=0.01, schedule__table_rate=0.1, model__piece_weights="zipf")
    module = recipe.trainee.module
    groups = _optimizer(module, spec.schedule).param_groups
    peaks = {id(p): group["peak"] for group in groups for p in group["params"]}
    found = {name: peaks.pop(id(p)) for name, p in module.named_parameters()}
    assert not peaks
    assert found["embedding"] == 0.1
    assert found["weight"] == pytest.approx(0.4)
    assert found["output"] == pytest.approx(0.003)
    assert found["layers.0.tokens"] == found["layers.0.gain"] == 0.01


@pytest.mark.parametrize("weights", ["equal", "zipf"])
def test_weights_of_pieces_are_learned_unless_all_are_equal(
    made: Any, tmp_path: Path, weights: str
) -> None:
    spec, recipe = made(model__piece_weights=weights)
    before = recipe.trainee.model.weight.detach().clone()
    train(recipe, spec, tmp_path / "run", progress=Silent())
    assert bool((recipe.trainee.model.weight == before).all()) == (weights == "equal")
    assert bool((before == before[0]).all()) == (weights == "equal")


def test_matryoshka_makes_the_first_dimensions_useful(
    made: Any, texts: Texts, tmp_path: Path
) -> None:
    cut, some = {}, texts(9, 200)
    for name, dims in (("with", [8]), ("without", [])):
        spec, recipe = made(distillation__dims=dims, schedule__epochs=10.0)
        train(recipe, spec, tmp_path / name, progress=Silent())
        goal = recipe._cache._teacher.encode(some, "passage").vectors[:, :8]
        found = recipe.trainee.encoder().encode(some, "passage").vectors[:, :8]
        cosine = (
            (goal * found).sum(1) / np.linalg.norm(goal, axis=1) / np.linalg.norm(found, axis=1)
        )
        cut[name] = cosine.mean()
    assert cut["with"] > cut["without"]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"recipe": "distilation"}, BadArguments, "distilation"),
        ({"model__layer": 3}, BadData, "layer"),
        ({"model__kind": "lstm"}, BadData, "lstm"),
        ({"model__rank": "wide"}, BadData, "wide"),
        ({"schedule__epochs": 0.0}, BadData, "epochs is 0.0"),
        ({"schedule__patience": 3}, BadData, "evaluate_every"),
        ({"distillation__temperature": 0.0}, BadData, "temperature"),
        ({"texts": []}, BadArguments, "no [[texts]]"),
        ({"texts": [{"path": "c.jsonl"}]}, MissingResource, "--data"),
        ({"texts": [{"path": "a.jsonl", "role": "document"}]}, BadData, "document"),
        ({"mining": {}}, BadData, "mining"),
        ({"seed": "one"}, BadData, "one"),
    ],
)
def test_a_wrong_spec_is_refused_before_a_model_is_loaded(
    changes: dict[str, Any],
    error: type[TamisError],
    words: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(Teacher, "__init__", loaded)
    with pytest.raises(error) as caught:
        prepare(spec_of(body(data, **changes), "spec.toml", data), tmp_path)
    assert words in str(caught.value)


def test_a_line_without_a_text_is_named(made: Any, data: Path) -> None:
    (data / "bad.jsonl").write_text('{"text": "fine"}\n{"body": "?"}\n', "utf-8")
    with pytest.raises(BadData, match=r"bad\.jsonl line 2"):
        made(texts=[{"path": "bad.jsonl"}])


def test_rates_rise_and_fall() -> None:
    factors = [rate_factor(step, 100, 10) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == factors[10] == 1
    assert factors[55] == pytest.approx(0.5)
    assert 0 < factors[-1] < 0.001


def test_a_damaged_checkpoint_is_named(made: Any, tmp_path: Path) -> None:
    spec, recipe = made()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / CHECKPOINT).write_bytes(b"not safetensors")
    with pytest.raises(TamisError, match=CHECKPOINT):
        train(recipe, spec, tmp_path / "run", progress=Silent())


def test_the_best_evaluation_is_kept_and_stops_the_run(made: Any, tmp_path: Path) -> None:
    spec, recipe = made(schedule__evaluate_every=5, schedule__patience=2)
    values = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    seen = []

    def evaluate() -> dict[str, float]:
        seen.append(recipe.trainee.encoder().encode(["the river"], "query").vectors)
        return {"dev": next(values)}

    train(recipe, spec, tmp_path / "run", evaluate=evaluate, progress=Silent())
    assert len(seen) == 4
    kept = recipe.trainee.encoder().encode(["the river"], "query").vectors
    np.testing.assert_allclose(kept, seen[1], atol=1e-6)
    assert isinstance(recipe, Distillation)

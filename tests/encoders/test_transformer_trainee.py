"""A sentence-transformers model trained by the recipes: the same vectors, batches and care."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tamis.core.errors import BadArguments, BadData, FailedWhileRunning
from tamis.core.progress import Silent
from tamis.encoders.recurrent.kinds import kind_of
from tamis.encoders.training.loop import train
from tamis.encoders.training.pairs import Pair, write_pairs
from tamis.encoders.training.recipes import prepare
from tamis.encoders.training.spec import spec_of
from tamis.encoders.training.transformer_trainee import TransformerTrainee, of_like_length
from tamis.encoders.transformer import TransformerEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tamis.encoders.training.spec import TrainingSpec

    Texts = Callable[[int, int], list[str]]

SentenceTransformer = pytest.importorskip("sentence_transformers").SentenceTransformer

ASKED = ["river", "bank", "money", "water", "boat", "city", "king", "queen", "war", "peace"]
TOLD = ["dog", "cat", "horse", "bird", "fish", "food", "bread", "salt", "sugar", "milk"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, teacher_folder: Path, texts: Texts) -> Path:
    """Models to begin with, pairs and texts, side by side."""
    folder = tmp_path_factory.mktemp("transformers")
    shutil.copytree(teacher_folder, folder / "dropout")
    shutil.copytree(teacher_folder, folder / "plain")
    described = json.loads((folder / "plain" / "config.json").read_text())
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "plain" / "config.json").write_text(json.dumps({**described, **without}))
    settings = {"prompts": {"query": "red: ", "document": "blue: "}}
    _variant(folder, "prompts", settings=settings)
    _variant(folder, "dot", settings={"similarity_fn_name": "dot"}, modules=2)
    _variant(folder, "unscaled", modules=2)
    _variant(folder, "bare", tokenizer={"post_processor": None})
    pairs = [
        Pair(f"the {asked}", f"it was {told}", (f"it was {TOLD[i - 1]}", f"it was {TOLD[i - 2]}"))
        for i, (asked, told) in enumerate(zip(ASKED, TOLD, strict=True))
    ]
    write_pairs(folder / "pairs.jsonl", pairs)
    lines = [json.dumps({"text": text}) for text in texts(3, 120)]
    (folder / "texts.jsonl").write_text("\n".join(lines), "utf-8")
    return folder


def _variant(
    folder: Path,
    name: str,
    *,
    settings: dict[str, Any] | None = None,
    tokenizer: dict[str, Any] | None = None,
    modules: int = 3,
) -> None:
    """The plain model with other settings, or without its normalising module."""
    made = folder / name
    shutil.copytree(folder / "plain", made)
    (made / "config_sentence_transformers.json").write_text(json.dumps(settings or {}))
    listed = json.loads((made / "modules.json").read_text())
    (made / "modules.json").write_text(json.dumps(listed[:modules]))
    described = json.loads((made / "tokenizer.json").read_text()) | (tokenizer or {})
    (made / "tokenizer.json").write_text(json.dumps(described))


MODELS = ["plain", "prompts", "dot", "unscaled", "bare"]


def spec(base: Path, recipe: str = "contrastive", **tables: Any) -> TrainingSpec:
    body: dict[str, Any] = {
        "recipe": recipe,
        "seed": 3,
        "model": {"kind": "transformer", "start": "plain", **tables.pop("model", {})},
        "schedule": {"epochs": 20, "rate": 0.002, "warmup": 2, **tables.pop("schedule", {})},
    }
    if recipe == "contrastive":
        body["pairs"] = {"file": "pairs.jsonl"}
        body["contrastive"] = {"batch_pairs": 5, "negatives": 1, **tables.pop("contrastive", {})}
    else:
        body["texts"] = [{"path": "texts.jsonl"}]
    return spec_of({**body, **tables}, "spec.toml", base)


def made(wanted: TrainingSpec, folder: Path) -> Any:
    return prepare(wanted, folder / "cache")


def asked(texts: Texts, name: str) -> list[str]:
    """Of many lengths; sentence-transformers itself fails on a text without any token."""
    found = ["a", "KING unheard-of", " ".join(texts(1, 9)), *texts(2, 12), "the red"]
    return found if name == "bare" else ["", *found]


@pytest.mark.parametrize("name", MODELS)
def test_vectors_are_those_of_sentence_transformers(base: Path, texts: Texts, name: str) -> None:
    trainee = TransformerTrainee(base / name)
    trainee.module.eval()
    reference = SentenceTransformer(str(base / name), device="cpu").eval()
    scaled = {"normalize_embeddings": True} if name == "unscaled" else {}
    for role, call in (("query", reference.encode_query), ("passage", reference.encode_document)):
        given = asked(texts, name)
        found = trainee.vectors(trainee.tokens(given, role))  # type: ignore[arg-type]
        np.testing.assert_allclose(found.detach(), call(given, **scaled), atol=2e-5)
        encoder = TransformerEncoder(base / name)
        expected = encoder.encode(given, role).vectors  # type: ignore[arg-type]
        np.testing.assert_allclose(found.detach(), expected, atol=2e-5)
        assert trainee.dim == encoder.card.dim == 32


def test_a_text_without_a_token_is_the_zero_vector(base: Path) -> None:
    trainee = TransformerTrainee(base / "bare")
    trainee.module.eval()
    vectors = trainee.vectors(trainee.tokens(["", "a king", "", "a"], "passage"))
    assert vectors.norm(dim=1).tolist() == pytest.approx([0, 1, 0, 1])
    alone = trainee.vectors(trainee.tokens(["a king"], "passage"))
    assert torch.allclose(vectors[1], alone[0], atol=1e-6)
    assert trainee.vectors(trainee.tokens([], "passage")).shape == (0, 32)


def test_texts_padded_together_are_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(0, 300, 200)
    groups = list(of_like_length(lengths))
    assert sorted(np.concatenate(groups)) == np.flatnonzero(lengths).tolist()
    assert all(2 * lengths[rows].min() >= lengths[rows].max() for rows in groups)
    assert len(groups) <= 9
    assert list(of_like_length(np.zeros(3, np.int64))) == []


def test_every_parameter_gets_a_gradient(base: Path, texts: Texts) -> None:
    trainee = TransformerTrainee(base / "plain")
    trainee.module.train()
    found = trainee.vectors(trainee.tokens(texts(1, 8), "passage"))
    (found * torch.randn(found.shape)).sum().backward()
    for name, parameter in trainee.module.named_parameters():
        assert parameter.dtype == torch.float32, name
        if "pooler.dense" in name:  # BERT's own, which mean pooling goes past
            continue
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_half_multiplies_in_bfloat16(base: Path, texts: Texts) -> None:
    whole, half = (TransformerTrainee(base / "plain", half=half) for half in (False, True))
    tokens = whole.tokens(texts(1, 8), "passage")
    for trainee in (whole, half):
        trainee.module.eval()
    assert half.vectors(tokens).dtype == torch.float32
    assert 1e-4 < (whole.vectors(tokens) - half.vectors(tokens)).abs().max() < 5e-2
    assert torch.allclose(
        torch.from_numpy(half.encoder().encode(texts(1, 8), "passage").vectors),
        whole.vectors(tokens),
        atol=1e-5,
    )


def test_evaluation_in_the_midst_of_training_drops_nothing_out(base: Path, texts: Texts) -> None:
    trainee = TransformerTrainee(base / "dropout")
    trainee.module.train()
    tokens = trainee.tokens(texts(1, 4), "passage")
    assert not torch.allclose(trainee.vectors(tokens), trainee.vectors(tokens), atol=1e-3)
    found = trainee.encoder().encode_passages(texts(1, 4))
    expected = TransformerEncoder(base / "dropout").encode_passages(texts(1, 4))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("start", ["plain", "dot"])
def test_contrastive_training_lifts_the_ranking(base: Path, tmp_path: Path, start: str) -> None:
    # a dot product is not bounded: its scores need no small temperature
    terms = {"temperature": 1.0} if start == "dot" else {}
    wanted = spec(base, model={"start": start}, contrastive=terms)
    recipe = made(wanted, tmp_path)
    before = _rank(recipe)
    train(recipe, wanted, tmp_path / "run", progress=Silent())
    assert _rank(recipe) > max(0.8, before + 0.2)


def _rank(recipe: Any) -> float:
    """The mean reciprocal rank of each positive among all."""
    encoder = recipe.trainee.encoder()
    queries = encoder.encode_queries([f"the {word}" for word in ASKED])
    scores = queries @ encoder.encode_passages([f"it was {word}" for word in TOLD]).T
    return float((1 / (1 + (scores > scores.diagonal()[:, None]).sum(1))).mean())


def test_distillation_brings_it_nearer_to_a_teacher(base: Path, tmp_path: Path) -> None:
    """Of another space: the teacher's words are read in other places."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(base / "plain", tmp_path / "teacher")
    weights = load_file(tmp_path / "teacher" / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] = weights[
        "embeddings.word_embeddings.weight"
    ].flip(0)
    save_file(weights, tmp_path / "teacher" / "model.safetensors", metadata={"format": "pt"})
    wanted = spec(
        base,
        "distillation",
        teacher={"model": str(tmp_path / "teacher")},
        distillation={"leaf": 4},
        schedule={"batch_tokens": 400, "epochs": 8},
    )
    recipe = made(wanted, tmp_path)
    goal = TransformerEncoder(tmp_path / "teacher")
    asked_of = ["the old king was in the garden", "a small boat", "music and dance for a year"]

    def cosine() -> float:
        found = recipe.trainee.encoder().encode_passages(asked_of)
        return float((found * goal.encode_passages(asked_of)).sum(1).mean())

    before = 1 - cosine()
    train(recipe, wanted, tmp_path / "run", progress=Silent())
    assert 1 - cosine() < 0.6 * before


def test_batches_are_those_of_any_other_student(base: Path, tmp_path: Path) -> None:
    """The comparison of kinds is fair: they learn from the same texts at the same step."""
    teacher = {"model": "plain"}
    folded = {"kind": "folded", "start": "", "layers": 1, "width": 32, "rank": 32}
    ours = made(spec(base, model=folded, teacher=teacher), tmp_path)
    theirs = made(spec(base), tmp_path)
    assert ours.steps == theirs.steps
    for (one, _), (other, _) in zip(ours.batches(0), theirs.batches(0), strict=True):
        for name in ("queries", "passages", "columns", "answers"):
            assert (getattr(one, name) == getattr(other, name)).all()


class StopAt:
    """Progress that breaks the run off after so many steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def stage(self, name: str, total: int | None) -> Any:
        del name, total
        return nullcontext(self._advance)

    def _advance(self, done: int) -> None:
        self._left -= done
        if self._left <= 0:
            raise KeyboardInterrupt

    def note(self, words: str) -> None:
        del words


def test_killed_and_resumed_ends_with_the_same_weights(base: Path, tmp_path: Path) -> None:
    """Dropout included: it draws what an unbroken run would have drawn."""
    schedule = {"checkpoint_every": 3, "epochs": 4, "evaluate_every": 4}
    terms = {"keep": 0.5, "held_out": 2}
    wanted = spec(base, model={"start": "dropout"}, contrastive=terms, schedule=schedule)
    ends = []
    for stops in ([], [], [2], [3, 2, 6]):
        folder = tmp_path / f"run{len(ends)}"
        torch.manual_seed(len(ends))  # what the caller drew before says nothing
        for stop in stops:
            with pytest.raises(KeyboardInterrupt):
                train(made(wanted, tmp_path), wanted, folder, progress=StopAt(stop))
            torch.rand(7)
        recipe = made(wanted, tmp_path)
        train(recipe, wanted, folder, progress=Silent())
        assert recipe.steps == 8
        ends.append({name: x.detach() for name, x in recipe.trainee.module.named_parameters()})
    for other in ends[1:]:
        for name, expected in ends[0].items():
            assert torch.equal(other[name], expected), name


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_gives_the_same_vectors_everywhere(
    base: Path, tmp_path: Path, texts: Texts, name: str
) -> None:
    wanted = spec(base, model={"start": name}, schedule={"epochs": 1})
    recipe = made(wanted, tmp_path)
    train(recipe, wanted, tmp_path / "run", progress=Silent())
    goal = tmp_path / "models" / "mine"
    recipe.trainee.save(goal, trained_on=recipe.trained_on)
    live = recipe.trainee.encoder()
    again = TransformerEncoder(goal)
    reference = SentenceTransformer(str(goal), device="cpu")
    given = asked(texts, name)
    started = TransformerEncoder(base / name)
    for role, call in (("query", reference.encode_query), ("passage", reference.encode_document)):
        expected = live.encode(given, role).vectors
        assert np.abs(again.encode(given, role).vectors - expected).max() < 2e-5
        scaled = {"normalize_embeddings": True} if name == "unscaled" else {}
        assert np.abs(call(given, **scaled) - expected).max() < 2e-5
        assert np.abs(started.encode(given, role).vectors - expected).max() > 1e-4
    for key in ("similarity", "pooling", "max_length", "query_prefix", "passage_prefix", "dim"):
        assert getattr(again.card, key) == getattr(started.card, key)
    note = (goal / "README.md").read_text()
    assert f"It began as\n`{name}`" in note
    assert "Trained on 10 pairs of pairs.jsonl, by infonce." in note
    assert not list(goal.rglob("*.bin"))
    assert [path.name for path in goal.parent.iterdir()] == ["mine"]
    assert kind_of(goal) is None


def test_saving_writes_over_nothing_and_leaves_nothing_half_done(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainee = TransformerTrainee(base / "plain")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").write_text("mine")
    with pytest.raises(BadArguments, match="there exists"):
        trainee.save(tmp_path / "there", trained_on="")

    def full(_model: Any, path: str, **_options: Any) -> None:
        Path(path).mkdir(exist_ok=True)
        (Path(path) / "config.json").write_text("{")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(trainee.module), "save_pretrained", full)
    with pytest.raises(FailedWhileRunning, match="No space left"):
        trainee.save(tmp_path / "new", trained_on="")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_name_is_a_folder_beside_the_data_or_the_packaged_model(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert made(spec(base), tmp_path).trainee.dim == 32
    assert made(spec(base, model={"start": "minilm"}), tmp_path).trainee.dim == 384


def test_models_of_more_than_word_pieces_are_refused(tmp_path: Path) -> None:
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer, models

    rust = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))  # noqa: S106
    table = np.eye(2, 32, dtype=np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(rust, embedding_weights=table)])
    model.save(str(tmp_path / "static"))
    with pytest.raises(BadData, match="static cannot be trained here"):
        TransformerTrainee(tmp_path / "static")


def test_a_teacher_of_other_vectors_is_refused(base: Path, tmp_path: Path) -> None:
    other = spec(base, contrastive={"keep": 1}, teacher={"model": "minilm"})
    with pytest.raises(BadData, match="vectors of 32 numbers, the teacher minilm of 384"):
        made(other, tmp_path)
    dot = spec(base, "distillation", model={"start": "dot"}, teacher={"model": "plain"})
    with pytest.raises(BadData, match="compares by dot product"):
        made(dot, tmp_path)


def test_a_transformers_rate_is_small_unless_it_is_named(base: Path) -> None:
    def rates(**schedule: Any) -> tuple[float, float]:
        body = {"recipe": "contrastive", "model": {"kind": "transformer", "start": "plain"}}
        found = spec_of({**body, "schedule": schedule}, "spec.toml", base).schedule
        return found.rate, found.table_rate

    assert rates() == (2e-5, 2e-5)
    assert rates(rate=1e-4) == (1e-4, 1e-4)
    assert rates(rate=1e-4, table_rate=1e-3) == (1e-4, 1e-3)
    assert spec_of({"recipe": "contrastive"}, "spec.toml", base).schedule.rate == 1e-3

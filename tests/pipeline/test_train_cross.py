"""A cross-encoder trained from an encoder's weights: a spec, a folder, a kill, a wrong key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tamis
from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.core.progress import Silent
from tamis.core.protocols import Candidates
from tamis.core.records import Passage, Query, Ranking
from tamis.pipeline.reranker_spec import reranker_spec_of
from tamis.pipeline.reranker_training import train_reranker, trained_cross
from tamis.rerank.training.cross_scorer import CrossScorer
from tamis.rerank.training.recipe import candidates_of

if TYPE_CHECKING:
    from pathlib import Path

WORDS = [f"word{number}" for number in range(40)]
SPEC = """
loss = "{loss}"
threads = 1
[model]
kind = "cross"
start = "body"
layers = 1
query_pieces = 6
passage_pieces = 12
[data]
collection = "toy"
[dev]
measure = "AP"
[schedule]
epochs = 30
batch_tokens = 600
rate = 0.005
warmup = 5
evaluate_every = 20
checkpoint_every = 4
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The relevant passage says the word that counts; ``body`` is a BERT without a head."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("cross")
    (folder / "toy" / "qrels").mkdir(parents=True)
    rng = np.random.default_rng(0)
    corpus, queries, judged = [], [], {"train": [], "dev": []}
    for number in range(24):
        queries.append({"_id": f"q{number}", "text": " ".join(rng.choice(WORDS, 3))})
        for place in range(4):
            texts = rng.choice(WORDS[1:], 6).tolist()
            texts[int(rng.integers(6))] = WORDS[0] if place == 2 else WORDS[1]
            corpus.append({"_id": f"p{number}-{place}", "text": " ".join(texts)})
            split = "dev" if number % 4 == 0 else "train"
            judged[split].append(f"q{number}\tp{number}-{place}\t{int(place == 2)}")
    for name, rows in (("corpus", corpus), ("queries", queries)):
        text = "\n".join(json.dumps(row) for row in rows)
        (folder / "toy" / f"{name}.jsonl").write_text(text, "utf-8")
    for split, lines in judged.items():
        text = "\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n"
        (folder / "toy" / "qrels" / f"{split}.tsv").write_text(text, "utf-8")
    body = folder / "body"
    body.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (body / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(body)
    BertTokenizerFast(vocab=str(body / "vocab.txt"), model_max_length=24).save_pretrained(body)
    return folder


def body(**changes: Any) -> dict[str, Any]:
    import tomllib

    given = tomllib.loads(SPEC.format(loss="listwise"))
    for table, keys in changes.items():
        given[table] = given[table] | keys if isinstance(keys, dict) else keys
    return given


def weights(scorer: CrossScorer) -> dict[str, np.ndarray]:
    return {name: x.numpy().copy() for name, x in scorer.model.state_dict().items()}


def logged(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    return [line["mean"] for line in lines if "mean" in line]


def test_a_spec_becomes_a_cross_encoder_that_has_learned(data: Path, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder
    from torch import nn

    (tmp_path / "spec.toml").write_text(SPEC.format(loss="listwise"), "utf-8")
    goal = tmp_path / "model"
    trained = train_reranker(tmp_path / "spec.toml", goal, data=data)
    assert trained.name == "cross (model)"
    assert logged(tmp_path / "model.training")[-1] > 0.95
    assert not list(goal.glob("tmp*"))
    assert (goal / "model.safetensors").is_file()
    assert "18 queries and 72 candidates of toy" in (goal / "README.md").read_text("utf-8")
    assert json.loads((goal / "config.json").read_bytes())["num_hidden_layers"] == 1

    texts = [" ".join(WORDS[5:9]), f"{WORDS[7]} {WORDS[0]}", " ".join(WORDS[9:] + WORDS[:1])]
    rows = np.arange(3, dtype=np.int64)
    ranking = Ranking(Query("q", WORDS[3]), rows, np.zeros(3, np.float32))
    passages = [Passage(str(place), text) for place, text in enumerate(texts)]
    found = tamis.reranker(str(goal)).score([Candidates(ranking, passages)])[0]
    assert found.argmax() == 1
    peer = CrossEncoder(str(goal), device="cpu", activation_fn=nn.Identity())
    expected = peer.predict([(WORDS[3], text) for text in texts])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    with pytest.raises(BadArguments, match="exists"):
        train_reranker(tmp_path / "spec.toml", goal, data=data)


def test_it_scores_in_training_as_it_will_be_loaded(data: Path, tmp_path: Path) -> None:
    from tamis.rerank.cross import CrossReranker
    from tamis.rerank.training.cross_folder import save_cross
    from tamis.rerank.training.lists import GradedList

    scorer = CrossScorer.begin(str(data / "body"), query_pieces=6, passage_pieces=12)
    scorer.model.eval()
    save_cross(scorer, tmp_path / "model", trained_on="")
    passages = tuple(Passage(str(n), " ".join(WORDS[n : n + 2 * n])) for n in range(1, 13))
    given = candidates_of(GradedList(Query("q", WORDS[0]), passages, np.zeros(12, np.int64)))
    short = [n for n in range(12) if 2 * (n + 1) <= 12]
    found = scorer.score([given])[0]
    expected = CrossReranker(model=tmp_path / "model").score([given])[0]
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(found[short], expected[short], rtol=0, atol=1e-5)


def test_a_killed_run_goes_on_to_the_same_weights(data: Path, tmp_path: Path) -> None:
    spec = reranker_spec_of(body(schedule={"epochs": 6}), "spec", data)
    whole, _ = trained_cross(spec, tmp_path / "whole", Silent())

    class Killed(Silent):
        def stage(self, name: str, total: int | None) -> Any:
            if name != "train":
                return super().stage(name, total)
            from contextlib import nullcontext

            return nullcontext(self.advance)

        left = 9

        def advance(self, done: int) -> None:
            self.left -= done
            if self.left < 0:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained_cross(spec, tmp_path / "cut", Killed())
    again, _ = trained_cross(spec, tmp_path / "cut", Silent())
    assert not np.array_equal(
        weights(whole)["classifier.weight"],
        weights(CrossScorer.begin(str(data / "body"), query_pieces=6, passage_pieces=12))[
            "classifier.weight"
        ],
    )
    for key, expected in weights(whole).items():
        np.testing.assert_array_equal(weights(again)[key], expected, err_msg=key)


@pytest.mark.parametrize("loss", ["pointwise", "logistic", "margin-mse"])
def test_other_losses_train(data: Path, tmp_path: Path, loss: str) -> None:
    given = body(loss=loss, schedule={"epochs": 2})
    if loss == "margin-mse":
        given["data"]["teacher"] = "maxsim"
    spec = reranker_spec_of(given, "spec", data)
    trained_cross(spec, tmp_path / "run", Silent())
    lines = (tmp_path / "run" / "training.jsonl").read_text()
    assert loss in lines


def test_a_transformer_moves_slowly_unless_it_is_told_otherwise(data: Path) -> None:
    given = body()
    del given["schedule"]["rate"]
    assert reranker_spec_of(given, "spec", data).schedule.rate == 2e-5
    assert reranker_spec_of(given, "spec", data).schedule.table_rate == 2e-5
    assert reranker_spec_of(body(), "spec", data).schedule.table_rate == 0.005


@pytest.mark.parametrize(
    ("model", "kind", "told"),
    [
        ({"kind": "crass"}, BadArguments, "known: neural, cross"),
        ({"name": "knrm"}, BadData, "'name'"),
        ({"layers": -1}, BadData, "layers is -1"),
        ({"layers": 3}, BadArguments, "layers is 3, .* has 2 layers"),
        ({"passage_pieces": 99}, BadArguments, "pairs of 108 tokens.*the model reads 24"),
        ({"start": "nowhere"}, MissingResource, "nowhere"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    data: Path,
    tmp_path: Path,
    model: dict[str, Any],
    kind: type[Exception],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(kind, match=told):
        trained_cross(reranker_spec_of(body(model=model), "spec", data), tmp_path, Silent())

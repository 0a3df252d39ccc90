"""``tamis train reranker`` as a user meets it: a spec, a folder, a kill, a search, a wrong key."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

import tamis
from tamis.core.errors import BadArguments, BadData, MissingResource, TamisError
from tamis.core.progress import Silent
from tamis.encoders.folded.encoder import FoldedEncoder, card_of
from tamis.encoders.folded.spec import FoldedSpec
from tamis.encoders.folded.untrained import random_weights
from tamis.encoders.word_pieces import WordPieces
from tamis.pipeline.cascade import Cascade, RerankStage
from tamis.pipeline.reranker_spec import reranker_spec_of
from tamis.pipeline.reranker_training import train_reranker, trained_scorer, words_of
from tamis.rerank.training.losses import LOSSES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tamis.core.progress import Advance

WORDS = [f"word{number}" for number in range(60)]
SPEC = """
loss = "{loss}"
threads = 1
[model]
name = "{name}"
encoder = "{encoder}"
[data]
collection = "toy"
candidates = "{candidates}"
depth = 8
{teacher}
[dev]
measure = "AP"
[schedule]
epochs = 6
batch_tokens = 400
rate = 0.02
warmup = 2
evaluate_every = 8
checkpoint_every = 4
patience = 3
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection where the relevant passage shares most words, and an encoder of its words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("data")
    (folder / "toy" / "qrels").mkdir(parents=True)
    rng = np.random.default_rng(0)
    corpus, queries, judged = [], [], {"train": [], "dev": []}
    for number in range(40):
        asked = rng.choice(WORDS, 4, replace=False).tolist()
        queries.append({"_id": f"q{number}", "text": " ".join(asked)})
        for place in range(5):
            filler = rng.choice(WORDS, 6).tolist()
            shared = asked[:3] if place == 2 else asked[:1]
            name = f"p{number}-{place}"
            corpus.append({"_id": name, "text": " ".join([*filler, *shared])})
            split = "dev" if number % 4 == 0 else "train"
            judged[split].append(f"q{number}\t{name}\t{int(place == 2)}")
    for name, rows in (("corpus", corpus), ("queries", queries)):
        text = "\n".join(json.dumps(row) for row in rows)
        (folder / "toy" / f"{name}.jsonl").write_text(text, "utf-8")
    for split, lines in judged.items():
        text = "\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n"
        (folder / "toy" / "qrels" / f"{split}.tsv").write_text(text, "utf-8")
    vocabulary = {"[UNK]": 0} | {word: place for place, word in enumerate(WORDS, 1)}
    rust = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.save(str(folder / "tokenizer.json"))
    spec = FoldedSpec(1, 32, rank=32, dim=32, vocabulary=len(vocabulary))
    encoder = FoldedEncoder(
        spec,
        random_weights(spec, 0),
        WordPieces(folder / "tokenizer.json"),
        card_of(spec, "tiny", "tiny", "tiny"),
    )
    encoder.save(folder / "encoder")
    return folder


def body(data: Path, **changes: Any) -> dict[str, Any]:
    given = {"loss": "listwise", "name": "knrm", "candidates": "judged", "teacher": "", **changes}
    text = SPEC.format(encoder=data / "encoder", **given)
    return tomllib.loads(text)


def written(data: Path, where: Path, **changes: Any) -> Path:
    given = {"loss": "listwise", "name": "knrm", "candidates": "judged", "teacher": "", **changes}
    path = where / "spec.toml"
    path.write_text(SPEC.format(encoder=data / "encoder", **given), "utf-8")
    return path


def weights(scorer: Any) -> dict[str, np.ndarray]:
    return {name: x.numpy().copy() for name, x in scorer.model.state_dict().items()}


def test_a_spec_becomes_a_reranker_that_has_learned(data: Path, tmp_path: Path) -> None:
    goal = tmp_path / "model"
    trained = train_reranker(written(data, tmp_path), goal, data=data)
    assert trained.name == "knrm (model)"
    log = [
        json.loads(line)
        for line in (tmp_path / "model.training" / "training.jsonl").read_text().splitlines()
    ]
    values = [line["mean"] for line in log if "mean" in line]
    assert max(values) > 0.9
    assert max(values) > values[0] or values[0] > 0.9
    assert (goal / "training.toml").read_text("utf-8") == (tmp_path / "spec.toml").read_text(
        "utf-8"
    )
    assert "30 queries and 150 candidates of toy" in (goal / "README.md").read_text("utf-8")
    with pytest.raises(BadArguments, match="exists"):
        train_reranker(written(data, tmp_path), goal, data=data)


class KilledAfter(Silent):
    """Progress that breaks off after so many steps of training."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def stage(self, name: str, total: int | None) -> Any:
        if name != "train":
            return super().stage(name, total)
        outer = self

        class Stage:
            def __enter__(self) -> Advance:
                return outer.advance

            def __exit__(self, *_: object) -> None:
                return None

        return Stage()

    def advance(self, done: int) -> None:
        self.left -= done
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["knrm", "mv-lstm", "hypencoder"])
def test_a_killed_run_goes_on_to_the_same_weights(data: Path, tmp_path: Path, name: str) -> None:
    spec = reranker_spec_of(body(data, name=name), "spec", data)
    whole, _ = trained_scorer(spec, tmp_path / "whole", Silent())
    for steps in (6, 13):
        with pytest.raises(KeyboardInterrupt):
            trained_scorer(spec, tmp_path / "cut", KilledAfter(steps))
    again, _ = trained_scorer(spec, tmp_path / "cut", Silent())
    for key, expected in weights(whole).items():
        np.testing.assert_array_equal(weights(again)[key], expected, err_msg=key)


def test_a_run_that_stopped_early_is_not_taken_up_again(data: Path, tmp_path: Path) -> None:
    given = body(data)
    given["schedule"] |= {"epochs": 40, "patience": 1}
    spec = reranker_spec_of(given, "spec", data)
    once, _ = trained_scorer(spec, tmp_path / "run", Silent())
    log = (tmp_path / "run" / "training.jsonl").read_text()
    assert json.loads(log.splitlines()[-1])["step"] < 100, "patience must run out for this test"
    again, _ = trained_scorer(spec, tmp_path / "run", Silent())
    assert (tmp_path / "run" / "training.jsonl").read_text() == log
    for key, expected in weights(once).items():
        np.testing.assert_array_equal(weights(again)[key], expected, err_msg=key)


def test_the_best_weights_on_dev_are_kept(data: Path, tmp_path: Path) -> None:
    spec = reranker_spec_of(body(data), "spec", data)
    scorer, _ = trained_scorer(spec, tmp_path / "run", Silent())
    log = [json.loads(line) for line in (tmp_path / "run" / "training.jsonl").open()]
    best = max(line["mean"] for line in log if "mean" in line)
    from tamis.pipeline.reranker_training import _lists, dev_value
    from tamis.rerank.training.recipe import candidates_of

    _, dev = _lists(spec, Silent())
    found = dev_value(dev, "AP")(scorer.score([candidates_of(each) for each in dev]))
    assert found == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains(data: Path, tmp_path: Path, loss: str) -> None:
    spec = reranker_spec_of(body(data, loss=loss), "spec", data)
    trained_scorer(spec, tmp_path / "run", Silent())
    log = [json.loads(line) for line in (tmp_path / "run" / "training.jsonl").open()]
    assert max(line["mean"] for line in log if "mean" in line) > 0.8


def test_candidates_of_an_index_and_a_teacher(data: Path, tmp_path: Path) -> None:
    tamis.build(data / "toy", tmp_path / "idx", encoder=str(data / "encoder"))
    train_reranker(written(data, tmp_path), tmp_path / "teacher", data=data)
    spec = written(
        data,
        tmp_path,
        loss="margin-mse",
        candidates=str(tmp_path / "idx"),
        teacher=f'teacher = "{tmp_path / "teacher"}"',
    )
    trained = train_reranker(spec, tmp_path / "student", data=data)
    index = tamis.open_index(tmp_path / "idx")
    queries = tamis.read_queries(data / "toy")[:5]
    run = index.searcher(20, mode="hybrid", rerank=[trained]).run(queries)
    assert [len(each) for each in run] == [20] * 5


def test_a_hypencoder_learns_and_reads_what_an_index_keeps(data: Path, tmp_path: Path) -> None:
    encoder = str(data / "encoder")
    tamis.build(data / "toy", tmp_path / "idx", encoder=encoder, query_encoder="own")
    spec = written(data, tmp_path, name="hypencoder")
    trained = train_reranker(spec, tmp_path / "model", data=data)
    assert trained.name == "hypencoder (model)"
    log = (tmp_path / "model.training" / "training.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in log if "loss" in json.loads(line)]
    assert losses[-1] < losses[0] or len(losses) == 1
    cascade = Cascade(dense=20, rerank=(RerankStage(str(tmp_path / "model"), keep=10),))
    index = tamis.open_index(tmp_path / "idx")
    search = cascade.over(index)
    assert search.rerank[0] is not trained
    queries = tamis.read_queries(data / "toy")[:5]
    kept = search.run(queries)
    fresh = index.searcher(20, rerank=[tamis.reranker(str(tmp_path / "model"), keep=10)])
    for one, other in zip(kept, fresh.run(queries), strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-4)


def test_the_command_and_a_search_with_its_result(data: Path, tmp_path: Path) -> None:
    from tamis.pipeline.cli import app

    tamis.build(data / "toy", tmp_path / "idx", encoder=str(data / "encoder"))
    spec, goal, runner = written(data, tmp_path), tmp_path / "model", CliRunner()
    made = runner.invoke(
        app, ["train", "reranker", str(spec), "-o", str(goal), "--data", str(data)]
    )
    assert made.exit_code == 0, made.output
    assert "knrm (model)" in made.output
    asked = ["search", str(tmp_path / "idx"), "word1 word2", "--rerank", f"{goal}:7", "--json"]
    found = runner.invoke(app, asked)
    assert found.exit_code == 0, found.output
    hits = json.loads(found.output)["hits"]
    assert len(hits) == 7
    assert "knrm (model)" in hits[0]["stages"]


WRONG: dict[str, tuple[type[TamisError], str, Callable[[dict[str, Any]], object]]] = {
    "a table": (BadData, "known: loss", lambda b: b.update(teacher={})),
    "a model": (BadArguments, "mv-lstm", lambda b: b["model"].update(name="bert")),
    "an option": (BadData, "model.options", lambda b: b["model"].update(options={"colour": 1})),
    "a hypencoder's option": (
        BadData,
        "model.options",
        lambda b: b["model"].update(name="hypencoder", options={"colour": 1}),
    ),
    "a hypencoder without titles": (
        BadArguments,
        "whole passages",
        lambda b: b["model"].update(name="hypencoder", title=False),
    ),
    "a loss": (BadArguments, "margin-mse", lambda b: b.update(loss="magic")),
    "a seed": (BadArguments, "seed", lambda b: b.update(seed=-1)),
    "a teacher without its loss": (
        BadArguments,
        "needs a teacher",
        lambda b: b["data"].update(teacher="cross"),
    ),
    "a split": (MissingResource, "splits there: dev, train", lambda b: b["data"].update(split="x")),
    "an index": (MissingResource, "tamis build", lambda b: b["data"].update(candidates="idx")),
    "a mode": (BadData, "hybrid", lambda b: b["data"].update(mode="both")),
    "a depth": (BadData, "depth", lambda b: b["data"].update(depth=0)),
    "a measure": (BadArguments, "nDCH", lambda b: b["dev"].update(measure="nDCH@10")),
    "patience without dev": (BadArguments, "patience", lambda b: b["dev"].update(split="")),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_spec_is_refused_before_any_work(name: str, data: Path) -> None:
    kind, words, change = WRONG[name]
    given = body(data)
    change(given)
    with pytest.raises(kind, match=words):
        reranker_spec_of(given, "spec", data)


def test_an_encoder_without_word_vectors_is_refused() -> None:
    with pytest.raises(BadArguments, match="tamis-small"):
        words_of("hashing")


def test_word_vectors_are_what_the_encoder_adds_up(data: Path) -> None:
    """One piece's vector points where the static part of the encoder does."""
    encoder = tamis.encoder(str(data / "encoder"))
    assert isinstance(encoder, FoldedEncoder)
    words = words_of(str(data / "encoder"))
    table = encoder.weights.table.rows(slice(None)) * encoder.weights.weight[:, None]
    lengths = np.linalg.norm(table, axis=1)
    np.testing.assert_allclose(words.directions, table / lengths[:, None], atol=1e-3)
    np.testing.assert_allclose(words.weights, lengths / lengths.mean(), rtol=1e-5)

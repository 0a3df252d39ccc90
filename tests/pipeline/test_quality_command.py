"""tamis quality: a corpus in, one float32 a passage out."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from tamis.core.errors import (
    BadArguments,
    BadData,
    FailedWhileRunning,
    MissingResource,
    TamisError,
    UnknownComponent,
)
from tamis.core.protocols import QualityCard
from tamis.encoders.quality.length import LengthQuality
from tamis.encoders.quality.recurrent import load_recurrent
from tamis.encoders.quality.regression import FeatureQuality, Weight
from tamis.pipeline import quality as module
from tamis.pipeline.commands.quality import quality
from tamis.pipeline.quality import score_corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

APP = typer.Typer()
APP.command()(quality)
TEXTS = ["the cat and the dog", "flea", "bread and salt and bread and salt", "a b c", "the dog"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return written(tmp_path / "corpus.jsonl", [{"text": text} for text in TEXTS])


def written(path: Path, passages: list[dict[str, str]]) -> Path:
    lines = [json.dumps({"_id": f"p{n}", **body}) for n, body in enumerate(passages)]
    path.write_text("\n".join(lines), "utf-8")
    return path


def call(corpus: Path, *options: str, output: str = "scores.npy") -> Result:
    where = corpus.parent / output
    return CliRunner().invoke(APP, [str(corpus), "-o", str(where), *options])


def refused(result: Result) -> TamisError:
    assert isinstance(result.exception, TamisError)
    return result.exception


def test_one_float32_a_passage_in_the_order_of_the_corpus(corpus: Path) -> None:
    result = call(corpus, "--quality", "length")
    assert result.exit_code == 0
    assert "5 passages scored by length, from 1 to 7, mean 3.6" in result.stdout
    scores = np.load(corpus.parent / "scores.npy")
    assert scores.dtype == np.float32
    assert scores.tolist() == [5, 1, 7, 3, 2]


def test_json_on_standard_output_and_nothing_else(corpus: Path) -> None:
    body = json.loads(call(corpus, "--quality", "length", "--json").stdout)
    assert body == {
        "path": str(corpus.parent / "scores.npy"),
        "passages": 5,
        "model": {"name": "length", "fingerprint": LengthQuality().card.fingerprint},
        "lowest": 1,
        "mean": 3.6,
        "highest": 7,
    }


def test_without_a_name_the_model_of_the_package_scores(corpus: Path) -> None:
    assert call(corpus).exit_code == 0
    expected = load_recurrent().score(TEXTS)
    assert np.array_equal(np.load(corpus.parent / "scores.npy"), expected)


def test_a_title_counts_as_it_does_everywhere(tmp_path: Path) -> None:
    passages = [{"title": "Two words", "text": "and three more"}, {"text": "alone"}]
    scored = score_corpus(
        written(tmp_path / "corpus.jsonl", passages), tmp_path / "s.npy", quality="length"
    )
    assert np.load(scored.path).tolist() == [5, 1]


def test_blocks_change_nothing(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score_corpus(corpus, corpus.parent / "whole.npy")
    monkeypatch.setattr(module, "BLOCK", 2)
    parts = score_corpus(corpus, corpus.parent / "parts.npy")
    assert whole.path.read_bytes() == parts.path.read_bytes()
    assert (whole.lowest, whole.highest) == (parts.lowest, parts.highest)


def test_a_stored_model_by_its_path(corpus: Path) -> None:
    stored = FeatureQuality(0.5, {"words": Weight(1.0, 2.0, 3.0)})
    stored.save(corpus.parent / "model.json")
    assert call(corpus, "--quality", str(corpus.parent / "model.json")).exit_code == 0
    assert np.array_equal(np.load(corpus.parent / "scores.npy"), stored.score(TEXTS))


class Watched:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.stages: list[list[Any]] = []

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        entry = [name, total, 0]
        self.stages.append(entry)

        def advance(done: int) -> None:
            entry[2] += done

        yield advance

    def note(self, words: str) -> None:
        del words


@pytest.mark.parametrize("name", ["length", "cdd"])
def test_scoring_knows_how_much_is_left(corpus: Path, name: str) -> None:
    watched = Watched()
    score_corpus(corpus, corpus.parent / "s.npy", quality=name, progress=watched)
    assert watched.stages == [["read", None, 5], ["score", 5, 5]]


def test_an_unknown_name_lists_the_known_ones(corpus: Path) -> None:
    failure = refused(call(corpus, "--quality", "prefect"))
    assert isinstance(failure, UnknownComponent)
    assert "'prefect'" in str(failure)
    assert "known: cdd, features, itn, length, " in str(failure)
    assert not (corpus.parent / "scores.npy").exists()


def test_features_without_weights_are_refused(corpus: Path) -> None:
    assert isinstance(refused(call(corpus, "--quality", "features")), BadArguments)


def test_the_corpus_is_never_overwritten(corpus: Path) -> None:
    assert isinstance(refused(call(corpus, output="corpus.jsonl")), BadArguments)
    assert isinstance(refused(call(corpus.parent / "none.jsonl")), MissingResource)


@pytest.mark.parametrize("name", ["length", "perplexity"])
def test_a_flawed_corpus_is_refused_by_name(corpus: Path, name: str) -> None:
    first = json.dumps({"_id": "p0", "text": "again"})
    corpus.write_text(f"{corpus.read_text()}\n{first}\nno json\n")
    failure = refused(call(corpus, "--quality", name))
    assert isinstance(failure, BadData)
    assert "1 malformed" in str(failure)
    assert "1 duplicate id" in str(failure)
    assert "corpus.jsonl:7" in str(failure)
    assert "tamis check" in str(failure)


def test_a_corpus_with_nothing_good_in_it_says_so_before_any_fit(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a b", "text": "x"}\n')
    failure = refused(call(tmp_path / "corpus.jsonl"))
    assert "id with space" in str(failure)


class Broken:
    """A stranger's model that keeps no promise."""

    card = QualityCard("broken", "0" * 64)

    def __init__(self, then: Callable[[Sequence[str]], Any]) -> None:
        self._then = then

    def score(self, texts: Sequence[str]) -> Any:
        return self._then(texts)


@pytest.mark.parametrize(
    "then",
    [
        lambda texts: np.full(len(texts), np.nan, np.float32),
        lambda texts: np.zeros((len(texts), 1), np.float32),
        lambda texts: np.zeros(len(texts) - 1, np.float32),
    ],
)
def test_broken_scores_reach_no_file(corpus: Path, then: Any) -> None:
    output = corpus.parent / "scores.npy"
    output.write_bytes(b"what stood there before")
    with pytest.raises(FailedWhileRunning, match="'broken'"):
        score_corpus(corpus, output, quality=Broken(then))
    assert output.read_bytes() == b"what stood there before"
    assert sorted(path.name for path in corpus.parent.iterdir()) == ["corpus.jsonl", "scores.npy"]


def test_a_corpus_that_changes_while_it_is_read_leaves_no_file(corpus: Path) -> None:
    def growing(texts: Sequence[str]) -> Any:
        return np.zeros(len(texts), np.float32)

    class Growing(Broken):
        name = "growing"

        def fit(self, texts: Iterator[str]) -> Broken:
            list(texts)
            with corpus.open("a") as out:
                out.write('\n{"_id": "new", "text": "new"}')
            return self

    with pytest.raises(BadData, match="changed while it was read"):
        score_corpus(corpus, corpus.parent / "s.npy", quality=Growing(growing))
    assert not (corpus.parent / "s.npy").exists()


def test_it_is_a_command(corpus: Path) -> None:
    from tamis.pipeline.cli import app

    output = corpus.parent / "scores.npy"
    line = ["quality", str(corpus), "-o", str(output), "--quality", "random"]
    assert CliRunner().invoke(app, line).exit_code == 0
    assert np.load(output).shape == (5,)


@pytest.mark.parametrize("name", ["cdd", "perplexity"])
def test_a_fitted_model_is_stored_and_scores_another_corpus(corpus: Path, name: str) -> None:
    model = corpus.parent / "model.safetensors"
    assert call(corpus, "--quality", name, "--save-model", str(model)).exit_code == 0
    other = written(corpus.parent / "other.jsonl", [{"text": text} for text in TEXTS[2:]])
    for given in (str(model), f"{name}:{model}"):
        done = call(other, "--quality", given, "--json", output="other.npy")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["model"]["name"] == name
        scores = np.load(corpus.parent / "other.npy")
        assert scores.tolist() == np.load(corpus.parent / "scores.npy")[2:].tolist()


def test_a_model_without_anything_to_store(corpus: Path) -> None:
    asked = ("--save-model", str(corpus.parent / "m.safetensors"))
    failure = refused(call(corpus, "--quality", "length", *asked))
    assert isinstance(failure, BadArguments)
    assert "'length' has nothing to store" in str(failure)
    failure = refused(call(corpus, "--quality", "cdd", "--save-model", str(corpus)))
    assert "would overwrite" in str(failure)
    assert sorted(path.name for path in corpus.parent.iterdir()) == ["corpus.jsonl"]

"""``--keep auto``: the share that dev queries show to be free, and the index that has it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tamis.core.errors import BadArguments
from tamis.encoders.hashing import HashingEncoder
from tamis.pipeline.build import build
from tamis.pipeline.cli import app
from tamis.pipeline.opening import open_index

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tamis.core.protocols import Encoded, Role

pytest.importorskip("faiss")
GOOD, JUNK = 40, 60


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """40 passages of 12 words, each asked for by one query; 60 of 3 words that nobody wants."""
    good = [" ".join(f"{letter}{n}" for letter in "abcdefghijkl") for n in range(GOOD)]
    junk = [f"x{n} y{n} z{n}" for n in range(JUNK)]
    lines = [json.dumps({"id": f"p{n}", "text": text}) for n, text in enumerate(good + junk)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines), "utf-8")
    queries = [f"q{n}\ta{n} b{n} c{n}" for n in range(GOOD)]
    (tmp_path / "dev.tsv").write_text("\n".join(queries), "utf-8")
    judged = ["query-id\tcorpus-id\tscore", *(f"q{n}\tp{n}\t1" for n in range(GOOD))]
    (tmp_path / "qrels.tsv").write_text("\n".join(judged), "utf-8")
    return tmp_path


def auto(data: Path, **how: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"encoder": "hashing", "quality": "length", "keep": "auto"}
    build(
        data / "corpus.jsonl",
        data / "i",
        dev_queries=str(data / "dev.tsv"),
        dev_qrels=str(data / "qrels.tsv"),
        **{**options, **how},
    )
    pruning = open_index(data / "i").folder.describe()["pruning"]
    assert isinstance(pruning, dict)
    return pruning


def test_the_share_that_no_dev_query_misses_is_kept(data: Path) -> None:
    told = auto(data)
    assert told["keep"] == 0.4  # 60 % are junk, and 65 % would cut good passages
    assert told["auto"]["queries"] == GOOD
    assert told["auto"]["largest"] == {"dense": 0.6, "lexical": 0.6, "hybrid": 0.6}
    assert np.load(data / "i" / "corpus_row.npy").tolist() == list(range(GOOD))
    assert (data / "i.pruning" / "report.md").is_file()


def test_everything_stays_where_nothing_is_shown_to_be_free(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worst_first = np.r_[np.arange(GOOD), np.full(JUNK, 99)].astype(np.float32)
    np.save(data / "scores.npy", worst_first)
    told = auto(data, quality=data / "scores.npy")
    assert (told["keep"], told["kept"]) == (1.0, GOOD + JUNK)
    assert "everything is kept" in caplog.text


def test_an_end_by_a_gain_is_told(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    # every query's words stand in two pieces of junk, too, which BM25 prefers: pruning is a gain
    lines = (data / "corpus.jsonl").read_text("utf-8").splitlines()[:GOOD]
    lines += [
        json.dumps({"id": f"j{n}-{i}", "text": f"a{n} b{n} c{n} x{i}"})
        for n in range(GOOD)
        for i in range(2)
    ]
    (data / "corpus.jsonl").write_text("\n".join(lines), "utf-8")
    told = auto(data, lexical="none")
    assert told["keep"] > 0.5
    assert "it is shown to be no worse: keep=0.3 takes that" in caplog.text


def test_passages_are_encoded_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = 0
    encode = HashingEncoder.encode

    def counted(self: HashingEncoder, texts: Sequence[str], role: Role) -> Encoded:
        nonlocal encoded
        encoded += len(texts) if role == "passage" else 0
        return encode(self, texts, role)

    monkeypatch.setattr(HashingEncoder, "encode", counted)
    auto(data)
    assert encoded == GOOD + JUNK
    vectors = open_index(data / "i").folder.dense.reconstruct(np.arange(GOOD))
    monkeypatch.undo()
    build(data / "corpus.jsonl", data / "whole", encoder="hashing")
    whole = open_index(data / "whole").folder.dense.reconstruct(np.arange(GOOD))
    assert np.array_equal(vectors, whole)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"dev_qrels": None}, "needs dev_qrels"),
        ({"keep": 0.5}, "say keep=auto"),
        ({"keep": "most"}, "a share of the passages, or auto"),
        ({"adapt": 100}, "cannot stand beside adapt"),
        ({"near_duplicates": 0.8}, "cannot stand beside near_duplicates"),
        ({"min_quality": 3.0}, "min_quality"),
    ],
)
def test_misfits_are_refused_before_anything_is_read(
    data: Path, how: dict[str, Any], said: str
) -> None:
    (data / "corpus.jsonl").unlink()
    given = {"dev_queries": "dev.tsv", "dev_qrels": "qrels.tsv", "keep": "auto", **how}
    with pytest.raises(BadArguments, match=said):
        build(data / "corpus.jsonl", data / "i", encoder="hashing", **given)


def test_the_command_tells_what_it_was_chosen_by(data: Path) -> None:
    call = ["build", str(data / "corpus.jsonl"), "-o", str(data / "i"), "--encoder", "hashing"]
    call += ["--quality", "length", "--keep", "auto", "--dev-queries", str(data / "dev.tsv")]
    done = CliRunner().invoke(app, [*call, "--dev-qrels", str(data / "qrels.tsv")])
    assert done.exit_code == 0, done.output
    assert "keep 0.4" in done.output
    assert "chosen by 40 dev queries" in done.output
    wrong = CliRunner().invoke(app, [*call[:-3], "half"])
    assert isinstance(wrong.exception, BadArguments)
    assert "such as 0.75, or auto" in str(wrong.exception)

"""tamis check: everything wrong at once, counted, with the right exit code."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from tamis.core.errors import BadArguments, MissingResource
from tamis.core.protocols import EncoderCard
from tamis.pipeline import check as check_module
from tamis.pipeline.check import check_corpus
from tamis.pipeline.commands.check import check
from tamis.pipeline.reporting import Finding, Report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tamis.core.records import Int32Array


class WordEncoder:
    """One token a word, and one more for the end; reads at most ``max_length`` tokens."""

    def __init__(self, max_length: int) -> None:
        self.card = EncoderCard("words", "f", "s", 2, "cosine", "mean", max_length)
        self.blocks: list[int] = []

    def count_tokens(self, texts: Sequence[str], role: str) -> Int32Array:
        assert role == "passage"
        self.blocks.append(len(texts))
        return np.array([len(text.split()) + 1 for text in texts], dtype=np.int32)

    def encode(self, *_: object) -> Any:
        raise AssertionError("checking must not encode")


def corpus(folder: Path, *records: dict[str, object] | str, name: str = "c.jsonl") -> Path:
    path = folder / name
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def clean(folder: Path) -> Path:
    return corpus(folder, {"id": "a", "text": "one two three"}, {"id": "b", "text": "four"})


def counts(findings: list[Finding]) -> dict[str, int]:
    return {finding.kind: finding.count for finding in findings}


def test_a_clean_corpus_is_ok(tmp_path: Path) -> None:
    report = check_corpus(clean(tmp_path))
    assert report.ok
    assert report.facts["passages"] == 2
    assert report.facts["format"] == "jsonl"
    assert (report.errors, report.warnings) == ([], [])
    assert report.lines()[-1] == "ok"


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    path = corpus(
        tmp_path,
        {"id": "a", "text": "same"},
        "broken",
        {"id": "b", "text": "same"},
        {"id": "a", "text": "again"},
        {"id": "", "text": "x"},
        {"id": "c d", "text": "x"},
        {"id": "e", "text": " "},
        "more broken",
    )
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("q1 0 a 1\nq1 0 b 1\nq2 0 gone 0\nq2 0 gone 0\n", encoding="utf-8")
    queries = tmp_path / "q.tsv"
    queries.write_text("q1\twhich\n", encoding="utf-8")
    report = check_corpus(path, qrels=qrels, queries=queries, encoder=WordEncoder(1))
    assert not report.ok
    assert counts(report.errors) == {
        "malformed": 2,
        "blank id": 1,
        "duplicate id": 1,
        "empty": 1,
        "id with space": 1,
    }
    assert counts(report.warnings) == {
        "duplicate text": 1,
        "truncated passage": 3,
        "judged passage absent": 1,
        "judged query absent": 1,
        "judgments": 1,
    }
    assert report.errors[0].places[1].startswith("c.jsonl:8: ")
    absent = next(f for f in report.warnings if f.kind == "judged passage absent")
    assert absent.places == ("gone",)
    printed = "\n".join(report.lines())
    for told in ("c.jsonl:4", "gone", "q2", "not ok"):
        assert told in printed
    json.dumps(report.to_json())


def test_truncated_passages_and_lost_tokens_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "BLOCK", 2)
    words = [1, 5, 3, 2, 9]
    records = [
        {"id": str(n), "title": "t", "text": " ".join(["w"] * count)}
        for n, count in enumerate(words)
    ]
    tokens = [count + 2 for count in words]  # the words, the title, the end
    encoder = WordEncoder(5)
    report = check_corpus(corpus(tmp_path, *records), encoder=encoder)
    assert encoder.blocks == [2, 2, 1]
    (finding,) = report.warnings
    over = [count - 5 for count in tokens if count > 5]
    assert (finding.kind, finding.count) == ("truncated passage", len(over))
    assert f"lose {sum(over)} of {sum(tokens)}" in finding.message
    assert report.ok


def test_an_encoder_that_cuts_nothing_warns_of_nothing(tmp_path: Path) -> None:
    report = check_corpus(clean(tmp_path), encoder=WordEncoder(0))
    assert report.warnings == []
    assert report.facts["tokens"] == 6


def test_splitting_is_checked_as_it_would_be_built(tmp_path: Path) -> None:
    path = corpus(tmp_path, {"id": "a", "text": "one two three four"})
    assert check_corpus(path, passage_words=2).facts["passages"] == 2


def test_flawed_queries_and_judgments_are_errors_among_others(tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("no tab\n", encoding="utf-8")
    (tmp_path / "r.txt").write_text("q 0 a high\n", encoding="utf-8")
    path = corpus(tmp_path, "broken")
    report = check_corpus(path, queries=tmp_path / "q.tsv", qrels=tmp_path / "r.txt")
    assert counts(report.errors) == {
        "queries": 1,
        "judgments": 1,
        "malformed": 1,
        "no passages": 1,
    }


def test_a_corpus_that_is_not_there_raises(tmp_path: Path) -> None:
    with pytest.raises(MissingResource):
        check_corpus(tmp_path / "none.jsonl")


def test_hostile_text_cannot_reach_the_terminal() -> None:
    report = Report("t", errors=[Finding("malformed", 1, places=("\x1b[2Jgone \udc80",))])
    printed = "\n".join(report.lines())
    assert "\\x1b[2Jgone \\udc80" in printed
    assert printed.encode("utf-8")


def test_more_places_than_shown_are_counted() -> None:
    finding = Finding("malformed", 1234, places=tuple(f"f:{n}" for n in range(1000)))
    printed = Report("t", errors=[finding]).lines()
    assert "    and 1,229 more" in printed
    assert "error: malformed: 1,234" in printed


app = typer.Typer()
app.command()(check)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command_exits_5_on_errors_and_0_on_warnings(tmp_path: Path) -> None:
    same = [{"id": i, "text": "same"} for i in "ab"]
    warned = run(corpus(tmp_path, *same, name="warned.jsonl"))
    assert warned.exit_code == 0
    assert "warning: duplicate text: 1" in warned.stdout
    wrong = run(corpus(tmp_path, "broken", name="wrong.jsonl"))
    assert wrong.exit_code == 5
    assert "error: malformed: 1" in wrong.stdout


def test_command_prints_nothing_but_json_on_standard_output(tmp_path: Path) -> None:
    answer = run(clean(tmp_path), "--json")
    printed = json.loads(answer.stdout)
    assert printed == check_corpus(tmp_path / "c.jsonl").to_json()
    assert printed["ok"] is True


def test_command_loads_the_encoder_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    components = ModuleType("tamis.pipeline.components")
    components.encoder = lambda name: WordEncoder(int(name))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tamis.pipeline.components", components)
    answer = run(clean(tmp_path), "--encoder", "3")
    assert "warning: truncated passage: 1" in answer.stdout


@pytest.mark.parametrize("files", [["tamis.json"], ["index", "docid"]])
def test_command_hands_an_index_to_its_own_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str]
) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"")
    seen: list[tuple[Path, str | None]] = []
    verifying = ModuleType("tamis.pipeline.verifying")

    def check_index(folder: Path, encoder: str | None) -> Report:
        seen.append((folder, encoder))
        return Report(str(folder), errors=[Finding("corrupt file", 1)])

    verifying.check_index = check_index  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tamis.pipeline.verifying", verifying)
    answer = run(tmp_path)
    run(tmp_path, "--encoder", "hashing")
    assert (answer.exit_code, seen) == (5, [(tmp_path, None), (tmp_path, "hashing")])
    assert "corrupt file" in answer.stdout
    refused = run(tmp_path, "--qrels", "x")
    assert isinstance(refused.exception, BadArguments)

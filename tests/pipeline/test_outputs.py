"""Nothing that a user has is lost to a slip in a command, and a slip is told before any work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tamis.core.errors import BadArguments
from tamis.pipeline.build import build
from tamis.pipeline.components import reranker
from tamis.pipeline.opening import open_index
from tamis.pipeline.outputs import check_output

if TYPE_CHECKING:
    from pathlib import Path

CODE = "from tamis.pipeline.cli import main; main()"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    corpus = tmp_path / "corpus.jsonl"
    lines = [{"id": "café", "text": "the flea \u001b[31mjumps"}, {"id": "b", "text": "wine"}]
    corpus.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    build(corpus, tmp_path / "idx", encoder="hashing")
    (tmp_path / "queries.tsv").write_text("1\tflea\n", "utf-8")
    return tmp_path / "idx"


def tamis(*arguments: object, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )


def test_an_output_may_be_new_or_an_older_output(tmp_path: Path) -> None:
    check_output(tmp_path / "new.run", [tmp_path / "queries.tsv"])
    (tmp_path / "old.run").write_text("")
    check_output(tmp_path / "old.run", [tmp_path])  # beside an input is fine


def test_an_output_must_be_a_file_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match="is a folder"):
        check_output(tmp_path, [])
    with pytest.raises(BadArguments, match="is no folder"):
        check_output(tmp_path / "absent" / "x.run", [])


def test_a_run_overwrites_neither_its_queries_nor_its_index(index: Path) -> None:
    queries = index.parent / "queries.tsv"
    link = index.parent / "link.tsv"
    link.symlink_to(queries)
    for output in (queries, link, index / "docid", index / "new.run"):
        done = tamis("search", index, "--queries", queries, "-o", output)
        assert (done.returncode, done.stdout) == (2, ""), output
        assert "would overwrite" in done.stderr
    assert queries.read_text("utf-8") == "1\tflea\n"


def test_values_by_query_do_not_overwrite_the_run(index: Path) -> None:
    run, qrels = index.parent / "a.run", index.parent / "qrels.txt"
    qrels.write_text("1 0 b 1\n", "utf-8")
    assert tamis("search", index, "--queries", index.parent / "queries.tsv", "-o", run).stdout
    before = run.read_bytes()
    done = tamis("eval", run, "--qrels", qrels, "--per-query", run)
    assert done.returncode == 2
    assert run.read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "x.run"],
        ["--fuse", "zscore"],
        ["--mode", "lexical", "--encoder", "hashing"],
    ],
)
def test_an_option_that_would_do_nothing_is_refused(index: Path, options: list[str]) -> None:
    done = tamis("search", index, "flea", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "tamis: " in done.stderr


def test_a_terminal_sees_escapes_for_what_it_cannot_show(index: Path) -> None:
    done = tamis("search", index, "flea", encoding="ascii")
    assert done.returncode == 0, done.stderr
    assert "caf\\xe9" in done.stdout
    assert "\u001b" not in done.stdout
    assert "\\x1b[31mjumps" in done.stdout


@pytest.mark.parametrize("stranger", ["thesis.txt", "lexicon/notes.md"])
def test_overwriting_an_index_keeps_files_that_are_not_its_own(index: Path, stranger: str) -> None:
    (index / stranger).parent.mkdir(exist_ok=True)
    (index / stranger).write_text("years of work")
    with pytest.raises(BadArguments, match="would be lost"):
        build(index.parent / "corpus.jsonl", index, encoder="hashing", overwrite=True)
    assert (index / stranger).read_text() == "years of work"


def test_a_folder_that_only_looks_like_an_index_is_kept(tmp_path: Path, index: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "tamis.json").write_text("{}")
    (project / "thesis.txt").write_text("years of work")
    with pytest.raises(BadArguments, match="thesis"):
        build(tmp_path / "corpus.jsonl", project, encoder="hashing", overwrite=True)
    assert (project / "thesis.txt").exists()


def test_a_refused_corpus_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"id": "a"\n')
    done = tamis("build", tmp_path / "bad.jsonl", "-o", tmp_path / "i", "--encoder", "hashing")
    assert done.returncode == 5
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.jsonl"]


def test_an_index_without_texts_is_not_reranked(index: Path) -> None:
    for name in ("tamis.json", "passages.arrow"):
        (index / name).unlink()
    opened = open_index(index, encoder="hashing")
    with pytest.raises(BadArguments, match="no texts"):
        opened.searcher(10, rerank=[reranker("cross", keep=5)])


def test_our_own_index_without_its_manifest_is_not_taken_for_pyserinis(index: Path) -> None:
    (index / "tamis.json").unlink()
    done = tamis("search", index, "flea", "--encoder", "hashing")
    assert done.returncode == 4
    assert "tamis.json is missing" in done.stderr


def test_a_device_reaches_the_reranker() -> None:
    assert reranker("cross", keep=5, device="cuda")._device == "cuda"  # type: ignore[attr-defined]

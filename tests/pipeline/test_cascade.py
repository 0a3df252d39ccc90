"""A cascade as a value: all misfits at once, file and options say the same, text reads back."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tamis
from tamis.core import registry
from tamis.core.errors import (
    BadArguments,
    BadData,
    MissingDependency,
    MissingResource,
    UnknownComponent,
)
from tamis.core.near import near
from tamis.core.records import Query
from tamis.pipeline.cascade import (
    Cascade,
    RerankStage,
    from_options,
    parse_stage,
    stages_fingerprint,
)
from tamis.pipeline.cascade_file import read_cascade, to_toml, write_cascade
from tamis.pipeline.early_exit import EarlyExit

if TYPE_CHECKING:
    from tamis.pipeline.opening import Index

TEXTS = ["the flea lives long", "wine of the sea", "bread and wine", "a cat", "the sea wind"] * 4


class Judge:
    """A reranker of the tests: longer passages first, times ``sign``."""

    def __init__(self, *, keep: int = 100, device: str = "cpu", sign: int = 1) -> None:
        del device
        self.name, self.keep, self.sign = "judge", keep, sign

    @property
    def fingerprint(self) -> str:
        return f"judge {self.sign}"

    def score(self, batch: Any) -> list[np.ndarray]:
        return [
            np.array([self.sign * len(passage.text) for passage in each.passages], np.float32)
            for each in batch
        ]


class Late(Judge):
    """Its model is looked for when it is prepared."""

    def prepare(self) -> None:
        raise MissingResource("the model 'late' is not there")


class Absent:
    def __init__(self, **_: object) -> None:
        raise MissingDependency("the reranker 'absent' needs nothing: pip install nothing")


OWN = {"judge": Judge, "late": Late, "absent": Absent}


@pytest.fixture(autouse=True)
def own_rerankers(monkeypatch: pytest.MonkeyPatch) -> None:
    names, load = registry.names, registry.load
    monkeypatch.setattr(
        registry,
        "names",
        lambda kind: sorted([*names(kind), *OWN]) if kind == "reranker" else names(kind),
    )
    monkeypatch.setattr(registry, "load", lambda kind, name: OWN.get(name) or load(kind, name))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("cascade")
    lines = [json.dumps({"_id": f"p{i}", "text": f"{text} {i}"}) for i, text in enumerate(TEXTS)]
    (folder / "corpus.jsonl").write_text("\n".join(lines), "utf-8")
    return tamis.build(folder / "corpus.jsonl", folder / "idx", encoder="hashing")


def stage(name: str = "judge", keep: int = 10, **options: Any) -> RerankStage:
    return RerankStage(name, keep, options)


class TestMisfits:
    def test_all_are_told_at_once(self, index: Index) -> None:
        wrong = Cascade(
            dense=20,
            lexical=0,
            fuse="rrff",
            weights={"dense": -1.0},
            rerank=(
                stage("jugde", 30),
                stage("judge", 5, sing=2),
                stage("cross", 6),
                RerankStage("judge", 5, exit=EarlyExit(math.nan, "sclaed")),
            ),
            k=9,
        )
        with pytest.raises(BadArguments) as failure:
            wrong.over(index)
        told = str(failure.value)
        for part in (
            "for 10 reasons",
            "lexical has depth 0",
            "no fusion is called 'rrff', did you mean 'rrf'?",
            "weights must be finite",
            "rerank stage 1 (jugde) wants 30 candidates, at most 20 reach it",
            "rerank stage 3 (cross) wants 6 candidates, at most 5 reach it",
            "k is 9, and at most 5 candidates are left",
            "no reranker is called 'jugde'",
            "did you mean 'judge'?",
            "judge has no option 'sing', did you mean 'sign'?",
            "no margin is called 'sclaed', did you mean 'scaled'?",
            "threshold nan",
        ):
            assert part in told, told

    def test_one_problem_keeps_its_kind(self, index: Index) -> None:
        for name, kind in (
            ("late", MissingResource),
            ("absent", MissingDependency),
            ("jugde", UnknownComponent),
        ):
            with pytest.raises(kind, match="cannot run: "):
                Cascade(dense=20, rerank=(stage(name),)).over(index)

    def test_models_and_packages_that_lack_are_told_together(self, index: Index) -> None:
        both = Cascade(dense=20, rerank=(stage("late"), stage("absent")))
        with pytest.raises(BadArguments, match=r"(?s)'late' is not there.*'absent' needs"):
            both.over(index)

    def test_nothing_to_ask(self, index: Index) -> None:
        with pytest.raises(BadArguments, match="no first stage"):
            Cascade().over(index)

    def test_an_index_without_texts_or_bm25(self, index: Index, tmp_path: Path) -> None:
        bare = tmp_path / "bare"
        bare.mkdir()
        for name in ("index", "docid"):
            shutil.copy(index.folder.path / name, bare / name)
        foreign = tamis.open_index(bare, encoder="hashing")
        with pytest.raises(BadArguments) as failure:
            Cascade(dense=20, lexical=20, rerank=(stage(),)).over(foreign)
        assert "holds no texts, which judge would read" in str(failure.value)
        assert "holds no BM25" in str(failure.value)
        assert len(Cascade(dense=5).over(foreign).run([Query("1", "wine")])) == 1

    def test_a_stale_exit(self, index: Index) -> None:
        cascade = Cascade(dense=20, rerank=(stage("judge", 10, sign=1),))
        told = {"stages": stages_fingerprint(cascade, 0)}
        ruled = replace(
            cascade, rerank=(replace(cascade.rerank[0], exit=EarlyExit(0.5, calibration=told)),)
        )
        ruled.over(index)
        other = replace(ruled, dense=15)
        with pytest.raises(BadArguments, match="calibrated with other stages"):
            other.over(index)


def test_it_becomes_the_search_it_describes(index: Index) -> None:
    queries = [Query("1", "wine of the sea"), Query("2", "a flea")]
    cascade = Cascade(dense=20, lexical=15, rerank=(stage("judge", 8, sign=-1),), k=3)
    plain = tamis.Search(
        dense=index.dense(20), lexical=index.lexical(15), rerank=[Judge(keep=8, sign=-1)], k=3
    )
    found, expected = cascade.over(index).run(queries), plain.run(queries)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
    assert cascade.depth == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cross", RerankStage("cross", 100)),
        ("cross:20", RerankStage("cross", 20)),
        ("cross=org/name:20", RerankStage("cross", 20, {"model": "org/name"})),
        ("maxsim=a:b", RerankStage("maxsim", 100, {"model": "a:b"})),
        ("org/name", RerankStage("org/name", 100)),
    ],
)
def test_an_option_becomes_a_stage(text: str, expected: RerankStage) -> None:
    assert parse_stage(text) == expected


def test_options_become_a_cascade() -> None:
    given: dict[str, Any] = {"fuse": "rrf", "weights": None, "first_stage": 1000}
    plain = from_options(10, mode="dense", rerank=[stage(keep=50)], **given)
    assert plain == Cascade(dense=50, rerank=(stage(keep=50),), k=10)
    both = from_options(10, mode="hybrid", rerank=[], **given)
    assert (both.dense, both.lexical, both.k) == (1000, 1000, 10)
    assert from_options(1000, mode="lexical", rerank=[stage(keep=50)], **given).k == 50


def test_a_near_name() -> None:
    assert near("Lexcial", ["dense", "lexical"]) == ", did you mean 'lexical'?"
    assert near("magic", ["dense", "lexical"]) == ""


class TestFile:
    def test_a_file_set_by_hand(self, tmp_path: Path) -> None:
        (tmp_path / "model.txt").write_text("")
        (tmp_path / "c.toml").write_text(
            """
            k = 10
            [first]
            dense = 1000
            lexical = 500
            fuse = "minmax"
            weights = { dense = 1, lexical = 0.5 }
            [[rerank]]
            name = "lambdamart"
            model = "model.txt"
            [[rerank]]
            name = "org/name"
            keep = 20
            exit = { threshold = inf, margin = "raw" }
            """
        )
        assert read_cascade(tmp_path / "c.toml") == Cascade(
            1000,
            500,
            "minmax",
            {"dense": 1.0, "lexical": 0.5},
            (
                RerankStage("lambdamart", 100, {"model": str((tmp_path / "model.txt").resolve())}),
                RerankStage("org/name", 20, {}, EarlyExit(math.inf, "raw")),
            ),
            10,
        )

    def test_every_mistake_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "c.toml").write_text(
            'kk = 3\nk = true\n[first]\ndens = 5\nfuse = 3\nweights = { dense = "x" }\n'
            '[[rerank]]\nkeep = "a"\n[[rerank]]\nname = "judge"\nexit = { treshold = 1 }\n'
        )
        with pytest.raises(BadData) as failure:
            read_cascade(tmp_path / "c.toml")
        told = str(failure.value)
        for part in (
            "'kk', did you mean 'k'?",
            "k in the file is True; expected a whole number",
            "'dens', did you mean 'dense'?",
            "fuse in [first] is 3; expected a text",
            "dense in weights is 'x'; expected a number",
            "[[rerank]] 1 has no name, the reranker's; its keys:",
            "keep in [[rerank]] 1 is 'a'",
            "'treshold', did you mean 'threshold'?",
            "[[rerank]] 2 exit has no threshold",
        ):
            assert part in told, told

    @pytest.mark.parametrize("text", ["= 3", "rerank = 4", "[first\n", "first = 3"])
    def test_what_is_no_cascade(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "c.toml").write_text(text)
        with pytest.raises(BadData, match=r"c\.toml is no"):
            read_cascade(tmp_path / "c.toml")
        (tmp_path / "c.toml").write_bytes(b"\xff")
        with pytest.raises(BadData, match=r"c\.toml is no"):
            read_cascade(tmp_path / "c.toml")

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(MissingResource, match=r"c\.toml is not there"):
            read_cascade(tmp_path / "c.toml")

    @settings(max_examples=60, deadline=None)
    @given(
        dense=st.none() | st.integers(-5, 10**6),
        k=st.none() | st.integers(-5, 10**6),
        fuse=st.text(max_size=6),
        weights=st.none() | st.dictionaries(st.text(max_size=4), st.floats(0, 9), min_size=1),
        options=st.dictionaries(
            st.text('abc-_ .é"\x7f', min_size=1, max_size=5).filter(lambda n: n != "model"),
            st.integers(-(2**63), 2**63 - 1)
            | st.booleans()
            | st.text(max_size=5)
            | st.floats(allow_nan=False)
            | st.lists(st.text(max_size=3), max_size=3),
            max_size=3,
        ),
        threshold=st.none() | st.floats(allow_nan=False),
    )
    def test_what_is_written_reads_back(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        dense: int | None,
        k: int | None,
        fuse: str,
        weights: dict[str, float] | None,
        options: dict[str, Any],
        threshold: float | None,
    ) -> None:
        told = {"queries": 3, "stages": "ab", "share": 0.5}
        rule = None if threshold is None else EarlyExit(threshold, "raw", told)
        cascade = Cascade(
            dense, 7, fuse, weights, (RerankStage("judge", 3, options, rule), stage("org/x")), k
        )
        path = tmp_path_factory.mktemp("toml") / "c.toml"
        write_cascade(cascade, path)
        assert path.read_text("utf-8") == to_toml(cascade)
        assert read_cascade(path) == cascade


def command(*arguments: object, cache: Path) -> subprocess.CompletedProcess[str]:
    root = Path(tamis.__file__).resolve().parent.parent
    return subprocess.run(
        [sys.executable, "-P", "-c", "from tamis.pipeline.cli import main; main()", "search"]
        + [str(each) for each in arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(root), "PATH": "", "XDG_CACHE_HOME": str(cache)},
    )


def test_the_command_line_runs_a_file(index: Index, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[first]\ndense = 9\nlexical = 9\nfuse = "zscore"\n')
    (tmp_path / "q.tsv").write_text("1\twine of the sea\n2\ta flea\n")
    asked = [index.folder.path, "--queries", tmp_path / "q.tsv"]
    timed = ["--at-once", "1", "--cache", "--json"]
    outputs = []
    for name in ("one", "two"):
        run = [*asked, "-o", tmp_path / name, "--cascade", tmp_path / "c.toml", *timed]
        done = command(*run, cache=tmp_path / "cache")
        assert done.returncode == 0, done.stderr
        outputs.append(json.loads(done.stdout))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    first, second = outputs
    assert first["queries_at_once"] == 1
    assert first["stages"]["dense"]["p95_ms"] >= first["stages"]["dense"]["p50_ms"] > 0
    assert (first["stages"]["dense"]["stored"], second["stages"]["dense"]["stored"]) == (0, 2)
    assert list((tmp_path / "cache" / "tamis" / "stages").glob("*.stage"))
    flags = ["--mode", "hybrid", "--fuse", "zscore", "-k", "5"]
    done = command(*asked, "-o", tmp_path / "three", *flags, cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mean ms" in done.stderr
    assert "fuse (zscore)" in done.stderr


def test_the_command_line_refuses_both_ways_at_once(index: Index, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[first]\ndense = 9\n")
    given = [index.folder.path, "wine", "--cascade", tmp_path / "c.toml"]
    done = command(*given, "--mode", "dense", "--rerank", "judge", cache=tmp_path)
    assert done.returncode == 2
    assert "--cascade says what --mode, --rerank would say" in done.stderr
    done = command(index.folder.path, "wine", "--cache", cache=tmp_path)
    assert done.returncode == 2
    assert "for --queries FILE" in done.stderr

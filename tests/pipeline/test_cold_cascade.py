"""A cascade over an index with a cold tier: batches, kept outputs, the setting in its file."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

import tamis
from tamis.core.errors import BadArguments
from tamis.core.records import Query
from tamis.pipeline.cascade import Cascade, stages_fingerprint
from tamis.pipeline.cascade_file import read_cascade, write_cascade
from tamis.pipeline.cli import app
from tamis.pipeline.cold.tuning import tune_cold
from tamis.pipeline.opening import open_index
from tamis.pipeline.stage_outputs import StageOutputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tamis.core.protocols import Candidates
    from tamis.pipeline.search import Run, Search

ROWS = 40
QUERIES = [Query(f"q{row}", f"only{row} word{row % 12} more") for row in range(0, ROWS, 3)]
FIRST: dict[str, dict[str, int]] = {
    "dense": {"dense": 8},
    "lexical": {"lexical": 8},
    "hybrid": {"dense": 8, "lexical": 8},
}
WHENS = ("auto", "always", "never")


@dataclass
class Judge:
    """Scores by the passage's number; remembers how many queries it was asked about."""

    name: str = "judge"
    keep: int = 6
    calls: int = 0
    fingerprint: str = "one"

    def score(self, batch: Sequence[Candidates]) -> list[np.ndarray]:
        self.calls += len(batch)
        return [
            np.array([np.cos(3.0 * int(p.id[1:])) for p in each.passages], np.float32)
            for each in batch
        ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fourth passage is the shortest: with length as quality, it is cut."""
    texts = [f"word{row % 12} only{row}" + " more words" * bool(row % 4) for row in range(ROWS)]
    path = tmp_path_factory.mktemp("corpus") / "c.jsonl"
    path.write_text(
        "\n".join(json.dumps({"id": f"p{row}", "text": text}) for row, text in enumerate(texts)),
        "utf-8",
    )
    return path


@pytest.fixture(scope="module")
def listed(corpus: Path) -> Path:
    path = corpus.with_name("q.tsv")
    path.write_text("\n".join(f"{query.id}\t{query.text}" for query in QUERIES), "utf-8")
    return path


@pytest.fixture(scope="module")
def untouched(corpus: Path, listed: Path) -> Path:
    """Half of the queries go cold."""
    folder = corpus.with_name("i")
    tamis.build(corpus, folder, encoder="hashing", quality="length", keep=0.75, cold=True)
    tune_cold(folder, str(listed), budget=0.5)
    return folder


@pytest.fixture
def built(untouched: Path, tmp_path: Path) -> Path:
    return shutil.copytree(untouched, tmp_path / "i")


def ready(folder: Path, when: str, mode: str = "hybrid", judge: Judge | None = None) -> Search:
    cascade = Cascade(**FIRST[mode], cold=when)
    search = cascade.over(open_index(folder))
    return replace(search, rerank=[judge or Judge()])


def told(run: Run) -> list[Any]:
    """All that a run says but its seconds."""
    rankings = [
        (each.query.id, each.rows.tolist(), each.scores.tolist(), list(each.stages)) for each in run
    ]
    return [rankings, None if run.cold is None else run.cold.tolist()]


@pytest.mark.parametrize("mode", FIRST)
@pytest.mark.parametrize("when", WHENS)
def test_batches_of_any_size_answer_alike(untouched: Path, mode: str, when: str) -> None:
    search = ready(untouched, when, mode)
    many = search.run(QUERIES)
    for at_once in (1, 3):
        assert told(search.run(QUERIES, at_once=at_once)) == told(many)
    if when == "never":
        assert many.cold is None
        return
    assert many.cold is not None
    went = int(many.cold.sum())
    assert went == len(QUERIES) if when == "always" else 0 < went < len(QUERIES)
    cold_rows = [bool((ranking.rows >= 30).any()) for ranking in search.run(QUERIES)]
    assert any(cold_rows)
    assert not any(there for there, cold in zip(cold_rows, many.cold, strict=True) if not cold)


@pytest.mark.parametrize("at_once", [1, 4, 256])
def test_what_is_kept_never_answers_for_another_setting(built: Path, at_once: int) -> None:
    kept = StageOutputs(built.parent / "kept")
    fresh = {when: told(ready(built, when).run(QUERIES)) for when in WHENS}
    assert len({json.dumps(each) for each in fresh.values()}) == 3
    for when in (*WHENS, *reversed(WHENS)):
        run = ready(built, when).run(QUERIES, at_once=at_once, kept=kept)
        assert told(run) == fresh[when], when
    judge = Judge()
    again = ready(built, "auto", judge=judge).run(QUERIES, at_once=at_once, kept=kept)
    assert told(again) == fresh["auto"], "which queries went cold is kept as well"
    assert judge.calls == 0
    assert again.times["judge"].stored.all()


def test_another_threshold_is_another_output(built: Path, listed: Path) -> None:
    kept = StageOutputs(built.parent / "kept")
    before = ready(built, "auto").run(QUERIES, kept=kept)
    tune_cold(built, str(listed), budget=0.2)
    after = ready(built, "auto").run(QUERIES, kept=kept)
    assert before.cold is not None
    assert after.cold is not None
    assert 0 < after.cold.sum() < before.cold.sum()
    assert told(after) == told(ready(built, "auto").run(QUERIES))


def test_the_hot_answer_is_kept_for_all_settings(built: Path) -> None:
    kept = StageOutputs(built.parent / "kept")
    ready(built, "never").run(QUERIES, kept=kept)
    run = ready(built, "always").run(QUERIES, kept=kept)
    assert run.times["dense"].stored.all()
    assert run.times["lexical"].stored.all()
    assert not run.times["dense (cold)"].stored.any()


def test_cold_stages_have_times_of_the_queries_that_went_there(untouched: Path) -> None:
    run = ready(untouched, "auto").run(QUERIES, at_once=1)
    assert run.cold is not None
    for name in ("dense (cold)", "lexical (cold)", "join tiers"):
        np.testing.assert_array_equal(run.times[name].ran, run.cold)
        assert (run.times[name].seconds[~run.cold] == 0).all()
        assert run.seconds[name] == pytest.approx(run.times[name].seconds.sum())
    assert run.times["dense (cold)"].passages[run.cold].sum() > 0
    assert run.times["dense (cold)"].passages[~run.cold].sum() == 0


def test_no_query_went_nowhere(untouched: Path) -> None:
    run = ready(untouched, "auto").run([])
    assert run.cold is not None
    assert run.cold.shape == (0,)


def test_the_file_says_when(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[first]\ndense = 8\ncold = "never"\n')
    read = read_cascade(path)
    assert read == Cascade(dense=8, cold="never")
    write_cascade(replace(read, cold="always"), path)
    assert read_cascade(path).cold == "always"
    path.write_text("[first]\ndense = 8\n")
    assert read_cascade(path).cold == "auto"


def test_a_wrong_word_and_a_missing_tier_are_told_at_once(corpus: Path, tmp_path: Path) -> None:
    index = tamis.build(corpus, tmp_path / "whole", encoder="hashing")
    with pytest.raises(BadArguments, match="cold is 'alway', did you mean 'always'"):
        Cascade(dense=8, cold="alway").over(index)
    with pytest.raises(BadArguments, match=r"2 reasons(.|\n)*k is 9(.|\n)*no cold tier"):
        Cascade(dense=8, cold="always", k=9).over(index)
    assert Cascade(dense=8).over(index).run(QUERIES).cold is None


def test_a_calibration_is_of_one_setting() -> None:
    one, other = (Cascade(dense=8, cold=when) for when in ("auto", "never"))
    assert stages_fingerprint(one, 0) != stages_fingerprint(other, 0)


@pytest.mark.parametrize("in_file", [None, *WHENS])
@pytest.mark.parametrize("given", [None, *WHENS])
def test_the_option_goes_before_the_file(
    untouched: Path, listed: Path, tmp_path: Path, in_file: str | None, given: str | None
) -> None:
    line = f'cold = "{in_file}"\n' if in_file else ""
    (tmp_path / "c.toml").write_text(f"[first]\nlexical = 8\n{line}")
    words = ["--queries", str(listed), "-o", str(tmp_path / "run"), "--json"]
    words += ["--cold", given] if given else []
    words += ["--cascade", str(tmp_path / "c.toml")]
    done = CliRunner().invoke(app, ["search", str(untouched), *words])
    assert done.exit_code == 0, done.output
    went = json.loads(done.stdout).get("cold_queries")
    if (given or in_file or "auto") == "never":
        assert went is None
    elif (given or in_file) == "always":
        assert went == len(QUERIES)
    else:
        assert 0 < went < len(QUERIES)

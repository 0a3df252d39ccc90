"""Systems side by side: the numbers are those of ``tamis search`` and ``tamis eval``, run once."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

from tamis.core.errors import BadArguments, FailedWhileRunning, MissingResource
from tamis.core.qrels import read_qrels
from tamis.core.queries import read_queries
from tamis.core.records import Query
from tamis.core.runs import read_run
from tamis.eval.comparison import evaluate_runs
from tamis.eval.equivalence import equivalence
from tamis.pipeline.cascade import Cascade
from tamis.pipeline.cli import app
from tamis.pipeline.comparing.systems import budget as budgets
from tamis.pipeline.comparing.systems import side_by_side, worker
from tamis.pipeline.comparing.systems.body import body_of
from tamis.pipeline.comparing.systems.markdown_report import lines_of
from tamis.pipeline.comparing.systems.model_files import Models
from tamis.pipeline.comparing.systems.page import page_of
from tamis.pipeline.comparing.systems.side_by_side import compare_systems, run_alone
from tamis.pipeline.comparing.systems.spec import Budget, EquivalenceSpec
from tamis.pipeline.comparing.systems.spec_file import read_spec
from tamis.pipeline.comparing.systems.summary import summary
from tamis.pipeline.comparing.systems.writing import write_comparison
from tamis.pipeline.opening import open_index

if TYPE_CHECKING:
    from pathlib import Path

    from tamis.pipeline.comparing.systems.compared import Compared
    from tamis.pipeline.comparing.systems.worker import Job

pytest.importorskip("faiss")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs are done in this process, which is quicker, and noted here."""
    jobs: list[Job] = []

    def done(job: Job) -> dict[str, Any]:
        jobs.append(job)
        return worker.done(job)

    monkeypatch.setattr(side_by_side, "run_alone", done)
    return jobs


def compared(small: Path) -> Compared:
    return compare_systems(small, small.parent / "out", command="tamis compare compare.toml -o out")


def test_the_numbers_are_those_of_search_and_eval(small: Path, asked: list[Job]) -> None:
    found = compared(small)
    home = small.parent
    judgments = read_qrels(home / "qrels" / "test.tsv").judgments
    queries = [query for query in read_queries(home) if query.id in judgments]
    (folder,) = (home / "out" / "work" / "indexes").iterdir()
    index = open_index(folder)
    runs = {
        "words": Cascade(lexical=30).over(index).run(queries).scores(),
        "both": Cascade(dense=30, lexical=30).over(index).run(queries).scores(),
        "peer": read_run(home / "peer.run"),
    }
    expected = evaluate_runs(runs, judgments, ["nDCG@10", "R@10"], baseline="words")
    for name in runs:
        for measure in ("nDCG@10", "R@10"):
            assert np.array_equal(
                found.comparison.evaluations[name].values[measure],
                expected.evaluations[name].values[measure],
            )
    assert found.comparison.tests == expected.tests
    assert found.comparison.p_holm == expected.p_holm
    assert found.comparison.intervals == expected.intervals
    assert found.equivalences["both"]["R@10"] == equivalence(
        expected.evaluations["both"].values["R@10"],
        expected.evaluations["words"].values["R@10"],
        margin=0.1,
    )
    assert [job.name for job in asked] == ["words", "both"]


def test_costs_are_of_the_sample_and_of_what_the_system_reads(
    small: Path, asked: list[Job]
) -> None:
    found = compared(small)
    words, both, peer = found.systems
    assert words.costs is not None
    assert both.costs is not None
    assert (words.costs.queries, words.costs.at_once) == (4, 4)
    assert [query for query, _ in asked[0].sample] == ["q0", "q2", "q5", "q7"]
    assert set(words.costs.stages) == {"lexical"}
    assert {"encode", "dense", "lexical", "fuse (rrf)"} == set(both.costs.stages)
    assert both.costs.stages["dense"]["passages"] == 30
    assert 0 < words.costs.p50_ms <= words.costs.p95_ms
    assert both.costs.mean_ms >= sum(each["mean_ms"] for each in both.costs.stages.values())
    assert set(words.index_bytes) == {"BM25", "texts and ids"}
    assert set(both.index_bytes) == {"BM25", "texts and ids", "vectors"}
    assert (both.model_bytes, words.model_bytes) == ({"encoder hashing": 0}, {})
    assert (peer.costs, peer.index_bytes) == (None, {})


def test_the_clock_runs_after_a_warm_up_one_query_at_a_time_then_all_together() -> None:
    calls: list[tuple[list[str], int]] = []

    class Asked:
        times: ClassVar = {}

        def run(self, queries: list[Query], *, at_once: int) -> Asked:
            calls.append(([query.id for query in queries], at_once))
            return self

    sample = [Query(str(number), "text") for number in range(4)]
    costs = worker.costs_of(Asked(), sample)  # type: ignore[arg-type]
    alone = [([query.id], 1) for query in sample]
    assert calls == [(["0", "1", "2"], 1), *alone, (["0", "1", "2", "3"], 256)]
    assert (costs.queries, costs.at_once, costs.stages) == (4, 4, {})


def test_nothing_is_run_again_but_what_changed(small: Path, asked: list[Job]) -> None:
    first = compared(small)
    asked.clear()
    again = compared(small)
    assert not asked
    assert body_of(again) == body_of(first)
    text = small.read_text("utf-8").replace("dense = 30, lexical = 30", "dense = 20, lexical = 30")
    small.write_text(text.replace('"R@10"', '"RR@10"'), "utf-8")
    changed = compared(small)
    assert [job.name for job in asked] == ["both"]
    assert changed.measures == ["nDCG@10", "RR@10"]


def test_a_system_in_its_own_process_answers_the_same(small: Path) -> None:
    text = small.read_text("utf-8").replace('[[system]]\nname = "both"', '[[system]]\nname = "b"')
    cut = (
        text[: text.index('[[system]]\nname = "b"')]
        + text[text.index('[[system]]\nname = "peer') :]
    )
    small.write_text(cut, "utf-8")
    found = compared(small)
    costs = found.systems[0].costs
    assert costs is not None
    assert 20e6 < costs.loaded_bytes <= costs.peak_bytes < 2e9


def test_an_index_may_be_all_there_is_of_the_collection(small: Path, asked: list[Job]) -> None:
    first = compared(small)
    home = small.parent
    (folder,) = (home / "out" / "work" / "indexes").iterdir()
    folder.rename(home / "idx")
    text = small.read_text("utf-8").replace('[index.main]\nencoder = "hashing"\n', "")
    text = text.replace('corpus = "."', 'index = "idx"\nqueries = "queries.jsonl"')
    text = text.replace('"dev"', '"qrels/dev.tsv"').replace('"test"', '"qrels/test.tsv"')
    (home / "again.toml").write_text(text, "utf-8")
    again = compare_systems(home / "again.toml", home / "other")
    assert again.passages == 60
    assert again.examples == first.examples
    for name, evaluation in first.comparison.evaluations.items():
        told = again.comparison.evaluations[name].values["nDCG@10"]
        assert np.array_equal(told, evaluation.values["nDCG@10"])


def test_run_files_alone_need_no_index_and_no_time(small: Path, asked: list[Job]) -> None:
    text = small.read_text("utf-8")
    runs = "".join(f'[[system]]\nname = "{n}"\nrun = "peer.run"\n' for n in ("words", "two"))
    head = text[: text.index("[index.main]")]
    small.write_text(head + runs, "utf-8")
    found = compared(small)
    assert not asked
    assert found.frontier == []
    assert found.comparison.tests["two"]["R@10"].delta == 0
    written = {path.name for path in write_comparison(found, small.parent / "out")}
    assert written == {"report.html", "report.md", "report.json"}
    assert "nothing was timed" in "\n".join(lines_of(found))


def test_what_goes_wrong_in_a_process_names_the_system(small: Path, asked: list[Job]) -> None:
    compared(small)
    job = asked[0]
    with pytest.raises(MissingResource, match=r"system 'words': .*gone"):
        run_alone(replace(job, index=str(small.parent / "gone")))


def test_a_process_that_dies_is_told(
    small: Path, asked: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared(small)
    monkeypatch.setattr(side_by_side.sys, "executable", "/bin/false")
    with pytest.raises(FailedWhileRunning, match="system 'words': its process ended with 1"):
        run_alone(asked[0])


def test_examples_show_the_largest_differences_and_what_moved(
    small: Path, asked: list[Job]
) -> None:
    found = compared(small)
    values = {n: e.values["nDCG@10"] for n, e in found.comparison.evaluations.items()}
    delta = values["peer"] - values["words"]
    examples = found.examples["peer"]
    wins = [each.delta for each in examples if each.kind == "win"]
    losses = [each.delta for each in examples if each.kind == "loss"]
    assert wins == sorted(delta[delta > 0], reverse=True)[:2]
    assert losses == sorted(delta[delta < 0])[:2]
    peer = read_run(small.parent / "peer.run")
    for example in examples:
        ranked = list(peer[example.query])
        for move in example.moves:
            assert move.before != move.after
            assert move.after == (
                ranked.index(move.passage) + 1 if move.passage in ranked else None
            )
            assert move.title == f"Title {move.passage[1:]}"
            assert move.text.endswith(f"w{move.passage[1:]}")
        grades = [move.grade or 0 for move in example.moves]
        assert grades == sorted(grades, reverse=True)


def test_the_frontier_holds_whom_nobody_beats(small: Path, asked: list[Job]) -> None:
    found = compared(small)
    first = found.systems[0]
    assert first.costs is not None
    values = {n: e.value("nDCG@10") for n, e in found.comparison.evaluations.items()}
    slower = replace(found.systems[1], costs=replace(first.costs, p50_ms=first.costs.p50_ms + 1))
    both = replace(found, systems=[slower, first])
    better = values["both"] > values["words"]
    assert both.frontier == (["words", "both"] if better else ["words"])
    faster = replace(found.systems[1], costs=replace(first.costs, p50_ms=0.0))
    assert replace(found, systems=[first, faster]).frontier == (
        ["both"] if values["both"] >= values["words"] else ["both", "words"]
    )


def test_the_report_is_written_in_three_forms(small: Path, asked: list[Job]) -> None:
    found = compared(small)
    written = {path.name for path in write_comparison(found, small.parent / "out")}
    assert {"report.html", "report.md", "report.json"} <= written
    body = json.loads((small.parent / "out" / "report.json").read_text("utf-8"))
    assert [each["system"] for each in body["systems"]] == ["words", "both", "peer"]
    assert body["systems"][1]["tests"]["R@10"]["p_holm"] == found.comparison.p_holm["both"]["R@10"]
    assert body["collection"]["queries"] == 10
    assert body["made_with"]["command"].startswith("tamis compare")
    text = "\n".join(lines_of(found))
    assert "90 % interval" in text
    strict = replace(found, spec=replace(found.spec, equivalence=EquivalenceSpec(0.1, 0.01)))
    assert "98 % interval" in "\n".join(lines_of(strict))
    value = found.comparison.evaluations["both"].value("nDCG@10")
    assert f"{value:.3f} [" in text
    assert "adjusted by Holm over all 4 comparisons" in text
    assert "10 judged queries, 60 passages" in text
    assert "tamis compare compare.toml -o out" in text


def test_the_command_prints_a_line_a_system(small: Path, asked: list[Job]) -> None:
    out = small.parent / "out"
    done = CliRunner().invoke(app, ["compare", str(small), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert re.search(r"\| both +\| 0\.\d{3}", done.output)
    assert "test split of collection: 10 judged queries, 60 passages" in done.output
    assert (out / "report.html").is_file()


def test_a_folder_of_something_else_is_refused(small: Path) -> None:
    with pytest.raises(BadArguments, match="is no report of ours"):
        compare_systems(small, small.parent)


class _Slow:
    """Costs by a form's own words, so that a choice can be foretold: each pair or row is 1 ms."""

    def __call__(self, form: Cascade) -> dict[str, float]:
        time = float((form.dense or 0) + (form.lexical or 0))
        return {"p50_ms": time, "p95_ms": 2 * time}


def within(small: Path, budget: Budget, monkeypatch: pytest.MonkeyPatch) -> Compared:
    monkeypatch.setattr(budgets._Choosing, "_timed", lambda _self, form: _Slow()(form))
    return budgets.compare_within(budget, small, small.parent / "out")


def test_the_best_form_within_the_budget_is_chosen_on_dev(
    small: Path, asked: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = within(small, Budget(30.0, system="both"), monkeypatch)
    choice = found.choice
    assert choice is not None
    judgments = read_qrels(small.parent / "qrels" / "dev.tsv").judgments
    queries = [query for query in read_queries(small.parent) if query.id in judgments]
    (folder,) = (small.parent / "out" / "work" / "indexes").iterdir()
    values = {}
    for form in (
        Cascade(dense=30),
        Cascade(lexical=30),
        Cascade(dense=10),
        Cascade(lexical=10),
        Cascade(dense=10, lexical=10),
    ):
        run = form.over(open_index(folder)).run(queries).scores()
        values[repr(form)] = evaluate_runs({"x": run}, judgments, ["nDCG@10"]).evaluations["x"]
    tried = {repr(each.cascade): each.value for each in choice.tried if each.value is not None}
    assert tried == {form: each.value("nDCG@10") for form, each in values.items()}
    assert choice.winner.value == max(tried.values())
    over = [each for each in choice.tried if each.value is None]
    assert [repr(each.cascade) for each in over] == [repr(Cascade(dense=30, lexical=30))]
    names = [system.name for system in found.systems]
    assert names == ["words", "both", "both within 30 ms", "peer"]
    assert "within 30 ms (p50) on dev" in choice.sentence
    costs = next(each.costs for each in found.systems if each.name == "both within 30 ms")
    assert costs is not None
    slow = [
        replace(each, costs=replace(costs, p50_ms=31.0)) if each.name == choice.name else each
        for each in found.systems
    ]
    late = replace(found, systems=slow)
    for page in ("\n".join(lines_of(late)), page_of(late, ""), "\n".join(summary(late))):
        assert "On test it took 31 ms, over the budget." in page
    assert body_of(found)["choice"]["dev_queries"] == 8


def test_test_has_no_part_in_the_choice(
    small: Path, asked: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = within(small, Budget(30.0, system="both"), monkeypatch)
    judged = small.parent / "qrels" / "test.tsv"
    lines = judged.read_text("utf-8").splitlines()
    judged.write_text(
        "\n".join([lines[0], *(line[:-1] + "0" for line in lines[1::2]), "q0\tp59\t1"])
    )
    second = within(small, Budget(30.0, system="both"), monkeypatch)
    assert first.choice is not None
    assert second.choice is not None
    assert first.choice == second.choice
    assert first.comparison.evaluations["words"].values != second.comparison.evaluations["words"]


def test_the_percentile_counts_and_a_budget_nobody_meets_is_refused(
    small: Path, asked: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = within(small, Budget(30.0, "p95", "both"), monkeypatch)
    assert found.choice is not None
    fits = [each.cascade for each in found.choice.tried if each.value is not None]
    assert {max(each.dense or 0, each.lexical or 0) for each in fits} == {10}
    with pytest.raises(BadArguments, match=r"no form of 'both' answers within 5 ms .* took 10 ms"):
        within(small, Budget(5.0, system="both"), monkeypatch)


def test_the_spec_is_left_as_it_was(
    small: Path, asked: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_spec(small)
    within(small, Budget(30.0, system="both"), monkeypatch)
    assert read_spec(small) == before


def test_what_an_unknown_model_was_worth_is_not_kept(
    small: Path, asked: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "models_of", lambda *_: Models({"stranger": None}))
    within(small, Budget(30.0, system="both"), monkeypatch)
    timed: list[object] = []
    monkeypatch.setattr(
        budgets._Choosing, "_timed", lambda _self, form: timed.append(form) or _Slow()(form)
    )
    budgets.compare_within(Budget(30.0, system="both"), small, small.parent / "out")
    assert timed

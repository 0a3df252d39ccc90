"""The packaged collection keeps the promises that its README makes."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict

import pytest

from tamis.core.qrels import read_qrels
from tamis.core.queries import read_queries
from tamis.pipeline.check import check_corpus
from tamis.pipeline.demo import COLLECTION, SAMPLES, labels

KINDS = {
    "good",
    "navigation",
    "boilerplate",
    "cookie",
    "fragment",
    "keywords",
    "chat",
    "duplicate",
}


def passages() -> list[dict[str, str]]:
    return [
        json.loads(line) for line in (COLLECTION / "corpus.jsonl").read_text("utf-8").splitlines()
    ]


def judgments(split: str) -> dict[str, dict[str, int]]:
    return read_qrels(COLLECTION / "qrels" / f"{split}.tsv").judgments


def copies() -> list[list[str]]:
    """Ids of the passages that share one text, group by group."""
    same = defaultdict(list)
    for passage in passages():
        same[passage["text"]].append(passage["_id"])
    return [ids for ids in same.values() if len(ids) > 1]


def test_passages_have_ids_in_the_order_of_the_file() -> None:
    found = passages()
    assert len(found) >= 400
    assert [passage["_id"] for passage in found] == [f"p{n:03}" for n in range(1, len(found) + 1)]
    assert all(set(passage) == {"_id", "title", "text"} for passage in found)


def test_a_third_of_the_passages_is_junk_of_every_kind() -> None:
    kinds = labels()
    assert list(kinds) == [passage["_id"] for passage in passages()]
    counts = Counter(kinds.values())
    assert set(counts) == KINDS
    assert min(counts.values()) >= 20
    assert 0.28 <= 1 - counts["good"] / len(kinds) <= 0.36


def test_the_splits_share_no_query_and_leave_none_out() -> None:
    queries = [query.id for query in read_queries(COLLECTION / "queries.jsonl")]
    dev, test = judgments("dev"), judgments("test")
    assert len(queries) >= 80
    assert queries == [f"q{n:03}" for n in range(1, len(queries) + 1)]
    assert not set(dev) & set(test)
    assert set(dev) | set(test) == set(queries)
    assert 2 * len(dev) == len(test)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_judgments_name_passages_that_exist_with_grades_0_to_3(split: str) -> None:
    known = {passage["_id"] for passage in passages()}
    for query, grades in judgments(split).items():
        assert set(grades) <= known, query
        assert set(grades.values()) <= {0, 1, 2, 3}, query
        assert max(grades.values()) >= 2, query
        assert min(grades.values()) == 0, query


@pytest.mark.parametrize("split", ["dev", "test"])
def test_junk_answers_nothing(split: str) -> None:
    kinds = labels()
    for query, grades in judgments(split).items():
        relevant = {kinds[id_] for id_, grade in grades.items() if grade > 0}
        assert relevant <= {"good", "duplicate"}, query


def test_of_passages_with_one_text_all_but_one_are_labelled_duplicate() -> None:
    kinds = labels()
    groups = copies()
    assert len(groups) >= 10
    for ids in groups:
        assert sorted(kinds[id_] for id_ in ids) == ["duplicate"] * (len(ids) - 1) + ["good"], ids


@pytest.mark.parametrize("split", ["dev", "test"])
def test_an_exact_copy_has_the_grade_of_its_original(split: str) -> None:
    for query, grades in judgments(split).items():
        for ids in copies():
            assert len({grades.get(id_, 0) for id_ in ids}) == 1, (query, ids)


def test_samples_come_from_dev() -> None:
    assert set(SAMPLES) <= set(judgments("dev"))


def test_check_finds_nothing_but_duplicate_texts() -> None:
    for split in ("dev", "test"):
        report = check_corpus(
            str(COLLECTION),
            qrels=str(COLLECTION / "qrels" / f"{split}.tsv"),
            queries=str(COLLECTION / "queries.jsonl"),
        )
        assert report.ok
        assert [finding.kind for finding in report.warnings] == ["duplicate text"]


def test_the_readme_counts_right() -> None:
    text = (COLLECTION / "README.md").read_text("utf-8")
    for kind, count in Counter(labels().values()).items():
        assert f"| {kind} | {count} |" in text
    for split in ("dev", "test"):
        grades = Counter(g for judged in judgments(split).values() for g in judged.values())
        row = [len(judgments(split)), *(grades[g] for g in (3, 2, 1, 0)), sum(grades.values())]
        assert f"| {split} | {' | '.join(map(str, row))} |" in text
    stated = re.search(r"In (\d+) queries a duplicate has grade 2 or 3", text)
    assert stated is not None
    kinds = labels()
    both = [*judgments("dev").values(), *judgments("test").values()]
    found = [any(kinds[i] == "duplicate" and g >= 2 for i, g in judged.items()) for judged in both]
    assert int(stated[1]) == sum(found)

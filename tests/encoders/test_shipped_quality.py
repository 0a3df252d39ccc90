"""The quality model that comes with the package: its size, its card, what it knows of junk."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tamis.core.qrels import read_qrels
from tamis.encoders.quality.recurrent import SHIPPED, load_recurrent
from tamis.eval.discrimination import area_under_roc
from tamis.pipeline import demo
from tamis.pipeline.components import quality

FOLDER = Path(demo.__file__).parents[1] / "encoders" / "models" / SHIPPED


def test_it_is_small_enough_for_the_repository() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*")) <= 6e6


def test_it_is_what_its_name_loads() -> None:
    assert quality("recurrent").card == load_recurrent().card  # type: ignore[union-attr]
    assert load_recurrent().card.name == "recurrent"
    card = (FOLDER / "README.md").read_text("utf-8")
    assert "never saw MS MARCO" in card


@pytest.fixture(scope="module")
def labelled() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Ids and scores of the demo collection's passages, duplicates apart, and which are good."""
    lines = (demo.COLLECTION / "corpus.jsonl").read_text("utf-8").splitlines()
    passages = {(found := json.loads(line))["_id"]: found for line in lines}
    with (demo.COLLECTION / "labels.tsv").open(encoding="utf-8") as file:
        kinds = {row["passage-id"]: row["kind"] for row in csv.DictReader(file, delimiter="\t")}
    ids = [id_ for id_ in passages if kinds[id_] != "duplicate"]
    texts = [f"{passages[i].get('title', '')} {passages[i]['text']}".strip() for i in ids]
    return ids, load_recurrent().score(texts), np.array([kinds[id_] == "good" for id_ in ids])


def test_it_tells_junk_from_passages(labelled: tuple[list[str], np.ndarray, np.ndarray]) -> None:
    _, scores, good = labelled
    assert area_under_roc(scores, good) >= 0.95


def test_no_best_answer_is_in_the_lowest_quarter(
    labelled: tuple[list[str], np.ndarray, np.ndarray],
) -> None:
    ids, scores, _ = labelled
    judged = [read_qrels(demo.COLLECTION / "qrels" / f"{split}.tsv") for split in ("dev", "test")]
    best = {
        id_
        for found in judged
        for own in found.judgments.values()
        for id_, grade in own.items()
        if grade == 3
    }
    lowest = {ids[row] for row in np.argsort(scores)[: len(ids) // 4]}
    assert len(best & set(ids)) > 100
    assert not best & lowest


def test_an_opening_is_worth_more_than_what_follows() -> None:
    scores = load_recurrent().score(
        [
            "A glacier cave is a cave formed within the ice of a glacier.",
            "He went there again in 1931, and after that nobody saw the place for ten years.",
            "Home | About us | Contact | Log in",
        ]
    )
    assert scores[0] > scores[1] > scores[2]

"""Attacks on passages, and the ranks that they come to."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

import tamis
from tamis.core.errors import BadArguments, BadData
from tamis.core.protocols import QualityCard
from tamis.core.records import Query
from tamis.eval.proportions import proportion
from tamis.pipeline.cli import app
from tamis.pipeline.opening import open_index
from tamis.pipeline.robustness.attacks import ATTACKS
from tamis.pipeline.robustness.stuffing import Damage, Stuffing, stuffing, told
from tamis.pipeline.robustness.targets import attacked, choose_targets

if TYPE_CHECKING:
    from pathlib import Path

WORDS = np.array(
    ["flea", "cat", "dog", "bread", "sea", "wind", "bell", "tower", "salt", "water", "glass"]
)
QUERIES = [Query("q1", "flea cat moon"), Query("q2", "the salt of the sea"), Query("q3", "tower")]
JUDGMENTS = {"q1": {"p0": 1, "p1": 0}, "q2": {"p2": 2}, "q3": {"p3": 1}, "q4": {"p4": 0}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty passages of twelve random words each."""
    home = tmp_path_factory.mktemp("stuffing")
    rng = np.random.default_rng(1)
    lines = [
        json.dumps({"_id": f"p{i}", "title": "", "text": " ".join(rng.choice(WORDS, 12))})
        for i in range(60)
    ]
    (home / "corpus.jsonl").write_text("\n".join(lines))
    tamis.build(home / "corpus.jsonl", home / "idx", encoder="hashing")
    return home


class Short:
    """The shorter a passage, the better."""

    card = QualityCard("short", "short")

    def score(self, texts: list[str]) -> np.ndarray:
        return np.array([-len(text) for text in texts], np.float32)


class TestAttacks:
    def test_each_is_what_it_says(self) -> None:
        made = {
            name: attack("how does a flea live", "Old text.", 2) for name, attack in ATTACKS.items()
        }
        assert made["append"] == "Old text. how does a flea live how does a flea live"
        assert made["prepend"] == "how does a flea live how does a flea live Old text."
        assert made["stuff"] == "Old text. flea flea live live"
        assert made["claim"].count("Relevant: true.") == 2
        assert "flea" not in made["claim"]
        assert made["inject"].startswith("Query: how does a flea live Relevant: true. Query:")
        assert all("Old text." in text for text in made.values())

    def test_a_query_of_function_words_is_stuffed_as_it_is(self) -> None:
        assert ATTACKS["stuff"]("who is it", "x", 1) == "x who is it"


class TestTargets:
    def test_they_are_low_and_not_relevant(self, folder: Path) -> None:
        index = open_index(folder / "idx")
        found = choose_targets(index, QUERIES, JUDGMENTS, sample=9, ranks=(20, 40), seed=0)
        assert sorted(each.query.id for each in found) == ["q1", "q2", "q3"]
        both = tamis.Search(dense=index.dense(1000), lexical=index.lexical(1000)).run(QUERIES)
        ranks = {r.query.id: r.rows.tolist() for r in both.rankings}
        for each in found:
            assert 19 <= ranks[each.query.id].index(each.row) <= 39
            assert JUDGMENTS[each.query.id].get(each.passage.id, 0) == 0
            assert each.passage.id == f"p{each.row}"

    def test_the_seed_decides(self, folder: Path) -> None:
        index = open_index(folder / "idx")
        drawn = [
            choose_targets(index, QUERIES, JUDGMENTS, sample=2, ranks=(11, 40), seed=seed)
            for seed in (0, 0, 1, 2, 3)
        ]
        assert drawn[0] == drawn[1]
        assert any(drawn[0] != other for other in drawn[2:])

    def test_relevant_passages_are_never_attacked(self, folder: Path) -> None:
        index = open_index(folder / "idx")
        all_relevant = {"q1": {f"p{i}": 1 for i in range(60)}}
        with pytest.raises(BadData, match="no query has both"):
            choose_targets(index, QUERIES, all_relevant, sample=5, ranks=(1, 60), seed=0)

    def test_every_target_is_attacked_in_every_way(self, folder: Path) -> None:
        index = open_index(folder / "idx")
        targets = choose_targets(index, QUERIES, JUDGMENTS, sample=2, ranks=(11, 40), seed=0)
        made = attacked(targets, 1)
        assert [each.place for each in made] == list(range(2 * len(ATTACKS)))
        assert len({each.passage.id for each in made}) == len(made)


class TestStuffing:
    def test_ranks_are_those_of_a_collection_with_that_one_passage_changed(
        self, folder: Path, tmp_path: Path
    ) -> None:
        """Dense scores do not depend on the collection: rebuild it for each attack, and search."""
        options = {"sample": 3, "ranks": (1, 30), "seed": 0}
        found = stuffing(folder / "idx", ["dense"], QUERIES, JUDGMENTS, times=1, **options)  # type: ignore[arg-type]
        index = open_index(folder / "idx")
        targets = choose_targets(index, QUERIES, JUDGMENTS, **options)  # type: ignore[arg-type]
        rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
        for name, each in zip(ATTACKS, found.damage, strict=True):
            after, before = [], []
            for number, target in enumerate(targets):
                own = next(
                    a for a in attacked(targets, 1) if a.attack == name and a.target is target
                )
                changed = [dict(row) for row in rows]
                changed.pop(target.row)
                changed.append({"_id": "new", "title": "", "text": own.passage.text})
                path = tmp_path / f"{name}-{number}.jsonl"
                path.write_text("\n".join(map(json.dumps, changed)))
                other = tamis.build(path, tmp_path / f"{name}-{number}", encoder="hashing")
                ids = [hit.passage.id for hit in other.search(target.query.text, k=60)]
                after.append(ids.index("new") + 1)
                ids = [hit.passage.id for hit in index.search(target.query.text, k=60)]
                before.append(ids.index(target.passage.id) + 1)
            low = [place for place, rank in enumerate(before) if rank > 10]
            assert each.attack == name
            assert 0 < len(low) < len(targets), "one was among the best already: it does not count"
            assert each.success.trials == len(low)
            assert each.success.count == sum(after[place] <= 10 for place in low)
            assert each.after == np.median([after[place] for place in low])
            assert each.before == np.median([before[place] for place in low])

    def test_a_stuffed_passage_is_found_and_a_claim_is_not(self, folder: Path) -> None:
        found = stuffing(folder / "idx", ["lexical", "hybrid"], QUERIES, JUDGMENTS, ranks=(15, 40))
        by_name = {(each.system, each.attack): each for each in found.damage}
        assert by_name["lexical", "prepend"].success.share == 1
        assert by_name["hybrid", "append"].success.share == 1
        assert by_name["lexical", "claim"].success.count == 0
        assert found.defence is None
        assert by_name["lexical", "prepend"].defended is None

    def test_pruning_is_cut_over_the_untouched_collection(self, folder: Path) -> None:
        """By length every attack makes a passage better, so that none would be pruned."""
        found = stuffing(
            folder / "idx", ["lexical"], QUERIES, JUDGMENTS, ranks=(15, 40), quality="length"
        )
        assert found.defence is not None
        assert all(each.count == 0 for each in found.defence.by_attack.values())
        assert all(each.defended == each.success for each in found.damage)
        told = json.loads(json.dumps(found.to_json()))
        assert told["pruning"]["attacked"]["append"]["count"] == 0

    def test_what_is_pruned_does_no_damage(self, folder: Path) -> None:
        """Shortest first: a negated length prunes every passage that grew."""

        found = stuffing(
            folder / "idx",
            ["lexical"],
            QUERIES,
            JUDGMENTS,
            ranks=(15, 40),
            times=9,
            quality=Short(),  # type: ignore[arg-type]
        )
        assert found.defence is not None
        assert found.defence.pruned.all()
        assert all(each.defended is not None and each.defended.count == 0 for each in found.damage)
        assert any(each.success.count for each in found.damage)

    @pytest.mark.parametrize("keep", [0.2, 0.5, 0.75, 1.0])
    def test_the_cut_keeps_its_share_of_the_collection(self, folder: Path, keep: float) -> None:
        texts = [json.loads(line)["text"] for line in (folder / "corpus.jsonl").open()]
        least = sorted((-len(text) for text in texts), reverse=True)[math.ceil(keep * 60) - 1]
        index = open_index(folder / "idx")
        targets = choose_targets(index, QUERIES, JUDGMENTS, sample=3, ranks=(1, 60), seed=4)
        expected = sum(-len(each.passage.text) < least for each in targets)
        options = {"sample": 3, "ranks": (1, 60), "seed": 4, "keep": keep}
        found = stuffing(
            folder / "idx", ["lexical"], QUERIES, JUDGMENTS, quality=Short(), **options
        )  # type: ignore[arg-type]
        assert found.defence is not None
        assert found.defence.untouched.count == expected
        assert found.defence.untouched.trials == 3

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"times": 0}, "at least once"),
            ({"keep": 0.0}, "share of passages"),
            ({"ranks": (30, 20)}, "ranks that rise"),
            ({"sample": 0}, "at least 1"),
        ],
    )
    def test_wrong_numbers_are_refused(
        self, folder: Path, changes: dict[str, object], said: str
    ) -> None:
        with pytest.raises(BadArguments, match=said):
            stuffing(folder / "idx", ["dense"], QUERIES, JUDGMENTS, **changes)  # type: ignore[arg-type]

    def test_an_encoder_beside_an_index_is_refused(self, folder: Path) -> None:
        with pytest.raises(BadArguments, match="names an encoder"):
            stuffing(folder / "idx", ["dense=minilm"], QUERIES, JUDGMENTS)

    def test_the_command_prints_a_table(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "q.tsv").write_text("".join(f"{q.id}\t{q.text}\n" for q in QUERIES))
        lines = [f"{q} 0 {p} {g}\n" for q, own in JUDGMENTS.items() for p, g in own.items()]
        (tmp_path / "j.qrels").write_text("".join(lines))
        options = ["--queries", str(tmp_path / "q.tsv"), "--qrels", str(tmp_path / "j.qrels")]
        options += ["--first-rank", "15", "--last-rank", "40", "--quality", "length"]
        done = CliRunner().invoke(
            app, ["robustness", "stuffing", str(folder / "idx"), "lexical", *options]
        )
        assert done.exit_code == 0, done.exception
        assert "pruned by length at --keep 0.75" in done.stdout
        assert "inject" in done.stdout


def test_where_no_target_was_below_the_top_there_is_no_rank() -> None:
    none = Damage("lexical", "append", proportion(0, 0), None, math.nan, math.nan)
    body = json.loads(json.dumps(none.to_json(), allow_nan=False))
    assert (body["before"], body["after"]) == (None, None)
    (row,) = told(Stuffing(1, 3, [none], None))
    assert row[-2:] == ("-", "-")

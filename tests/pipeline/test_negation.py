"""Negation pairs: where they come from, and what a system makes of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.core.records import Query, Ranking
from tamis.pipeline.cli import app
from tamis.pipeline.robustness.narrowed import Narrowed
from tamis.pipeline.robustness.negation import negation
from tamis.pipeline.robustness.negation_pairs import NegationPair, read_pairs
from tamis.pipeline.robustness.negation_rules import negated, pairs_of_texts
from tamis.pipeline.robustness.negation_templates import written_pairs
from tamis.pipeline.robustness.systems import read_system, read_systems

if TYPE_CHECKING:
    from pathlib import Path

RIGHT = NegationPair("1", ("red flea", "blue cat"), ("the red flea", "the blue cat"), "a")
TURNED = NegationPair("2", ("green dog", "wet wind"), ("cold wet wind", "cold green dog"), "b")
HALF = NegationPair("3", ("warm sea", "warm sea"), ("one warm sea", "no loud bell"), "b")
TIED = NegationPair("4", ("salt", "salt bread"), ("salt bread", "salt bread"), "b")
LOST = NegationPair("5", ("nowhere", "unheard"), ("a long day", "a short day"), "c")


class TestScores:
    def test_both_questions_have_to_be_right(self) -> None:
        (found,) = negation(["lexical"], [RIGHT, TURNED, HALF], encoder="hashing")
        assert (found.pairs.count, found.pairs.trials) == (1, 3)
        assert (found.queries.count, found.queries.trials) == (3, 6)
        assert found.ties == 0
        assert {rule: own.count for rule, own in found.rules.items()} == {"a": 1, "b": 0}

    @pytest.mark.parametrize("system", ["lexical", "dense"])
    def test_equal_scores_are_wrong_and_counted(self, system: str) -> None:
        (found,) = negation([system], [TIED], encoder="hashing")
        assert (found.pairs.count, found.queries.count, found.ties) == (0, 0, 2)

    def test_what_is_not_found_is_no_answer(self) -> None:
        (found,) = negation(["lexical"], [LOST, RIGHT], encoder="hashing")
        assert (found.pairs.count, found.ties) == (1, 2)

    def test_a_pair_is_judged_without_the_others(self) -> None:
        """The first question's words stand in many other passages too."""
        crowd = [
            NegationPair(f"c{i}", ("x", "y"), (f"red flea {i}", f"{i}"), "") for i in range(30)
        ]
        (found,) = negation(["dense"], [RIGHT, *crowd], encoder="hashing")
        assert found.rules["a"].count == 1

    def test_systems_keep_their_order_and_their_encoders(self) -> None:
        names = ["dense=tamis-tiny", "lexical", "dense+maxsim=tamis-tiny:100"]
        found = negation(names, [RIGHT, TURNED], encoder="hashing")
        assert [each.system for each in found] == names
        assert all(each.pairs.count == 1 for each in found)
        assert found[0].to_json()["pairs"]["share"] == 0.5


class TestWrittenPairs:
    def test_there_are_two_hundred_in_five_rules(self) -> None:
        pairs = written_pairs()
        assert len(pairs) == len({pair.id for pair in pairs}) == 200
        assert {pair.rule for pair in pairs} == {"not", "never", "without", "no", "prefix"}
        assert pairs == written_pairs()

    @pytest.mark.parametrize("place", range(200))
    def test_one_word_tells_the_passages_apart(self, place: int) -> None:
        pair = written_pairs()[place]
        first, second = (text.lower().split() for text in pair.passages)
        assert 1 <= len(set(first) ^ set(second)) <= 2
        assert pair.queries[0] != pair.queries[1]
        for text in (*pair.passages, *pair.queries):
            assert not set("[]|{}") & set(text)
            assert "  " not in text
        assert pair.passages[0][0].isupper()

    def test_no_question_holds_the_name(self) -> None:
        for pair in written_pairs():
            name = " ".join(pair.passages[0].split()[:2]).lower()
            assert all(name not in question.lower() for question in pair.queries)


class TestRules:
    @pytest.mark.parametrize(
        ("sentence", "rule", "other"),
        [
            (
                "The old bridge is open to all cars.",
                "not",
                "The old bridge is not open to all cars.",
            ),
            (
                "Most fleas can jump over a tall hedge.",
                "not",
                "Most fleas can not jump over a tall hedge.",
            ),
            (
                "The roof has been repaired in the spring.",
                "not",
                "The roof has not been repaired in the spring.",
            ),
            (
                "The gate was not closed on that night.",
                "removed",
                "The gate was closed on that night.",
            ),
        ],
    )
    def test_a_sentence_is_turned_round(self, sentence: str, rule: str, other: str) -> None:
        assert negated(sentence) == (rule, other)

    @pytest.mark.parametrize(
        "sentence",
        [
            "Is the old bridge open to all the cars?",
            "The bridge is open and the gate was closed.",
            "Nobody who was there has ever been heard.",
            "The bridge was not only old but high and long.",
            "It is old.",
            "Bridges carry cars over a river or a road.",
        ],
    )
    def test_what_no_rule_fits_is_left_alone(self, sentence: str) -> None:
        assert negated(sentence) is None

    def test_the_neighbours_of_a_sentence_stay(self) -> None:
        text = "A first one. The old bridge is open to all cars. A third one. A fourth."
        (pair,) = pairs_of_texts(["nothing here", text], 5)
        assert pair.queries[1] == "The old bridge is not open to all cars."
        assert pair.passages[0] == "A first one. The old bridge is open to all cars. A third one."
        assert pair.passages[1] == pair.passages[0].replace(" is ", " is not ")
        assert pairs_of_texts([text] * 9, 3)[2].id == "text-2"


class TestFiles:
    def test_nevirs_own_form_is_read(self, tmp_path: Path) -> None:
        row = {"id": "1-2", "WorkerId": 0, "q1": "a", "q2": "b", "doc1": "c", "doc2": "d"}
        path = tmp_path / "test.jsonl"
        path.write_text(json.dumps(row) + "\n\n" + json.dumps({**row, "id": "1-3"}) + "\n")
        assert read_pairs(path)[0] == NegationPair("1-2", ("a", "b"), ("c", "d"))
        assert read_pairs(path)[1].id == "1-3"

    @pytest.mark.parametrize(("ending", "mark"), [("tsv", "\t"), ("csv", ",")])
    def test_tables_are_read(self, tmp_path: Path, ending: str, mark: str) -> None:
        path = tmp_path / f"pairs.{ending}"
        path.write_text(mark.join(["q1", "doc2", "doc1", "q2"]) + "\n" + mark.join("adcb") + "\n")
        assert read_pairs(path) == [NegationPair("1", ("a", "b"), ("c", "d"))]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ('{"q1": "a", "q2": " ", "doc1": "c"}\n', "pair 1 has no text in q2, doc2"),
            ("", "it holds no pair"),
            ("[1]\n", "expected an object"),
            ("{\n", "is no JSON"),
        ],
    )
    def test_a_flaw_is_named(self, tmp_path: Path, content: str, said: str) -> None:
        path = tmp_path / "pairs.jsonl"
        path.write_text(content)
        with pytest.raises(BadData, match=said):
            read_pairs(path)

    def test_another_ending_or_no_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "pairs.xml").write_text("x")
        with pytest.raises(BadArguments, match=r"expected \.jsonl"):
            read_pairs(tmp_path / "pairs.xml")
        with pytest.raises(MissingResource, match="not there"):
            read_pairs(tmp_path / "none.tsv")


class TestSystems:
    def test_a_word_is_a_cascade(self) -> None:
        system = read_system("hybrid=minilm+lambdamart:100+cross=org/name:20")
        assert system.encoder == "minilm"
        assert [(stage.name, stage.keep) for stage in system.cascade.rerank] == [
            ("lambdamart", 100),
            ("cross", 20),
        ]
        assert read_system("lexical").cascade.dense is None

    @pytest.mark.parametrize("text", ["densee", "dens", "lexical=minilm", "dense=", "+cross", ""])
    def test_a_wrong_beginning_is_refused(self, text: str) -> None:
        with pytest.raises(BadArguments, match="expected one of"):
            read_system(text)

    def test_all_that_is_wrong_is_told_at_once(self) -> None:
        with pytest.raises(BadArguments, match=r"(?s)dense\+cros: .*lexical\+cross:0: "):
            read_systems(["dense+cros", "lexical+cross:0"])
        with pytest.raises(BadArguments, match="given twice"):
            read_systems(["dense", "dense"])


class _Everything:
    """All rows from the best on, for any query."""

    name, passages = "all", None

    def __init__(self, rows: int) -> None:
        self.k = rows

    def retrieve(self, queries: list[Query], clock: object = None) -> list[Ranking]:
        del clock
        rows = np.arange(self.k, dtype=np.int64)
        return [Ranking(query, rows, -rows.astype(np.float32)) for query in queries]


@given(st.integers(0, 2**20 - 1), st.integers(1, 25))
def test_a_narrowed_stage_answers_from_what_is_visible(bits: int, k: int) -> None:
    seen = [row for row in range(20) if bits >> row & 1]
    stage = Narrowed(_Everything(20), lambda _, rows: np.isin(rows, seen), k)  # type: ignore[arg-type]
    (found,) = stage.retrieve([Query("1", "x")])
    assert found.rows.tolist() == seen[:k]
    assert found.scores.tolist() == [-row for row in seen[:k]]


class TestCommand:
    def test_a_table_and_json(self, tmp_path: Path) -> None:
        path = tmp_path / "pairs.tsv"
        path.write_text("q1\tq2\tdoc1\tdoc2\nred\tblue\ta red flea\ta blue cat\n")
        options = ["robustness", "negation", "lexical", "--pairs", str(path)]
        printed = CliRunner().invoke(app, [*options, "--encoder", "hashing"])
        assert "chance 25 %" in printed.stdout
        assert "100.0" in printed.stdout
        told = CliRunner().invoke(app, [*options, "--encoder", "hashing", "--json"])
        assert json.loads(told.stdout)["systems"][0]["pairs"]["share"] == 1

    def test_pairs_from_a_corpus(self, tmp_path: Path) -> None:
        (tmp_path / "c.jsonl").write_text(
            '{"_id": "1", "text": "The old bridge is open to all cars."}\n'
        )
        options = ["robustness", "negation", "dense", "--encoder", "hashing", "--json"]
        done = CliRunner().invoke(app, [*options, "--corpus", str(tmp_path / "c.jsonl")])
        assert json.loads(done.stdout)["systems"][0]["pairs"]["trials"] == 1

    def test_two_sources_are_refused(self) -> None:
        done = CliRunner().invoke(
            app, ["robustness", "negation", "dense", "--pairs", "a", "--corpus", "b"]
        )
        assert isinstance(done.exception, BadArguments)

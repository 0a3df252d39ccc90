"""A comparison's file: what it says, and that all that is wrong with it is told before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from tamis.core.errors import BadArguments, BadData, MissingResource, TamisError
from tamis.pipeline.cascade import RerankStage
from tamis.pipeline.cli import app
from tamis.pipeline.comparing.systems.checking import check
from tamis.pipeline.comparing.systems.spec import Budget
from tamis.pipeline.comparing.systems.spec_file import read_spec
from tamis.pipeline.comparing.systems.splits import read_splits, sample_of

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("faiss")


def changed(small: Path, *pairs: tuple[str, str]) -> Path:
    text = small.read_text("utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    small.write_text(text, "utf-8")
    return small


def test_the_file_says_what_it_says(small: Path) -> None:
    spec = read_spec(small)
    home = small.parent.resolve()
    assert (spec.baseline, spec.measures, spec.sample, spec.examples) == (
        "words",
        ("nDCG@10", "R@10"),
        4,
        2,
    )
    assert spec.collection.corpus == str(home)
    assert spec.collection.queries == (str(home),)
    assert spec.collection.test == str(home / "qrels" / "test.tsv")
    assert spec.collection.dev == str(home / "qrels" / "dev.tsv")
    assert [(s.name, s.run is None) for s in spec.systems] == [
        ("words", True),
        ("both", True),
        ("peer", False),
    ]
    assert spec.equivalence is not None
    assert spec.equivalence.margin == 0.1
    assert dict(spec.indexes["main"].options) == {"encoder": "hashing"}


def test_a_cascade_may_lie_in_a_file_of_its_own(small: Path) -> None:
    (small.parent / "c.toml").write_text(
        '[first]\nlexical = 20\n[[rerank]]\nname = "lambdamart"\nkeep = 10\n', "utf-8"
    )
    spec = read_spec(changed(small, ("first = { lexical = 30 }", 'cascade = "c.toml"')))
    cascade = spec.systems[0].cascade
    assert cascade is not None
    assert (cascade.lexical, cascade.rerank) == (20, (RerankStage("lambdamart", 10),))


def test_every_mistake_of_the_file_is_told_at_once(small: Path) -> None:
    text = (
        'mesures = ["nDCG@10"]\nexamples = -1\n[collection]\ncorpus = "."\nindex = "idx"\n'
        '[index.main]\npath = "idx"\nencoder = "hashing"\n[costs]\nqueries = "many"\n'
        "[equivalence]\nmargin = 3.0\n"
        '[[system]]\nname = "a"\nrun = "a.run"\nk = 3\n[[system]]\nname = "a"\n'
        '[[system]]\nfirst = { lexcal = 3 }\n[[system]]\nname = "f"\ncascade = "none.toml"\n'
    )
    small.write_text(text, "utf-8")
    with pytest.raises(BadData) as refused:
        read_spec(small)
    for told in (
        "'mesures', did you mean 'measures'",
        "examples in the file is -1",
        "both corpus and index",
        "[collection] has no test",
        "has a path and the build's encoder",
        "queries in [costs] is 'many'",
        "margin in [equivalence] is 3.0",
        "system 'a' has a run, so k cannot be beside it",
        "two systems are called 'a'",
        "system 'a' has neither a cascade nor a run",
        "[[system]] 3 has no name",
        "'lexcal', did you mean 'lexical'",
        "none.toml is no cascade that can be read",
    ):
        assert told in str(refused.value), told


def test_what_makes_no_sense_together_is_told_at_once(small: Path) -> None:
    changed(
        small,
        ('"nDCG@10", "R@10"', '"nDCG@10", "gladness"'),
        ('baseline = "words"', 'baseline = "word"'),
        ('encoder = "hashing"', 'encoder = "hashed"\nlexical = "none"\nkeep = 2.0'),
        ("dense = 30, lexical = 30", "dense = 30, lexical = 0"),
        ('run = "peer.run"', 'run = "gone.run"'),
    )
    with pytest.raises(BadArguments) as refused:
        check(read_spec(small))
    for told in (
        "no measure is called 'gladness'",
        "'word' is no system of the file, did you mean 'words'",
        "no encoder is called 'hashed'",
        "keep in [index.main] is 2.0",
        "system 'words': it asks lexical",
        "system 'both': lexical has depth 0",
        "system 'peer'",
        "gone.run is no file",
    ):
        assert told in str(refused.value), told
    assert not (small.parent / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "told", "kind"),
    [
        ('test = "test"', 'test = "toast"', "toast is not there", MissingResource),
        ('corpus = "."', 'corpus = "gone"', "queries", BadData),
        ("[index.main]", "[index.other]\n[index.main]", "no system uses [index.other]", None),
        ('name = "both"', 'name = "both"\nindex = "man"', "no index is called 'man'", BadArguments),
        ('encoder = "hashing"', 'path = "gone"', "[index.main]", MissingResource),
    ],
)
def test_single_misfits(
    small: Path, old: str, new: str, told: str, kind: type[TamisError] | None
) -> None:
    changed(small, (old, new))
    with pytest.raises(kind or BadArguments) as refused:
        check(read_spec(small))
    assert told in str(refused.value)


def test_dev_and_test_share_no_query(small: Path) -> None:
    (small.parent / "qrels" / "dev.tsv").write_bytes(
        (small.parent / "qrels" / "test.tsv").read_bytes()
    )
    with pytest.raises(BadArguments, match=r"10 of the 10 queries of dev .* are queries of test"):
        check(read_spec(small))


def test_a_dev_query_with_the_text_of_a_test_query_is_left_out(small: Path) -> None:
    queries = small.parent / "queries.jsonl"
    lines = queries.read_text("utf-8").splitlines()
    lines[12] = lines[0].replace('"q0"', '"q12"').upper().replace("_ID", "_id")
    lines[12] = lines[12].replace("TEXT", "text").replace("Q12", "q12")
    queries.write_text("\n".join(lines), "utf-8")
    splits = read_splits(read_spec(small).collection, [])
    assert [q.id for q in splits["dev"].queries] == [f"q{n}" for n in (10, 11, 13, 14, 15, 16, 17)]
    assert "1 queries of dev have the text of a query of test" in splits["dev"].warnings[0]


def test_a_sample_is_spread_evenly(small: Path) -> None:
    queries = read_splits(read_spec(small).collection, [])["test"].queries
    assert sample_of(queries, 3) == [queries[0], queries[3], queries[6]]
    assert sample_of(queries, 99) == list(queries)


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (Budget(0.0), "the budget is 0 ms"),
        (Budget(5.0), "the file has 2 (words, both): name one"),
        (Budget(5.0, system="bot"), "no cascade is called 'bot', did you mean 'both'"),
        (Budget(5.0, system="peer"), "no cascade is called 'peer'"),
    ],
)
def test_a_budget_that_cannot_be_meant(small: Path, budget: Budget, told: str) -> None:
    with pytest.raises(BadArguments) as refused:
        check(read_spec(small), budget)
    assert told in str(refused.value)


def test_a_budget_needs_a_dev_split(small: Path) -> None:
    spec = read_spec(changed(small, ('dev = "dev"\n', "")))
    check(spec)
    with pytest.raises(BadArguments, match="needs a dev split"):
        check(spec, Budget(5.0, system="both"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["corpus"], "is no .toml file"),
        (["x.toml", "--quality", "length"], "--quality is for --prune-curve"),
        (["x.toml", "--percentile", "p95", "--system", "a"], "are for --budget-ms"),
        (["corpus", "--prune-curve", "--queries", "q"], "--prune-curve needs --qrels"),
        (["corpus", "--prune-curve", "--budget-ms", "3"], "--budget-ms is for SPEC.toml"),
        (["gone.toml"], "gone.toml is not there"),
    ],
)
def test_one_command_refuses_what_it_would_ignore(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = CliRunner().invoke(app, ["compare", *arguments, "-o", str(tmp_path / "out")])
    assert isinstance(done.exception, TamisError)
    assert told in str(done.exception)
    assert not (tmp_path / "out").exists()

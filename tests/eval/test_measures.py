"""Measure names."""

from __future__ import annotations

import ir_measures
import pytest
from ir_measures import AP, RBP, RR, IPrec, Judged, P, R, SetF, SetRelP, Success, nDCG

from tamis.core.errors import BadArguments
from tamis.eval.measures import known_measures, parse_measure, relevance_level

NAMES = [
    ("nDCG@10", nDCG @ 10),
    ("nDCG", nDCG),
    ("RR@10", RR @ 10),
    ("RR(rel=2)@10", RR(rel=2) @ 10),
    ("R@100", R @ 100),
    ("R@1000", R @ 1000),
    ("R(rel=2)@100", R(rel=2) @ 100),
    ("AP", AP),
    ("AP(rel=2)", AP(rel=2)),
    ("P@10", P @ 10),
    ("Success@5", Success @ 5),
    ("Judged@10", Judged @ 10),
    ("RBP(p=0.8)", RBP(p=0.8)),
    ("RBP(p=0.5, rel=1)", RBP(p=0.5, rel=1)),
    ("nDCG(dcg='exp-log2')@10", nDCG(dcg="exp-log2") @ 10),
    ('nDCG(dcg="exp-log2")@10', nDCG(dcg="exp-log2") @ 10),
    ("nDCG(gains={1: 1, 2: 3},judged_only=True)@5", nDCG(gains={1: 1, 2: 3}, judged_only=True) @ 5),
    ("IPrec@0.1", IPrec @ 0.1),
    ("SetF(beta=2)", SetF(beta=2.0)),
    ("SetRelP", SetRelP),
    (" MRR@10 ", RR @ 10),
    ("MAP", AP),
    ("ndcg_cut_10", nDCG @ 10),
    ("ndcg_cut.10", nDCG @ 10),
    ("ndcg", nDCG),
    ("recip_rank", RR),
    ("map", AP),
    ("map_cut_100", AP @ 100),
    ("recall_1000", R @ 1000),
    ("P_10", P @ 10),
    ("success_5", Success @ 5),
    ("iprec_at_recall_0.10", IPrec @ 0.1),
]


@pytest.mark.parametrize(("text", "measure"), NAMES)
def test_text_becomes_the_measure_with_these_parameters(
    text: str, measure: ir_measures.Measure
) -> None:
    found = parse_measure(text)
    assert type(found) is type(measure)
    assert found.params == measure.params


def test_the_canonical_name_reads_back_and_forgets_aliases() -> None:
    assert str(parse_measure("MRR(rel=2)@10")) == "RR(rel=2)@10"
    assert str(parse_measure("recall_100")) == "R@100"
    for text, measure in NAMES:
        again = parse_measure(str(parse_measure(text)))
        assert str(again) == str(measure)


def test_every_registered_measure_has_its_name() -> None:
    """Those with needed parameters say which; no name is unknown."""
    for name, measure in ir_measures.measures.registry.items():
        if any(info.required for info in measure.SUPPORTED_PARAMS.values()):
            with pytest.raises(BadArguments, match="lacks its"):
                parse_measure(name)
        else:
            assert parse_measure(name) == measure


def test_ir_measures_own_parser_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs ast.Num, which Python 3.14 lacks."""

    def broken(*_: object) -> None:
        raise AttributeError("module 'ast' has no attribute 'Num'")

    monkeypatch.setattr("ir_measures.util.parse_measure", broken)
    monkeypatch.setattr("ir_measures.parse_measure", broken)
    monkeypatch.setattr("ir_measures.util.parse_trec_measure", broken)
    monkeypatch.setattr("ir_measures.parse_trec_measure", broken)
    assert parse_measure("RR(rel=2)@10") == RR(rel=2) @ 10
    assert parse_measure("P_10") == P @ 10


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        BadArguments, match=r"no measure is called 'NDGC'.*known:.* nDCG,.*RR,"
    ) as e:
        parse_measure("NDGC@10")
    assert all(name in str(e.value) for name in known_measures())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nDCG@0", "cutoff=0"),
        ("nDCG@-1", "cutoff=-1"),
        ("RR@1.5", "cutoff=1.5"),
        ("R", "lacks its cutoff"),
        ("recall_1000x", "no measure is called"),
        ("RR(rel=True)@10", "rel=True"),
        ("RR(rel=2.5)", "rel=2.5"),
        ("RR(depth=2)", "'depth'; parameters of RR: cutoff"),
        ("nDCG(dcg='log3')@10", "dcg='log3'.*log2, exp-log2"),
        ("nDCG(gains={a:1})", "gains"),
        ("RR(rel=2,rel=3)", "cannot be read"),
        ("RR(2)@10", "cannot be read"),
        ("RR(rel=2", "cannot be read"),
        ("RR@ten", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_a_wrong_measure_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(BadArguments, match=says):
        parse_measure(text)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("AP", 1),
        ("AP(rel=2)", 2),
        ("nDCG@10", 1),
        ("RBP", 1),
        ("Judged@10", None),
        ("NumRet", None),
        ("NumRelRet", 1),
    ],
)
def test_relevance_level(text: str, level: int | None) -> None:
    assert relevance_level(parse_measure(text)) == level

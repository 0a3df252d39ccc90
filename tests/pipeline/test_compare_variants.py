"""The cheaper forms of a cascade: each is one that runs, none asks more than was written."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.pipeline.cascade import Cascade, RerankStage
from tamis.pipeline.comparing.systems.variants import LADDER, effort, no_deeper, variants

depths = st.one_of(st.none(), st.integers(10, 2000))


@st.composite
def cascades(draw: st.DrawFn) -> Cascade:
    dense, lexical = draw(depths), draw(depths)
    if dense is None and lexical is None:
        lexical = 100
    reach = max(dense or 0, lexical or 0)
    stages = []
    for name in draw(st.sampled_from([(), ("a/x",), ("a/x", "b/y")])):
        reach = draw(st.integers(1, reach))
        stages.append(RerankStage(name, reach))
    return Cascade(dense, lexical, rerank=tuple(stages), k=draw(st.sampled_from([None, 1])))


def flaws(cascade: Cascade) -> list[str]:
    return [*cascade._first_stage_problems(), *cascade._depth_problems()]


@settings(max_examples=60, deadline=None)
@given(cascades())
def test_every_form_runs_and_asks_no_more(written: Cascade) -> None:
    found = variants(written)
    assert len({repr(each) for each in found}) == len(found)
    for form in found:
        assert not flaws(form)
        assert no_deeper(form, written)
        names = [stage.name for stage in form.rerank]
        assert names == [stage.name for stage in written.rerank if stage.name in names]
        assert effort(form) <= effort(written)


def test_the_one_written_is_among_them_and_so_is_the_barest() -> None:
    written = Cascade(300, 300, rerank=(RerankStage("a/x", 100), RerankStage("b/y", 20)), k=10)
    found = variants(written)
    assert written in found
    assert Cascade(lexical=10, k=10) in found
    assert Cascade(dense=10, k=10) in found
    shapes = {(each.dense or each.lexical, tuple(s.keep for s in each.rerank)) for each in found}
    assert (100, (30, 10)) in shapes
    assert not any(keeps and keeps[0] > depth for depth, keeps in shapes if depth)
    assert {depth for depth, _ in shapes} == {step for step in LADDER if step <= 300}


def test_depth_is_compared_stage_by_stage() -> None:
    stage = RerankStage("a/x", 30)
    assert no_deeper(Cascade(lexical=10), Cascade(dense=10, lexical=10))
    assert no_deeper(Cascade(lexical=100, rerank=(stage,)), Cascade(10, 100, rerank=(stage,)))
    assert not no_deeper(Cascade(dense=10), Cascade(lexical=100))
    assert not no_deeper(Cascade(lexical=100, rerank=(stage,)), Cascade(lexical=100))
    assert not no_deeper(Cascade(lexical=300), Cascade(lexical=100, rerank=(stage,)))


def test_two_stages_of_one_name_are_told_apart() -> None:
    def cascade(**keeps: int) -> Cascade:
        stages = (RerankStage("a/x", keep, {"model": model}) for model, keep in keeps.items())
        return Cascade(lexical=100, rerank=tuple(stages))

    assert no_deeper(cascade(first=30), cascade(first=30, second=10))
    assert no_deeper(cascade(second=10), cascade(first=30, second=10))
    assert not no_deeper(cascade(second=30), cascade(first=30, second=10))
    assert not no_deeper(cascade(first=30, second=10), cascade(first=30))
    assert not no_deeper(cascade(other=10), cascade(first=30, second=10))

"""Progress where nobody sees a bar: lines on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.pipeline import progress
from tamis.pipeline.progress import Bars

if TYPE_CHECKING:
    import pytest


def test_a_pipe_gets_a_line_when_a_stage_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars().stage("encode", 5) as advance:
        advance(2)
        advance(3)
    told = capsys.readouterr()
    assert told.err.startswith("encode: 5 in ")
    assert told.out == ""


def test_long_work_tells_how_long_it_will_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.0, 10.0, 40.0, 41.0, 60.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(seconds))
    with Bars().stage("encode", 4000) as advance:
        advance(100)  # after 10 s: too early for a line
        advance(300)  # after 40 s: 400 done, 10 a second, 360 s left
        advance(600)
    assert capsys.readouterr().err.splitlines() == [
        "encode: 400 of 4,000, 10 a second, 6 minutes left",
        "encode: 1,000 in 60.0 s",
    ]

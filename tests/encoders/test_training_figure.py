"""The figure of a training run: which number goes where, and a picture of it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData, MissingDependency, MissingResource
from tamis.encoders.training.figure import _figure, duration, read_curves, write_figure
from tamis.encoders.training.figure_panel import STYLE, shared_words, spread

if TYPE_CHECKING:
    from pathlib import Path

LINES: list[dict[str, Any]] = [
    {"step": 50, "seconds": 5.0, "cosine": 0.4, "similarity": 0.1, "loss": 0.5},
    {
        "step": 50,
        "seconds": 6.0,
        "cosine query": 0.7,
        "held-out cosine": 0.45,
        "nats": 3.0,
        "scifact dev nDCG@10": 0.5,
        "nfcorpus dev nDCG@10": 0.3,
        "mean": 0.4,
    },
    {"step": 100, "seconds": 10.0, "cosine": 0.2, "similarity": float("nan"), "loss": 0.21},
    {
        "step": 100,
        "seconds": 12.0,
        "cosine query": 0.8,
        "held-out cosine": 0.25,
        "nats": 0.5,
        "scifact dev nDCG@10": 0.45,
        "nfcorpus dev nDCG@10": 0.25,
        "mean": 0.35,
    },
]


def written(path: Path, lines: list[dict[str, Any]], tail: str = "") -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail, "utf-8")
    return path


def test_every_number_has_its_panel(tmp_path: Path) -> None:
    found = read_curves(written(tmp_path / "log", LINES, tail='{"step": 150, "sec'))
    assert [curve.name for curve in found.losses] == [
        "cosine",
        "similarity",
        "loss",
        "held-out cosine",
        "nats",
    ]
    assert [curve.name for curve in found.held_out] == ["cosine query"]
    assert [curve.name for curve in found.measures] == [
        "scifact dev nDCG@10",
        "nfcorpus dev nDCG@10",
        "mean",
    ]
    cosine, similarity, *_ = found.losses
    assert (cosine.steps, cosine.values, cosine.dots) == ([50, 100], [0.4, 0.2], False)
    assert (similarity.steps, similarity.values) == ([50], [0.1])
    assert found.held_out[0].dots
    assert (found.steps, found.seconds) == (100, 12.0)


def test_the_sum_of_one_loss_and_the_mean_of_one_measure_are_left_out(tmp_path: Path) -> None:
    lines = [
        {"step": 50, "seconds": 1.0, "neighbours": 2.0, "loss": 2.0},
        {"step": 50, "seconds": 1.0, "cacm dev RR": 0.2, "mean": 0.2},
    ]
    found = read_curves(written(tmp_path / "log", lines))
    assert [curve.name for curve in found.losses] == ["neighbours"]
    assert [curve.name for curve in found.measures] == ["cacm dev RR"]
    assert found.held_out == []


@pytest.mark.parametrize(
    ("names", "common", "left"),
    [
        (
            ["scifact dev nDCG@10", "cacm dev nDCG@10", "mean"],
            "dev nDCG@10",
            ["scifact", "cacm", "mean"],
        ),
        (["cosine query", "cosine passage"], "cosine", ["query", "passage"]),
        (["a x b", "a y b"], "a b", ["x", "y"]),
        (["a b", "a a b"], "a", ["b", "a b"]),
        (["a dev RR", "b dev nDCG@10"], "", ["a dev RR", "b dev nDCG@10"]),
        (["neighbour found first"], "neighbour found first", [""]),
        (["scifact dev RR", "mean"], "scifact dev RR", ["", "mean"]),
    ],
)
def test_shared_words_by_hand(names: list[str], common: str, left: list[str]) -> None:
    assert shared_words(names) == (common, left)


def test_spread_by_hand() -> None:
    assert spread([0.5, 0.0, 0.52], 0.1) == pytest.approx([0.46, 0.0, 0.56])
    assert spread([0.3, 0.3, 0.3], 0.2) == pytest.approx([0.1, 0.3, 0.5])
    assert spread([0.0, 1.0], 0.1) == pytest.approx([0.0, 1.0])
    assert spread([], 0.1) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_spread_keeps_order_distance_and_centre(places: list[float]) -> None:
    found = spread(places, 0.1)
    assert sum(found) == pytest.approx(sum(places), abs=1e-9)
    for one, high in enumerate(places):
        for other, low in enumerate(places):
            assert one == other or abs(found[one] - found[other]) > 0.1 - 1e-9
            assert high <= low or found[one] > found[other]


def test_what_is_drawn(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context(STYLE):
        losses, held_out, measures = _figure(read_curves(written(tmp_path / "log", LINES))).axes
    assert losses.get_yscale() == "log"
    assert measures.get_yscale() == "linear"
    assert [axis.get_ylabel() for axis in (losses, held_out, measures)] == [
        "loss",
        "cosine query",
        "dev nDCG@10",
    ]
    assert measures.get_xlabel() == "step (100 in 12 s)"
    assert [text.get_text() for text in losses.texts] == [
        "cosine 0.200",
        "similarity 0.100",
        "loss 0.210",
        "held-out cosine 0.250",
        "nats 0.500",
    ]
    assert [text.get_text() for text in measures.texts] == [
        "best 0.400",
        "scifact 0.450",
        "nfcorpus 0.250",
        "mean 0.350",
    ]
    colours = [line.get_color() for line in losses.lines]
    assert colours[0] == colours[3], "held out or not, it is the same loss"
    assert len(set(colours)) == 4
    for axis in (losses, held_out, measures):
        named = [text for text in axis.texts if not text.get_text().startswith("best")]
        lasts = [(0, line.get_ydata()[-1]) for line in axis.lines[: len(named)]]
        ends = axis.transAxes.inverted().transform(axis.transData.transform(lasts))[:, 1]
        assert [text.xy[1] for text in named] == pytest.approx(ends.tolist()), "leaders begin there"


def test_a_long_run_is_drawn_smooth_over_its_points(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    lines = [{"step": s, "seconds": 1.0, "a": s % 2 + 1.0, "loss": s % 2 + 1.0} for s in range(480)]
    with matplotlib.rc_context(STYLE):
        (axis,) = _figure(read_curves(written(tmp_path / "log", lines))).axes
    whole, smooth = axis.lines
    assert len(whole.get_xdata()) == 480
    assert list(smooth.get_ydata()) == [1.5] * 120
    assert whole.get_alpha() < 0.5
    assert axis.get_yscale() == "linear"


@pytest.mark.parametrize(("name", "magic"), [("f.png", b"\x89PNG"), ("f.svg", b"<?xml")])
def test_the_same_log_is_the_same_file(name: str, magic: bytes, tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    log = written(tmp_path / "log", LINES)
    write_figure(log, tmp_path / name)
    once = (tmp_path / name).read_bytes()
    write_figure(log, tmp_path / name)
    assert once.startswith(magic)
    assert (tmp_path / name).read_bytes() == once
    assert dict(matplotlib.rcParams) == before


def test_wrong_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = written(tmp_path / "log", LINES)
    with pytest.raises(BadArguments, match=r"f\.gif is no figure: its suffix is one of \.svg"):
        write_figure(log, tmp_path / "f.gif")
    with pytest.raises(MissingResource, match="none does not exist"):
        read_curves(tmp_path / "none")
    with pytest.raises(BadData, match="holds no number"):
        read_curves(written(tmp_path / "empty", []))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependency, match=r"figure of a training run.*'tamis\[plots\]'"):
        write_figure(log, tmp_path / "f.png")
    assert not (tmp_path / "f.png").exists()


def test_durations() -> None:
    assert [duration(s) for s in (9.6, 99, 100, 5400, 27_360)] == [
        "10 s",
        "99 s",
        "2 min",
        "90 min",
        "7.6 h",
    ]

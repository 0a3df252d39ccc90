"""The figure of a pruning curve: what is drawn, and the same bytes for the same curves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.errors import BadArguments, MissingDependency
from tamis.eval.pruning_curve import Samples, Settings, curves_of
from tamis.eval.pruning_figure import (
    STYLE,
    CostPanel,
    PruningFigure,
    _drawn,
    write_pruning_figure,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def figure() -> PruningFigure:
    rng = np.random.default_rng(0)
    unpruned = rng.uniform(0.4, 0.8, (1, 30))
    losses = np.array([0.0, 0.2])[:, None, None]
    kinds = [("itn", "model", None), ("length", "length", None), ("oracle", "oracle", None)]
    kinds += [("random", "random", seed) for seed in range(3)]
    samples = [
        Samples(name, kind, "dense", [9, 8], unpruned - losses + rng.normal(0, 0.01, (2, 1, 30)), s)
        for name, kind, s in kinds
    ]
    settings = Settings(shares=(0.1, 0.2), measures=("nDCG@10",))
    curves = curves_of(samples, {"dense": unpruned}, settings)
    panel = CostPanel("index", "MB", (0.0, 0.2), {"vectors": [4.0, 3.0]}, stacked=True)
    return PruningFigure(curves, {"dense": "Dense"}, ("nDCG@10",), 0.05, [panel])


def test_what_is_drawn(figure: PruningFigure) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context(STYLE):
        drawn = _drawn(figure)
    curves, costs = (part.axes[0] for part in drawn.subfigs)
    assert (curves.get_title(loc="left"), curves.get_ylabel()) == ("Dense", "nDCG@10")
    names = curves.get_legend_handles_labels()[1]
    assert names == [
        "±5 % of unpruned",
        "random, 3 seeds",
        "random, mean",
        "itn",
        "length",
        "oracle (sees the judgments)",
    ]
    marked = [line for line in curves.lines if line.get_linestyle() == "None"]
    full, hollow = marked
    assert (list(full.get_xdata()), list(hollow.get_xdata())) == ([0.1], [0.2])
    assert hollow.get_markerfacecolor() == "white", "equivalence is not shown there"
    assert costs.get_ylabel() == "MB"


@pytest.mark.parametrize("suffix", ["svg", "pdf"])
def test_the_same_curves_are_the_same_file(
    figure: PruningFigure, suffix: str, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"f.{suffix}"
    write_pruning_figure(figure, path)
    once = path.read_bytes()
    write_pruning_figure(figure, path)
    assert path.read_bytes() == once


def test_wrong_calls(
    figure: PruningFigure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadArguments, match=r"f\.gif is no figure"):
        write_pruning_figure(figure, tmp_path / "f.gif")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependency, match=r"'tamis\[plots\]'"):
        write_pruning_figure(figure, tmp_path / "f.svg")

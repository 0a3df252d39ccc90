"""The figure of a comparison: the same bytes for the same numbers, names and colours of a page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tamis.core.errors import BadArguments
from tamis.eval.pareto_figure import ParetoFigure, ParetoPoint, pareto_svg, write_pareto_figure

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("matplotlib")
POINTS = [
    ParetoPoint("BM25", 0.2, 0.42, 0.35, 0.5, True),
    ParetoPoint("dense & more", 40.0, 0.69, None, None, True),
    ParetoPoint("hybrid", 41.0, 0.54, 0.5, 0.6, False),
]
FIGURE = ParetoFigure("nDCG@10", POINTS, {"peer": 0.5}, "demo, test, 72 queries", 50.0)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_the_same_figure_is_the_same_file(tmp_path: Path, suffix: str) -> None:
    for name in ("one", "two"):
        write_pareto_figure(FIGURE, tmp_path / f"{name}{suffix}")
    one, two = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
    assert one == two
    assert len(one) > 2000


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match="its suffix is one of"):
        write_pareto_figure(FIGURE, tmp_path / "figure.gif")


def test_the_inline_figure_has_words_and_no_colour_of_its_own() -> None:
    svg = pareto_svg(FIGURE)
    root = ET.fromstring(svg)  # noqa: S314 - what was just made here
    texts = " ".join("".join(each.itertext()) for each in root.iter() if each.tag.endswith("text"))
    for told in ("BM25", "dense & more", "hybrid", "peer (not timed)", "nDCG@10", "72 queries"):
        assert told in texts
    assert not re.findall(r"(?:fill|stroke): #[0-9a-fA-F]{3,8}", svg)
    assert {"--ink", "--accent", "--beaten", "--warm", "--paper"} <= set(
        re.findall(r"var\((--\w+)\)", svg)
    )
    assert "width" not in root.attrib
    assert "viewBox" in root.attrib


def test_no_label_covers_another() -> None:
    crowd = [
        ParetoPoint(f"system {n}", 10.0 + n / 50, 0.5 + n / 900, None, None, n == 0)
        for n in range(5)
    ]
    svg = pareto_svg(ParetoFigure("RR", crowd))
    found = re.findall(r"translate\(([\d.]+) ([\d.]+)\)[^>]*>(system \d)<", svg)
    if not found:
        found = re.findall(r'x="([\d.]+)" y="([\d.]+)"[^>]*>(system \d)<', svg)
    heights = sorted(float(y) for _, y, _ in found)
    sides = {round(float(x) / 40) for x, _, _ in found}
    assert len(found) == 5
    assert len(sides) * len({round(h) for h in heights}) >= 5


def test_dollars_make_no_formula() -> None:
    name = r"a $\nothing$ of"
    svg = pareto_svg(
        ParetoFigure("RR", [ParetoPoint(name, 1.0, 0.5, None, None, True)], {name: 0.4})
    )
    assert svg.count(f">{name}<") == 1
    assert f">{name} (not timed)<" in svg
    assert "$5 or $6" in pareto_svg(ParetoFigure("RR", POINTS, {}, "for $5 or $6"))

"""``tamis bench``: which programs take part, what is read of them, what is said of failures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from tamis.core.errors import BadArguments, MissingResource
from tamis.pipeline import ratios
from tamis.pipeline.cli import app
from tamis.pipeline.ratios import Ratio, programs, run_programs

if TYPE_CHECKING:
    from pathlib import Path

FAST = """
import json, sys
QUICK = "--size 3 {work}"
assert sys.argv[1:3] == ["--size", "3"], sys.argv
print("ratio=2.5  a table for people")
print(json.dumps({"hardware": "a clock", "lines": [
    {"engine": "x", "passages": 1000, "met": True, "ratio": 2.5, "peer_ms": 5.0, "ours_ms": 2.0,
     "passages_per_second": 7.5, "bar": 0.95},
    {"what": "no ratio here"},
    {"system": "pairs", "ratio": 0.5, "ours": 4, "peer": 2, "unit": "pairs", "bar": 1.2},
]}))
"""
SLOW = """
import sys
QUICK = "{collections}/a"
print("no table")
sys.exit("nothing at " + sys.argv[1])
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "fast.py").write_text(FAST, "utf-8")
    (folder / "slow.py").write_text(SLOW, "utf-8")
    (folder / "measuring.py").write_text("raise SystemExit('never imported')\n", "utf-8")
    monkeypatch.setattr(ratios, "PROGRAMS", folder)
    return folder


def test_programs_take_part_by_their_constant(checkout: Path) -> None:
    assert programs(checkout) == {"fast": "--size 3 {work}", "slow": "{collections}/a"}


def test_lines_with_a_ratio_are_read(checkout: Path) -> None:
    (fast, slow) = run_programs(folder=checkout)
    assert fast.ratios == (
        Ratio("x, passages 1,000", 2.5, 2.0, 5.0, "ms", 0.95),
        Ratio("pairs", 0.5, 4, 2, "pairs", 1.2),
    )
    assert (fast.hardware, fast.problem) == ("a clock", "")
    assert slow.problem.startswith("needs --collections")


def test_a_program_that_breaks_off_is_told_and_the_others_go_on(
    checkout: Path, tmp_path: Path
) -> None:
    found = list(run_programs(folder=checkout, collections=tmp_path))
    assert found[0].ratios
    assert found[1].problem == f"exit code 1: nothing at {tmp_path}/a"


def test_what_this_machine_cannot_run_is_no_failure(checkout: Path) -> None:
    (checkout / "slow.py").write_text(
        'QUICK = ""\nimport sys\nprint("no device here", file=sys.stderr)\nsys.exit(3)\n', "utf-8"
    )
    (checkout / "fast.py").unlink()
    done = CliRunner().invoke(app, ["bench"])
    assert (done.exit_code, done.stdout) == (0, "slow: not measured: no device here\n")


def test_only_some(checkout: Path) -> None:
    assert [each.program for each in run_programs(["slow"], folder=checkout)] == ["slow"]
    with pytest.raises(BadArguments, match="'fst', did you mean 'fast'"):
        run_programs(["fst"], folder=checkout)


def test_an_installed_tamis_has_no_programs(tmp_path: Path) -> None:
    with pytest.raises(MissingResource, match="from a source checkout"):
        programs(tmp_path / "benchmarks")


def test_the_command_prints_one_table(checkout: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["bench"])
    assert done.exit_code == 7  # a ratio below its bar
    assert (
        "| fast    | x, passages 1,000 | 2.5   | 2    | 5    | ms    | 0.95        |" in done.stdout
    )
    assert "1.2, missed" in done.stdout
    assert "slow: not measured: needs --collections" in done.stdout
    assert "measured on a clock" in done.stdout
    told = json.loads(runner.invoke(app, ["bench", "--json", "--only", "fast"]).stdout)
    assert told[0]["ratios"][0]["ratio"] == 2.5
    assert runner.invoke(app, ["bench", "--collections", "x"]).exit_code == 6


def test_our_own_programs_say_how_they_are_run_quickly() -> None:
    known = programs()
    assert {"encode", "search", "bm25", "cold", "packing", "pruning_cost"} <= set(known)
    assert {"cross_encoder", "lambdamart_folds", "cascade_stages"} <= set(known)
    checkout = ratios.PROGRAMS.parent
    for arguments in known.values():
        for part in arguments.split():
            if "/" in part and "{" not in part:
                assert (checkout / part).exists(), part

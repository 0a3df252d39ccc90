"""Who may import whom, and what must not be imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "faiss", "pyarrow", "numpy", "sentence_transformers", "bm25s", "scipy")


def loaded_by(code: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has after running the code."""
    asked = f"{code}\nimport sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd="/"
    )
    return set(done.stdout.splitlines()[-1].split())


def seconds(*command: str) -> float:
    """The fastest of seven runs: what the command costs when nothing disturbs it."""
    took = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True, cwd="/")
        took.append(time.perf_counter() - start)
    return min(took)


def test_rooms_import_one_way_only() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-logo", "--no-cache"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_importing_tamis_loads_nothing_heavy() -> None:
    assert loaded_by("import tamis") == set()


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['tamis', '--help']\n"
    code += "from tamis.pipeline.cli import main\ntry: main()\nexcept SystemExit: pass"
    assert loaded_by(code) == set()


def test_help_costs_at_most_a_third_of_a_second_over_bare_python() -> None:
    command = (sys.executable, "-c", "from tamis.pipeline.cli import main; main()", "--help")
    assert seconds(*command) < seconds(sys.executable, "-c", "pass") + 0.3


def test_every_public_name_is_there() -> None:
    import tamis

    assert all(getattr(tamis, name) is not None for name in tamis.__all__)
    assert set(tamis.__all__) <= set(dir(tamis))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        tamis.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "group", ["tamis.encoders", "tamis.quality", "tamis.rerankers", "tamis.cells"]
)
def test_every_entry_point_loads(group: str) -> None:
    entries = entry_points(group=group)
    assert entries
    assert all(callable(entry.load()) for entry in entries)

"""The wheel holds what it should, and works in an empty environment away from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "kernels", "encoders", "index", "rerank", "eval", "pipeline")


def packaged() -> list[str]:
    """What a wheel should hold: the two root files and all that git knows of in the rooms."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    names = [name for name in listing.stdout.splitlines() if (CHECKOUT / name).is_file()]
    return sorted(n for n in names if n in ("__init__.py", "py.typed") or n.split("/")[0] in ROOMS)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory, os.environ)


def built(tmp_path_factory: pytest.TempPathFactory, environment: Mapping[str, str]) -> Path:
    """A wheel built from a copy of the sources: building leaves files behind."""
    source = tmp_path_factory.mktemp("source")
    for name in [*packaged(), "pyproject.toml", "README.md", "LICENSE", "NOTICE"]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=out, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_rooms_and_nothing_else(wheel: Path) -> None:
    held = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    library = {name for name in held if name.startswith("tamis/kernels/native/_kernels.")}
    assert len(library) == 1
    expected = {f"tamis/{n}" for n in packaged() if Path(n).suffix not in {".c", ".h", ".def"}}
    assert held - library == expected


def test_no_compiler_costs_speed_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    wheel = built(tmp_path_factory, {**os.environ, "CC": shutil.which("false") or "false"})
    names = zipfile.ZipFile(wheel).namelist()
    assert "tamis/kernels/native/loading.py" in names
    assert not [name for name in names if name.startswith("tamis/kernels/native/_kernels.")]


def test_the_demo_runs_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    own = Path(
        subprocess.check_output(
            [python, "-c", "import site; print(site.getsitepackages()[0])"], text=True
        ).strip()
    )
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*install, wheel], check=True, capture_output=True, cwd=tmp_path)
    # the dependencies are this environment's; a .pth inside it is not followed, so the wheel's
    # tamis is the only one to be found
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    empty = tmp_path / "empty"
    empty.mkdir()
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    where = [python, "-c", "import tamis; print(tamis.__file__)"]
    assert str(home) in subprocess.check_output(where, text=True, cwd=empty, env=clean)
    done = subprocess.run(
        [home / "bin" / "tamis", "demo", "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=empty,
        env=clean,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert not list(empty.iterdir())

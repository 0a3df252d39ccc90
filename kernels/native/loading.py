"""Find and load the C library; say once when it is not there."""

from __future__ import annotations

import ctypes
import logging
import re
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

log = logging.getLogger(__name__)


@cache
def library() -> ctypes.CDLL | None:
    """The library of C kernels, or None (logged once) where it was not built or does not fit."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_kernels{suffix}")
        if path.is_file():
            return _loaded(path)
    log.warning("no C kernels in %s: numpy and torch do their work, slower", Path(__file__).parent)
    return None


def _loaded(path: Path) -> ctypes.CDLL | None:
    problem = "it was built from other sources"
    try:
        found = ctypes.CDLL(str(path))
        found.tamis_interface.restype = ctypes.c_char_p
        if _interface() in {None, found.tamis_interface().decode()}:
            return found
    except (OSError, AttributeError) as failure:
        problem = str(failure)
    log.warning("%s is not used (%s): install tamis again; until then it is slower", path, problem)
    return None


def _interface() -> str | None:
    """What ``tamis_interface`` says when built from the source here; None without a source.

    An editable install that is not repeated after a change leaves a library behind that would
    read other arguments than it is given.
    """
    source = Path(__file__).with_name("ops.def")
    if not source.is_file():
        return None
    ops = re.findall(r"^OP\((\w+),\s*(\([^()]*\))", source.read_text("utf-8"), re.MULTILINE)
    return "".join(name + re.sub(r"\s+", " ", parameters) for name, parameters in ops)

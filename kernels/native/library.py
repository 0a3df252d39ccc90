"""Find and load the C library; say once when it is not there."""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

log = logging.getLogger(__name__)


@cache
def library() -> ctypes.CDLL | None:
    """The library of C kernels, or None (logged once) where it was not built."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_kernels{suffix}")
        if path.is_file():
            return ctypes.CDLL(str(path))
    log.warning("no C kernels in %s: numpy and torch do their work, slower", Path(__file__).parent)
    return None

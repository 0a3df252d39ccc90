"""Which twin of an op runs: chosen by rule, said once, never a change of meaning.

Every op has a ``reference`` in plain torch. It may have a ``triton`` twin (GPU), a ``native`` one
(C, float32 on the CPU) and a faster ``torch`` one; all compute the same to the last few bits.
The environment variable ``TAMIS_KERNELS`` or ``with forced("torch"):`` asks for one by name, and
asking for what cannot run fails; otherwise the first of the list that can run is taken.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import torch

from ..core.errors import BadArguments
from .native.loading import library

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from torch import Tensor

Backend: TypeAlias = Literal["triton", "native", "torch", "reference"]
VARIABLE = "TAMIS_KERNELS"

log = logging.getLogger(__name__)
_forced: ContextVar[str | None] = ContextVar("forced", default=None)


@contextmanager
def forced(backend: Backend) -> Iterator[None]:
    """Inside, every op runs this twin; BadArguments at the call when an op cannot."""
    token = _forced.set(backend)
    try:
        yield
    finally:
        _forced.reset(token)


def choose(op: str, x: Tensor, twins: Collection[Backend]) -> Backend:
    """The twin of ``op`` that runs on ``x``, among ``twins`` and the reference that all have.

    "torch" asked for by name means plain torch: the reference where there is no faster form.
    float64 always takes plain torch, whose accumulators are as wide as its input.
    """
    asked = _forced.get() or os.environ.get(VARIABLE)
    if asked is None:
        backend, reason = _automatic(x, twins)
        _say(op, backend, reason)
        return backend
    if asked not in get_args(Backend):
        known = ", ".join(get_args(Backend))
        raise BadArguments(f"{VARIABLE}={asked!r}: kernels come as {known}")
    if asked == "torch" and "torch" not in twins:
        asked = "reference"
    problem = _problem(asked, x, twins)
    if problem:
        raise BadArguments(f"{op} was asked to run as {asked!r}, but {problem}; unset {VARIABLE}")
    _say(op, asked, "asked for by name")
    return asked  # type: ignore[return-value]


def _automatic(x: Tensor, twins: Collection[Backend]) -> tuple[Backend, str]:
    reasons = []
    for backend in ("triton", "native"):
        problem = _problem(backend, x, twins)
        if not problem:
            return backend, "the fastest that runs here"
        reasons.append(f"{backend}: {problem}")
    plain: Backend = "torch" if "torch" in twins else "reference"
    return plain, "; ".join(reasons)


def _problem(backend: str, x: Tensor, twins: Collection[str]) -> str | None:
    """Why this twin cannot run on ``x``; None when it can."""
    if backend == "reference":
        return None
    if backend not in twins:
        return f"the op has no {backend} twin"
    if backend == "native" and (x.device.type != "cpu" or x.dtype != torch.float32):
        return f"native code is for float32 on the CPU, not {x.dtype} on {x.device.type}"
    if backend == "native" and library() is None:
        return "the native library was not built"
    if backend == "triton":
        return _no_triton(x)
    return None


def _no_triton(x: Tensor) -> str | None:
    if not _has_triton():
        return "triton is not installed"
    if x.dtype == torch.float64:
        return "float64 is for the reference"
    if not x.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        return "the tensors are not on a GPU"
    if not x.is_cuda and _forced.get() != "triton":
        return "the interpreter is for tests, which ask for it by name"
    return None


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


@cache
def _say(op: str, backend: str, reason: str) -> None:
    """Once for each op, twin and reason."""
    log.info("%s runs as %s (%s)", op, backend, reason)

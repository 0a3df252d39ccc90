"""Which twin runs: the rule, the request by name, and what is said of it."""

from __future__ import annotations

import logging

import pytest
import torch

from tamis.core.errors import BadArguments
from tamis.kernels import dispatch
from tamis.kernels.dispatch import choose, forced

ALL = ("triton", "native", "torch")
X = torch.zeros(1)


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    monkeypatch.setattr(dispatch, "library", object)  # as if the C library were built
    dispatch._say.cache_clear()


def test_the_fastest_that_runs_is_taken() -> None:
    assert choose("op", X, ALL) == "native"
    assert choose("op", X, ("triton", "torch")) == "torch"
    assert choose("op", X, ("triton",)) == "reference"
    assert choose("op", X.double(), ALL) == "torch"
    assert choose("op", X.bfloat16(), ALL) == "torch"


def test_without_the_library_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "library", lambda: None)
    assert choose("op", X, ALL) == "torch"
    with forced("native"), pytest.raises(BadArguments, match="not built"):
        choose("op", X, ALL)


def test_what_is_asked_for_by_name_runs_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with forced("reference"):
        assert choose("op", X, ALL) == "reference"
    with forced("torch"):
        assert choose("op", X, ALL) == "torch"
        assert choose("op", X, ("triton",)) == "reference"
    with forced("native"), pytest.raises(BadArguments, match="'native', but the op has no native"):
        choose("op", X, ("triton",))
    with forced("native"), pytest.raises(BadArguments, match="float64"):
        choose("op", X.double(), ALL)
    monkeypatch.setenv(dispatch.VARIABLE, "reference")
    assert choose("op", X, ALL) == "reference"
    with forced("native"):  # nearer than the environment
        assert choose("op", X, ALL) == "native"
    assert choose("op", X, ALL) == "reference"


def test_an_unknown_name_lists_the_right_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(dispatch.VARIABLE, "cuda")
    with pytest.raises(BadArguments, match="'cuda': kernels come as triton, native, torch, ref"):
        choose("op", X, ALL)


def test_the_interpreter_is_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="triton is not installed")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert choose("op", X, ALL) == "native"
    with forced("triton"):
        assert choose("op", X, ALL) == "triton"
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with forced("triton"), pytest.raises(BadArguments, match="not on a GPU"):
        choose("op", X, ALL)


def test_a_choice_is_said_once_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tamis.kernels.dispatch"):
        for _ in range(3):
            choose("some_op", X, ("triton",))
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("some_op runs as reference (triton: ")
    assert "native: the op has no native twin" in said

"""Which C library is trusted: one that takes what its callers give."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from tamis.kernels.native import loading as module


@pytest.fixture
def built() -> Path:
    folder = Path(module.__file__).parent
    for suffix in EXTENSION_SUFFIXES:
        if (folder / f"_kernels{suffix}").is_file():
            return folder / f"_kernels{suffix}"
    pytest.skip("the C library was not built")


@pytest.mark.usefixtures("built")
def test_what_was_built_here_is_used() -> None:
    assert module.library() is not None, "the C sources have changed: install tamis again"


def test_the_sources_say_what_each_kernel_takes() -> None:
    source = module._interface()
    if source is None:
        pytest.skip("no sources beside the library")
    assert source.startswith("token_rows(const float *x, int64_t rows,")
    assert "\n" not in source


def test_one_of_other_sources_is_not(
    built: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_interface", lambda: "token_rows(int64_t rows)")
    assert module._loaded(built) is None
    assert "other sources" in caplog.text
    monkeypatch.setattr(module, "_interface", lambda: None)  # a wheel has no sources
    assert module._loaded(built) is not None


@pytest.mark.parametrize("content", [b"", b"no library at all"])
def test_a_damaged_one_is_told_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "_kernels.so").write_bytes(content)
    assert module._loaded(tmp_path / "_kernels.so") is None
    assert "install tamis again" in caplog.text

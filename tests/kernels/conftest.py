"""Fixtures of the kernels' tests: where they can run, and how two results are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from tamis.kernels.native.loading import library

Compare = Callable[[Tensor, Tensor, float], None]


@pytest.fixture
def interpreted() -> None:
    """For tests of Triton kernels on CPU tensors; on a GPU machine the gpu tests do the work."""
    pytest.importorskip("triton", reason="triton is not installed")
    if torch.cuda.is_available():
        pytest.skip("kernels run compiled here: see the tests marked gpu")


@pytest.fixture
def limit_instruction_set() -> Iterator[Callable[[str], None]]:
    """limit_instruction_set("avx2"): C kernels use nothing newer; skips where they cannot be asked.

    From oldest to newest: plain, avx2, avx512.
    """
    built = library()
    if built is None:
        pytest.skip("the C library was not built")

    def limit(name: str) -> None:
        level = ["plain", "avx2", "avx512"].index(name)
        if built.tamis_limit_instruction_set(level) != level:
            pytest.skip(f"this processor has no {name}")

    yield limit
    built.tamis_limit_instruction_set(99)


@pytest.fixture(params=["plain", "avx2", "avx512"])
def instruction_set(
    request: pytest.FixtureRequest, limit_instruction_set: Callable[[str], None]
) -> str:
    """Each instruction set of the C library in turn."""
    limit_instruction_set(request.param)
    return request.param


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device("cuda")


@pytest.fixture(scope="session")
def close() -> Compare:
    """close(found, expected, bound): max error / max(|expected|, its rms), element by element."""

    def check(found: Tensor, expected: Tensor, bound: float) -> None:
        assert found.shape == expected.shape
        assert torch.isfinite(found).all()
        expected = expected.double()
        if not expected.numel():
            return
        rms = expected.square().mean().sqrt().clamp_min(1e-30)
        worst = ((found.double() - expected).abs() / expected.abs().clamp_min(rms)).max().item()
        assert worst <= bound, f"relative error {worst:.2e}, bound {bound:.0e}"

    return check


@pytest.fixture(scope="session")
def close_rms() -> Compare:
    """close_rms(found, expected, bound): rms of the error over rms of what is expected."""

    def check(found: Tensor, expected: Tensor, bound: float) -> None:
        assert found.shape == expected.shape
        assert torch.isfinite(found).all()
        expected = expected.double()
        if not expected.numel():
            return
        error = (found.double() - expected).square().mean().sqrt()
        ratio = (error / expected.square().mean().sqrt().clamp_min(1e-30)).item()
        assert ratio <= bound, f"rms ratio {ratio:.2e}, bound {bound:.0e}"

    return check

"""Fixtures of the kernels' tests: where they can run, and how two results are compared."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

Compare = Callable[[Tensor, Tensor, float], None]


@pytest.fixture
def interpreted() -> None:
    """For tests of Triton kernels on CPU tensors; on a GPU machine the gpu tests do the work."""
    pytest.importorskip("triton", reason="triton is not installed")
    if torch.cuda.is_available():
        pytest.skip("kernels run compiled here: see the tests marked gpu")


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

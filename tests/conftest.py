"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

# Without a GPU Triton kernels are interpreted. This must be said before anything imports triton,
# as other rooms' tests do through their libraries: half of it would already be compiled.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real collections beside the checkout; the test is skipped where it is not."""
    for place in (CHECKOUT.parent / "shared" / "data", CHECKOUT.parent.parent / "shared" / "data"):
        if (place / "collections").is_dir():
            return place
    pytest.skip("no ../shared/data beside the checkout: the real collections are not here")

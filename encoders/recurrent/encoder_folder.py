"""A recurrent encoder from its folder."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import BadData
from ..model_files import fingerprint_of_model
from ..word_pieces import WordPieces
from .encoder import RecurrentEncoder
from .kinds import TOKENIZER
from .model_folder import check_prompts
from .stored_model import read_model


def load(folder: Path | str, *, device: str = "cpu", name: str | None = None) -> RecurrentEncoder:
    """The encoder that a folder holds; ``name`` in its card is the folder's path if not given.

    Raises what ``read_model`` raises, and BadData when its files belong to different models.
    """
    folder = Path(folder)
    model = read_model(folder)
    check_prompts(folder, model.spec)
    pieces = WordPieces(folder / TOKENIZER)
    if pieces.vocabulary > model.spec.vocabulary:
        raise BadData(
            f"{folder / TOKENIZER} makes {pieces.vocabulary} token ids, but the vocabulary of "
            f"config.json has {model.spec.vocabulary}: the files belong to different models"
        )
    fingerprint, weights = fingerprint_of_model(folder)
    return RecurrentEncoder(
        model,
        pieces,
        name=name or str(folder),
        fingerprint=fingerprint,
        space=model.spec.space or weights,
        device=device,
    )

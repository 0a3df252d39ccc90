"""A recurrent encoder to its folder and back."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import BadData
from ..model_files import fingerprint_of_model
from ..word_pieces import WordPieces
from .encoder import RecurrentEncoder
from .kinds import TOKENIZER
from .model_folder import check_prompts, write_folder
from .stored_model import read_model
from .text_model import model_files


def save(
    encoder: RecurrentEncoder,
    folder: Path | str,
    *,
    trained_on: str = "",
    licence: str = "apache-2.0",
) -> None:
    """Write the encoder as a new folder, for tamis and sentence-transformers: ``write_folder``."""
    files = model_files(encoder.model, encoder.pieces)
    write_folder(folder, encoder.model.spec, files, trained_on, licence)


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

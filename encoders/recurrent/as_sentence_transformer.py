"""``tamis.sentence_transformer``: a model folder of ours as a ``SentenceTransformer``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..word_pieces import WordPieces
from .kinds import TOKENIZER
from .model_folder import prompts
from .stored_model import read_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def sentence_transformer(folder: Path | str, *, device: str = "cpu") -> SentenceTransformer:
    """The model of a folder, ready to encode, train and save; the same vectors as its encoder.

    Nothing needs to be trusted, in any version of sentence-transformers: the class is handed over,
    not looked up. ``encode_query`` and ``encode_document`` put the spec's prefixes before a text.
    Raises MissingResource, CorruptFile or BadData, as loading the encoder does.
    """
    from sentence_transformers import SentenceTransformer

    try:
        from sentence_transformers.base.modules import Normalize
    except ImportError:  # below 5.4
        from sentence_transformers.models import (  # type: ignore[import-not-found, no-redef]
            Normalize,
        )
    from .sentence_transformers_module import TamisModule

    model, pieces = read_model(Path(folder)), WordPieces(Path(folder) / TOKENIZER)
    return SentenceTransformer(
        modules=[TamisModule(model, pieces), Normalize()],
        prompts=prompts(model.spec),
        similarity_fn_name="cosine",
        device=device,
    )

"""``tamis.recurrent``: an untrained recurrent encoder, the same for the same seed."""

from __future__ import annotations

import torch

from ..minilm import minilm_folder
from ..word_pieces import WordPieces
from .encoder import RecurrentEncoder
from .kinds import TOKENIZER
from .model import RecurrentModel, is_whole_body
from .model_folder import fingerprint_in_memory
from .spec import OWN, RecurrentSpec
from .text_model import model_files


def recurrent(
    cell: str,
    layers: int = 1,
    width: int = 64,
    seed: int = 0,
    *,
    dim: int = 0,
    bidirectional: bool = True,
    feed_forward: float = 0.0,
    pooling: str | None = None,
    max_length: int = 512,
    passage_prefix: str = "",
    query_prefix: str = "",
    space: str = "",
    device: str = "cpu",
) -> RecurrentEncoder:
    """A recurrent encoder with random weights over MiniLM's 30,522 word pieces.

    ``cell`` is a registered name; the other options are those of ``RecurrentSpec``. Pooling is the
    mean, or the cell's own where the cell is a whole body. The weights depend on the spec and the
    seed alone, and torch's global generator is left as it was. Raises UnknownComponent listing
    the cells, BadArguments, MissingDependency without the extra ``minilm``.
    """
    own = OWN if is_whole_body(cell) else "mean"
    pieces = WordPieces(minilm_folder() / TOKENIZER)
    spec = RecurrentSpec(
        cell,
        vocabulary=pieces.vocabulary,
        layers=layers,
        width=width,
        dim=dim,
        bidirectional=bidirectional,
        feed_forward=feed_forward,
        pooling=pooling or own,
        max_length=max_length,
        passage_prefix=passage_prefix,
        query_prefix=query_prefix,
        space=space,
    )
    model = seeded(spec, seed)
    fingerprint, weights = fingerprint_in_memory(spec, model_files(model, pieces))
    return RecurrentEncoder(
        model,
        pieces,
        name=f"recurrent:{cell}",
        fingerprint=fingerprint,
        space=space or weights,
        device=device,
    )


def seeded(spec: RecurrentSpec, seed: int) -> RecurrentModel:
    """The spec's model with weights that this seed draws, on the CPU."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return RecurrentModel(spec)

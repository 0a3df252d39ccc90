"""``tamis.folded``: an untrained folded student, the same for the same seed."""

from __future__ import annotations

import numpy as np

from ...kernels.folded.weights import FoldedWeights, Layer, TokenTable
from ..minilm import minilm_folder
from ..recurrent.kinds import TOKENIZER
from ..recurrent.model_folder import fingerprint_in_memory
from ..word_pieces import WordPieces
from .encoder import FoldedEncoder, card_of, stored_files
from .spec import FoldedSpec

_MEMORY = (1.5, 128.0)  # tokens that a channel remembers at the start, spread evenly in the log


def folded(
    layers: int = 1,
    width: int = 64,
    seed: int = 0,
    *,
    rank: int = 0,
    dim: int = 0,
    max_length: int = 512,
    passage_prefix: str = "",
    query_prefix: str = "",
    space: str = "",
) -> FoldedEncoder:
    """A folded student with random weights over MiniLM's 30,522 word pieces.

    The options are those of ``FoldedSpec``; ``rank`` and ``dim`` are ``width`` when not given.
    Raises BadArguments, MissingDependency without the extra ``minilm``.
    """
    pieces = WordPieces(minilm_folder() / TOKENIZER)
    spec = FoldedSpec(
        layers,
        width,
        rank=rank or width,
        dim=dim or width,
        vocabulary=pieces.vocabulary,
        max_length=max_length,
        passage_prefix=passage_prefix,
        query_prefix=query_prefix,
        space=space,
    )
    weights = random_weights(spec, seed)
    files = stored_files(spec, weights, pieces)
    fingerprint, own_space = fingerprint_in_memory(spec, files)
    card = card_of(spec, "folded", fingerprint, space or own_space)
    return FoldedEncoder(spec, weights, pieces, card)


def random_weights(spec: FoldedSpec, seed: int) -> FoldedWeights:
    """float32 weights drawn from numpy's generator of this seed; nothing is quantised.

    Update gates start by chrono initialisation (Tallec and Ollivier 2018): bias -log(tau - 1), tau
    log-uniform from 1.5 to 128 tokens.
    """
    rng = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return np.asarray(rng.standard_normal((rows, columns)) / np.sqrt(rows), np.float32)

    table = TokenTable.exact(rng.standard_normal((spec.vocabulary, spec.rank)).astype(np.float32))
    base = None if spec.rank == spec.dim else matrix(spec.rank, spec.dim)
    layers = [
        Layer(
            tokens=matrix(spec.rank, 2 * spec.width),
            bias=_memory_bias(rng, spec.width),
            states=matrix(spec.width, 2 * spec.width) if number else None,
            gain=np.ones(spec.width, np.float32),
        )
        for number in range(spec.layers)
    ]
    output = matrix(spec.width, spec.dim) if spec.layers else None
    return FoldedWeights(table, np.ones(spec.vocabulary, np.float32), base, layers, output)


def _memory_bias(rng: np.random.Generator, width: int) -> np.ndarray:
    """[2 width] as (direction, gate, channel): chrono for update gates, zero for values."""
    low, high = np.log(_MEMORY)
    tau = np.exp(rng.uniform(low, high, (2, width // 2)))
    bias = np.zeros((2, 2, width // 2), np.float32)
    bias[:, 0] = -np.log(tau - 1)
    return bias.reshape(-1)

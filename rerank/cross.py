"""Any sentence-transformers cross-encoder as a reranker: one forward pass a query and passage."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import BadArguments, BadData
from ..core.hub import load_model
from .model_files import of_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Candidates
    from ..core.records import Float32Array

DEFAULT_MODEL = "cross-encoder/ms-marco-MiniLM-L6-v2"
_BATCH = 32  # pairs in one forward pass; sorted by length, they carry hardly any padding


class CrossReranker:
    """A cross-encoder by hub name or local folder, loaded when it first scores.

    Scores are raw logits: a sigmoid would round the best candidates to one. They depend on the
    pair alone; other company in a batch moves them by 1e-5 at most. A pair that is too long loses
    the end of its passage; a query is cut only where it fills more than half of the room.
    Weights are read from safetensors only, and code that lies in a model folder is never run.

    ``score`` raises MissingResource when the model cannot be had, BadData when it does not give
    one score a pair, BadArguments when the device is not there.
    """

    pointwise = True

    def __init__(
        self, *, model: str | Path = DEFAULT_MODEL, keep: int = 100, device: str = "cpu"
    ) -> None:
        self._named = str(model)
        self._device = device
        self.keep = keep
        self.name = "cross" if self._named == DEFAULT_MODEL else f"cross ({Path(model).name})"

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """Logits, one array a query; the pairs of all queries share the forward passes."""
        pairs = [
            (candidates.ranking.query.text, passage.full_text)
            for candidates in batch
            for passage in candidates.passages
        ]
        if not batch:
            return []
        ends = np.cumsum([len(candidates.passages) for candidates in batch])
        return np.split(self._logits(pairs), ends[:-1])

    def prepare(self) -> None:
        """Load the model now; raises what ``score`` would."""
        _ = self._model

    @cached_property
    def fingerprint(self) -> str:
        """Of the model's files."""
        return of_model(self._named)

    @cached_property
    def _model(self) -> Any:
        return _load(self._named, self._device)

    def _logits(self, pairs: Sequence[tuple[str, str]]) -> Float32Array:
        """[pairs] float32."""
        logits = np.empty(len(pairs), np.float32)
        if not pairs:
            return logits
        encoded = self._tokenize(pairs)
        lengths = np.array([len(ids) for ids in encoded["input_ids"]])
        # longest first, so that a batch too large for the memory fails at once
        order = np.argsort(-lengths, kind="stable")
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            logits[rows] = self._forward(
                {key: [values[row] for row in rows] for key, values in encoded.items()}
            )
        return logits

    def _tokenize(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """Ids, masks and segments of every pair, not padded."""
        tokenizer, room = self._model.tokenizer, _room(self._model)
        queries = {query: "" for query, _ in pairs}
        for query in queries:
            queries[query] = _cut(tokenizer, query, room // 2)
        return tokenizer(
            [queries[query] for query, _ in pairs],
            [passage for _, passage in pairs],
            truncation="only_second",
            max_length=room,
        )

    def _forward(self, encoded: Any) -> Float32Array:
        import torch

        padded = self._model.tokenizer.pad(encoded, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            logits: Float32Array = self._model.model(**padded).logits.float().cpu().numpy()
        return logits[:, 0]


def _cut(tokenizer: Any, query: str, tokens: int) -> str:
    """The beginning of a query that is at most so many tokens long."""
    found = tokenizer(query, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets = found["offset_mapping"]
    return query if len(offsets) <= tokens else query[: offsets[tokens - 1][1]]


def _room(model: Any) -> int:
    """The longest pair in tokens, special ones included."""
    limits = [model.tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 0)]
    return int(min([limit for limit in limits if 0 < limit < 1_000_000], default=512))


def _load(model: str, device: str) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import torch
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadArguments(f"device {device!r}: this torch sees no CUDA device; use --device cpu")
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    loaded = load_model(
        "cross-encoder",
        model,
        lambda local: CrossEncoder(
            model,
            device=device,
            activation_fn=torch.nn.Identity(),
            trust_remote_code=False,
            local_files_only=local,
            model_kwargs={"use_safetensors": True},
        ),
        "go online once to fetch it, or name a local folder with safetensors weights: "
        "--rerank PATH",
    ).eval()
    _check_kind(model, loaded)
    if device == "cpu":
        from ..kernels.packed_linear.onednn import pack_linears

        pack_linears(loaded)
    return loaded


def _check_kind(model: str, loaded: Any) -> None:
    """Only what reads a bare pair and gives one score: no generator, no classifier of three."""
    kind = type(loaded.model).__name__
    prompt = getattr(loaded, "default_prompt_name", None)
    if not kind.endswith("ForSequenceClassification") or not loaded.tokenizer.is_fast or prompt:
        raise BadData(
            f"{model} is a {kind} with a {type(loaded.tokenizer).__name__} and the prompt "
            f"{prompt!r}; expected a sequence classifier with a fast tokenizer and no prompt"
        )
    if loaded.num_labels != 1:
        raise BadData(f"{model} gives {loaded.num_labels} scores a pair; expected one")

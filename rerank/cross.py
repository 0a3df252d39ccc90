"""Any cross-encoder as a reranker: a transformer reads query and passage as one sequence.

Nogueira and Cho, "Passage Re-ranking with BERT" (arXiv 1901.04085); with windows over long
passages, Dai and Callan (arXiv 1905.09217).
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import BadData
from ..core.hub import load_model
from ..kernels.device import check_device
from .model_files import model_folder, of_model
from .pair_batches import pair_batches
from .pair_tokens import PairTokens
from .windows import Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Candidates
    from ..core.records import Float32Array

DEFAULT_MODEL = "cross-encoder/ms-marco-MiniLM-L6-v2"
_CLASSIFIER = "ForSequenceClassification"
_BUDGET = {"cpu": 2048, "cuda": 65_536}  # tokens of a forward pass: benchmarks/cross_encoder.py


class CrossReranker:
    """A cross-encoder by hub name or local folder, loaded when it first scores.

    Scores are raw logits: a sigmoid would round the best candidates to one. Of a classifier of
    two classes (monoBERT), the second's logit minus the first's, whose sigmoid is the second's
    probability. They depend on the pair alone; other company in a batch moves them by 1e-5 at
    most. A pair that is too long loses the end of its passage; a query is whole unless it would
    leave less than an eighth of the room. ``words``, ``stride`` and ``combine`` read a passage
    through windows, as ``Windows`` says. Weights are read from safetensors only, and code that
    lies in a model folder is never run.

    ``score`` raises MissingResource when the model cannot be had, BadData when it is no sequence
    classifier of one or two classes, BadArguments when the device is not there.
    """

    pointwise = True

    def __init__(
        self,
        *,
        model: str | Path = DEFAULT_MODEL,
        keep: int = 100,
        device: str = "cpu",
        words: int = 0,
        stride: int = 0,
        combine: str = "max",
    ) -> None:
        self._named = str(model)
        self._device = device
        self._windows = Windows(words, stride, combine)
        self.keep = keep
        self.name = "cross" if self._named == DEFAULT_MODEL else f"cross ({Path(model).name})"

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """Logits, one array a query; the pairs of all queries share the forward passes."""
        return self._windows.score(batch, self._of_texts)

    def prepare(self) -> None:
        """Load the model now; raises what ``score`` would."""
        _ = self._model

    @cached_property
    def fingerprint(self) -> str:
        """Of the model's files and the windows."""
        return f"{of_model(self._named)}{self._windows.mark}"

    @cached_property
    def _model(self) -> Any:
        return _load(self._named, self._device)

    @cached_property
    def _tokens(self) -> PairTokens:
        return PairTokens(self._model.tokenizer, _room(self._model))

    def _of_texts(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        if not batch:
            return []
        pairs = [
            (candidates.ranking.query.text, passage.full_text)
            for candidates in batch
            for passage in candidates.passages
        ]
        ends = np.cumsum([len(candidates.passages) for candidates in batch])
        return np.split(self._logits(pairs), ends[:-1])

    def _logits(self, pairs: Sequence[tuple[str, str]]) -> Float32Array:
        """[pairs] float32."""
        logits = np.empty(len(pairs), np.float32)
        if not pairs:
            return logits
        encoded = self._tokens.of(pairs)
        lengths = np.array([len(each["input_ids"]) for each in encoded], np.int64)
        for rows in pair_batches(lengths, _BUDGET[self._device.partition(":")[0]]):
            logits[rows] = self._forward([encoded[row] for row in rows])
        return logits

    def _forward(self, encoded: Sequence[dict[str, list[int]]]) -> Float32Array:
        import torch

        padded = self._model.tokenizer.pad(encoded, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            logits: Float32Array = self._model.model(**padded).logits.float().cpu().numpy()
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]


def _room(model: Any) -> int:
    """The longest pair in tokens, special ones included."""
    limits = [model.tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 0)]
    return int(min([limit for limit in limits if 0 < limit < 1_000_000], default=512))


def _load(model: str, device: str) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import torch
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    check_device(device)
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
    _check_head(model, model_folder(model, local=True))
    if device == "cpu":
        from ..kernels.packed_linear.onednn import pack_linears

        pack_linears(loaded)
    return loaded


def _check_kind(model: str, loaded: Any) -> None:
    """Only what reads a bare pair and gives one score: no generator, no classifier of three."""
    kind = type(loaded.model).__name__
    prompt = getattr(loaded, "default_prompt_name", None)
    if not kind.endswith(_CLASSIFIER) or not loaded.tokenizer.is_fast or prompt:
        raise BadData(
            f"{model} is a {kind} with a {type(loaded.tokenizer).__name__} and the prompt "
            f"{prompt!r}; expected a sequence classifier with a fast tokenizer and no prompt"
        )
    if loaded.num_labels not in (1, 2):
        raise BadData(f"{model} gives {loaded.num_labels} scores a pair; expected one or two")


def _check_head(model: str, folder: Path) -> None:
    """A body without a head would be given a random one, with a warning at most."""
    described = json.loads((folder / "config.json").read_bytes()).get("architectures") or []
    if not any(str(name).endswith(_CLASSIFIER) for name in described):
        raise BadData(
            f"{model} is {', '.join(map(str, described)) or 'no architecture'} and has no head "
            f"that scores a pair; expected one that ends in {_CLASSIFIER}"
        )

"""``qualt5``: a T5 that was trained to say of a passage whether it is relevant to anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import BadData
from ...core.fingerprints import of_value
from ...core.protocols import QualityCard
from ..token_batches import token_batches
from .language_model import load_language_model
from .readable import readable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ...core.records import Float32Array

BEFORE, AFTER = "Document: ", " Relevant:"
ANSWERS = ("true", "false")
TOKENS = 512
"""The longest prompt; a longer one loses the end of its text, never what follows the text."""

_KINDS = ("t5", "mt5", "umt5")
_BUDGET = {"cpu": 4096, "cuda": 65536}  # tokens of a batch, padding included


class QualT5:
    """log P("true") over {"true", "false"}, at the first step after "Document: TEXT Relevant:".

    Chang et al. 2024, "Neural Passage Quality Estimation for Static Pruning". ``model`` is a folder
    or org/name of any T5 checkpoint in safetensors that was trained so, as
    ``pyterrier-quality/qt5-tiny`` was; one that was not gives scores that mean nothing. The head
    over the vocabulary is cut to its two rows in question. A text that is too long counts as its
    beginning. Scores lie below 0; other company in a batch moves them by 1e-5 at most.

    Raises BadData for another kind of model, or one whose tokenizer begins both answers alike,
    and as ``load_language_model`` does.
    """

    def __init__(self, model: str | Path, *, device: str = "cpu") -> None:
        self._loaded = load_language_model("qualt5", model, device, _check_kind)
        answers = _first_tokens(str(model), self._loaded.tokenizer)
        _cut_head(self._loaded.network, answers)
        said = {"prompt": [BEFORE, AFTER], "answers": list(ANSWERS), "tokens": TOKENS}
        fingerprint = of_value({"qualt5": self._loaded.fingerprint, **said})
        self.card = QualityCard(f"qualt5 ({self._loaded.name})", fingerprint)

    def score(self, texts: Sequence[str]) -> Float32Array:
        scores = np.empty(len(texts), np.float32)
        if not len(texts):
            return scores
        prompts = self._prompts([readable(text) for text in texts])
        lengths = np.array([len(ids) for ids in prompts], np.int32)
        for rows in token_batches(lengths, _BUDGET[self._loaded.device.partition(":")[0]]):
            scores[rows] = self._forward([prompts[row] for row in rows])
        return scores

    def _prompts(self, texts: list[str]) -> list[list[int]]:
        """Token ids, at most ``TOKENS`` each."""
        encoded = self._loaded.tokenizer(
            [f"{BEFORE}{text}{AFTER}" for text in texts], verbose=False
        )
        return [
            ids if len(ids) <= TOKENS else self._cut(text, len(ids))
            for text, ids in zip(texts, encoded["input_ids"], strict=True)
        ]

    def _cut(self, text: str, tokens: int) -> list[int]:
        """The prompt of the longest beginning of the text, in its own tokens, that has room."""
        tokenizer = self._loaded.tokenizer
        own = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)[
            "offset_mapping"
        ]
        ends = [end for _, end in own]
        kept = len(ends)
        while tokens > TOKENS and kept > 0:  # again where tokens part at the new edge
            kept = max(kept - (tokens - TOKENS), 0)
            beginning = text[: ends[kept - 1]] if kept else ""
            ids: list[int] = tokenizer(f"{BEFORE}{beginning}{AFTER}", verbose=False)["input_ids"]
            tokens = len(ids)
        return ids

    def _forward(self, batch: list[list[int]]) -> Float32Array:
        """[texts] float32: log softmax of "true" at the decoder's first step."""
        import torch

        ids, mask = self._loaded.padded(batch)
        start = self._loaded.network.config.decoder_start_token_id or 0
        first = torch.full((len(batch), 1), start, device=ids.device)
        with torch.inference_mode():
            logits = self._loaded.network(
                input_ids=ids, attention_mask=mask, decoder_input_ids=first, use_cache=False
            ).logits[:, 0]
            scores: Float32Array = logits.float().log_softmax(dim=1)[:, 0].cpu().numpy()
        return scores


def _check_kind(model: str, config: Any) -> None:
    if config.model_type not in _KINDS:
        raise BadData(
            f"{model} is a {config.model_type}; qualt5 expects a T5 ({', '.join(_KINDS)}) that was "
            f"trained to answer {ANSWERS[0]!r} or {ANSWERS[1]!r}"
        )


def _first_tokens(model: str, tokenizer: Any) -> list[int]:
    """The first token of each answer, which the first step of the decoder is asked for."""
    found = [tokenizer(answer, add_special_tokens=False)["input_ids"][:1] for answer in ANSWERS]
    tokens = [token for first in found for token in first]
    if len(set(tokens)) < len(ANSWERS):
        raise BadData(
            f"the tokenizer of {model} begins {ANSWERS[0]!r} and {ANSWERS[1]!r} with the tokens "
            f"{tokens}; expected two that differ"
        )
    return tokens


def _cut_head(network: Any, tokens: list[int]) -> None:
    """Leave the two rows; the network's own code scales what goes in, where its kind does so."""
    import torch

    rows = network.lm_head.weight[tokens].detach().clone()
    head = torch.nn.Linear(rows.shape[1], len(tokens), bias=False, device=rows.device)
    head.weight = torch.nn.Parameter(rows, requires_grad=False)
    network.lm_head = head

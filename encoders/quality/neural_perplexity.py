"""``perplexity:MODEL``: how well a language model of transformers foresees a passage."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.fingerprints import of_value
from ...core.protocols import QualityCard
from ..token_batches import token_batches
from .language_model import load_language_model
from .readable import readable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from ...core.records import Float32Array

log = logging.getLogger(__name__)

TOKENS = 512
"""The longest passage where a model names no limit of its own."""

_BUDGET = {
    "cpu": 1024,
    "cuda": 8192,
}  # tokens of a batch; each has a logit a word of the vocabulary


class NeuralPerplexity:
    """Minus the mean negative log-likelihood of a passage's tokens, in nats: -log(perplexity).

    The same order as minus the perplexity, and finite for every text. ``model`` is a folder or
    org/name in safetensors. A causal model reads its start token first (its end token where it has
    no start, as GPT-2), which is not scored; without either, a passage's first token is not scored.
    A sequence-to-sequence model reads an empty input and has the passage as its target, with the
    end that its tokenizer adds. Where nothing is left to score, every word of the vocabulary counts
    as equally likely.

    A passage longer than the model's limit counts as its beginning; the first such passage is
    logged. Other company in a batch moves scores by 1e-5 of their size at most. On MS MARCO barely
    above chance (AUC .54 with GPT-2, .52 with T5; Chang et al. 2024). Raises as
    ``load_language_model`` does.
    """

    def __init__(self, model: str | Path, *, device: str = "cpu") -> None:
        self._loaded = load_language_model(
            "perplexity", model, device, lambda _model, _config: None
        )
        self._seq2seq = bool(self._loaded.network.config.is_encoder_decoder)
        self._room = self._loaded.limit(TOKENS)
        self._told = False
        self._nothing = self._encoded_nothing() if self._seq2seq else None
        made_of = {"perplexity": self._loaded.fingerprint, "tokens": self._room}
        self.card = QualityCard(f"perplexity ({self._loaded.name})", of_value(made_of))

    def score(self, texts: Sequence[str]) -> Float32Array:
        even = -math.log(self._loaded.network.config.vocab_size)
        scores = np.full(len(texts), even, np.float32)
        if not len(texts):
            return scores
        tokens = self._tokens([readable(text) for text in texts])
        counts = np.array([len(ids) for ids in tokens], np.int32)
        # a start token is context alone
        some = np.flatnonzero(counts > (0 if self._seq2seq else 1))
        budget = _BUDGET[self._loaded.device.partition(":")[0]]
        for batch in token_batches(counts[some], budget):
            rows = some[batch]
            scores[rows] = self._forward([tokens[row] for row in rows])
        return scores

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        """What is scored of each text; of a causal model, the start token stands before it."""
        tokenizer = self._loaded.tokenizer
        start = tokenizer.bos_token_id
        start = tokenizer.eos_token_id if start is None else start
        before = [] if self._seq2seq or start is None else [int(start)]
        encoded = tokenizer(texts, add_special_tokens=self._seq2seq, verbose=False)["input_ids"]
        self._tell(max(map(len, encoded)) + len(before))
        if self._seq2seq:
            return [self._ended(ids) for ids in encoded]
        return [before + ids[: self._room - len(before)] for ids in encoded]

    def _ended(self, ids: list[int]) -> list[int]:
        """At most as long as there is room; where the tokenizer adds an end, it stays the last."""
        if len(ids) <= self._room:
            return ids
        end = [ids[-1]] if ids[-1] == self._loaded.tokenizer.eos_token_id else []
        return ids[: self._room - len(end)] + end

    def _tell(self, longest: int) -> None:
        if longest > self._room and not self._told:
            self._told = True
            log.warning(
                "%s reads %d tokens: longer passages are scored by their beginning",
                self._loaded.name,
                self._room,
            )

    def _forward(self, batch: list[list[int]]) -> Float32Array:
        """[texts] float32, the mean log-likelihood of each."""
        import torch

        ids, mask = self._loaded.padded(batch)
        with torch.inference_mode():
            if self._seq2seq:
                logits, wanted, counted = self._of_targets(ids), ids, mask
            else:
                network = self._loaded.network
                logits = network(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
                wanted, counted = ids[:, 1:], mask[:, 1:]
            logits = logits.float()
            chosen = logits.gather(2, wanted[:, :, None])[:, :, 0]
            logs = (chosen - logits.logsumexp(dim=2)).double() * counted
            means: Float32Array = (logs.sum(dim=1) / counted.sum(dim=1)).float().cpu().numpy()
        return means

    def _of_targets(self, ids: Tensor) -> Tensor:
        """Logits [texts, tokens, vocabulary] of each target token, those before it given.

        The decoder looks back only, so what pads a shorter target is never seen.
        """
        import torch
        from transformers.modeling_outputs import BaseModelOutput

        network = self._loaded.network
        start = network.config.decoder_start_token_id
        start = network.config.pad_token_id if start is None else start
        first = torch.full((len(ids), 1), start or 0, device=ids.device)
        states = self._nothing
        assert states is not None
        logits: Tensor = network(
            encoder_outputs=BaseModelOutput(states.expand(len(ids), -1, -1)),
            decoder_input_ids=torch.cat([first, ids[:, :-1]], dim=1),
            use_cache=False,
        ).logits
        return logits

    def _encoded_nothing(self) -> Any:
        """[1, tokens, width]: what the encoder makes of an empty text, for all passages."""
        import torch

        tokenizer = self._loaded.tokenizer
        nothing = tokenizer("")["input_ids"] or [tokenizer.pad_token_id or 0]
        ids, mask = self._loaded.padded([nothing])
        with torch.inference_mode():
            encoder = self._loaded.network.get_encoder()
            return encoder(input_ids=ids, attention_mask=mask).last_hidden_state

"""Query likelihood: how well does a language model foresee the query, having read the passage?

Ponte and Croft's idea with a pretrained model: Sachan and others, "Improving Passage Retrieval with
Zero-Shot Question Generation" (arXiv 2204.07496) with sequence-to-sequence models; the
cross-encoder of Muennighoff, "SGPT" (arXiv 2202.08904), with causal ones, whose prompt is taken.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..core.errors import BadArguments
from .pair_batches import pair_batches
from .prompt_tokens import beginning, fitted
from .windows import Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ..core.protocols import Candidates
    from ..core.records import Float32Array

CAUSAL_PROMPT = 'The document "{passage}" is a good search result for "'
SEQ2SEQ_PROMPT = "{passage}"

_PLACE = "{passage}"
_ROOM = 512  # tokens, where neither tokenizer nor network says how many it reads
_BUDGET = {"cpu": 1024, "cuda": 16_384}  # tokens of a pass: logits are a vocabulary wide


class LanguageModel(Protocol):
    """A causal or sequence-to-sequence network of transformers, and its fast tokenizer."""

    network: Any
    tokenizer: Any
    name: str
    fingerprint: str

    def limit(self, otherwise: int) -> int:
        """The longest input in tokens, ``otherwise`` where nobody says."""
        ...

    def padded(self, batch: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids and mask [texts, longest] int64 on the model's device, padded on the right."""
        ...


class LikelihoodReranker:
    """Scores are log p(query | passage) in nats, the sum over the query's tokens: at most 0.

    ``prompt`` holds ``{passage}`` once and is what a causal model reads before the query, and what
    the encoder of a sequence-to-sequence model reads; by default CAUSAL_PROMPT or SEQ2SEQ_PROMPT.
    A causal model reads its start token first, where it has one. Neither prompt nor end is scored,
    so a query without a token scores 0. What is too long loses the end of its passage; a query
    is cut only where it fills more than half of the room. Other company in a batch moves scores by
    1e-5 of their size at most. ``words``, ``stride`` and ``combine`` are those of ``Windows``.
    BadArguments for a prompt without a place for the passage, or half a room behind it.
    """

    pointwise = True

    def __init__(
        self,
        *,
        language: LanguageModel,
        keep: int = 100,
        device: str = "cpu",
        prompt: str = "",
        words: int = 0,
        stride: int = 0,
        combine: str = "max",
    ) -> None:
        self._language = language
        self._seq2seq = bool(language.network.config.is_encoder_decoder)
        self._prompt = prompt or (SEQ2SEQ_PROMPT if self._seq2seq else CAUSAL_PROMPT)
        if self._prompt.count(_PLACE) != 1:
            raise BadArguments(f"prompt is {prompt!r}; expected {_PLACE} in it, once")
        self._windows = Windows(words, stride, combine)
        self._room = language.limit(_ROOM)
        self._check_prompt()
        self._budget = _BUDGET[device.partition(":")[0]]
        self._start = self._first_token()
        self._keeps_logits = (
            "logits_to_keep" in inspect.signature(language.network.forward).parameters
        )
        self.keep = keep
        self.name = f"likelihood ({language.name})"
        if device == "cpu":
            from ..kernels.packed_linear.onednn import pack_linears

            pack_linears(language.network)

    def _check_prompt(self) -> None:
        """What follows the passage is never cut, and a query may take half of the room."""
        after = self._prompt.partition(_PLACE)[2]
        own = self._language.tokenizer(after, add_special_tokens=False, verbose=False)["input_ids"]
        if len(own) >= self._room // 2:
            raise BadArguments(
                f"prompt goes on for {len(own)} tokens after {_PLACE}, of {self._room} that the "
                f"model reads: shorten that to fewer than {self._room // 2}"
            )

    @property
    def fingerprint(self) -> str:
        """Of the model's files, the prompt and the windows."""
        return f"{self._language.fingerprint} {self._prompt!r}{self._windows.mark}"

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """Log-likelihoods, one array a query; the pairs of all queries share the passes."""
        return self._windows.score(batch, self._of_texts)

    def _of_texts(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        if not batch:
            return []
        pairs = [pair for each in batch if each.passages for pair in self._pairs(each)]
        scores = np.zeros(len(pairs), np.float32)
        some = np.flatnonzero([len(query) for _, query in pairs])
        lengths = np.array([sum(map(len, pairs[row])) for row in some], np.int64)
        for rows in pair_batches(lengths, self._budget):
            scores[some[rows]] = self._forward([pairs[row] for row in some[rows]])
        return np.split(scores, np.cumsum([len(each.passages) for each in batch])[:-1])

    def _first_token(self) -> list[int]:
        """What stands before everything, which no causal model foresees."""
        tokenizer = self._language.tokenizer
        start = tokenizer.bos_token_id
        start = tokenizer.eos_token_id if start is None else start
        return [] if self._seq2seq or start is None else [int(start)]

    def _pairs(self, candidates: Candidates) -> list[tuple[list[int], list[int]]]:
        """Token ids of the prompt with each passage, and of the query."""
        tokenizer = self._language.tokenizer
        query = beginning(tokenizer, candidates.ranking.query.text, self._room // 2)
        asked = tokenizer(query, add_special_tokens=False, verbose=False)["input_ids"]
        before, _, after = self._prompt.partition(_PLACE)
        begun = [f"{before}{passage.full_text}" for passage in candidates.passages]
        found = tokenizer(
            [f"{text}{after}" for text in begun],
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        end = [tokenizer.eos_token_id] if self._seq2seq and tokenizer.eos_token_id else []
        room = self._room - len(self._start) - len(end) - (0 if self._seq2seq else len(asked))
        told = zip(begun, found["input_ids"], found["offset_mapping"], strict=True)
        return [
            (self._start + fitted(ids, offsets, len(text), room) + end, asked)
            for text, ids, offsets in told
        ]

    def _forward(self, pairs: Sequence[tuple[list[int], list[int]]]) -> Float32Array:
        """[pairs] float32; every query has a token."""
        import torch

        with torch.inference_mode():
            of = self._of_targets if self._seq2seq else self._of_continuations
            logits, wanted, counted = of(pairs)
            logits = logits.float()
            chosen = logits.gather(2, wanted[:, :, None])[:, :, 0]
            logs = (chosen - logits.logsumexp(dim=2)).double().masked_fill(~counted, 0)
            found: Float32Array = logs.sum(dim=1).float().cpu().numpy()
        return found

    def _of_continuations(
        self, pairs: Sequence[tuple[list[int], list[int]]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [pairs, tokens, vocabulary] of tokens, the tokens, and which are a query's.

        From the first place on that foresees a query's token in any pair of the batch.
        """
        import torch

        ids, mask = self._language.padded([prompt + query for prompt, query in pairs])
        begins = [max(len(prompt), 1) for prompt, _ in pairs]
        first, width = min(begins), ids.shape[1]
        fewer = {"logits_to_keep": width - first + 1} if self._keeps_logits else {}
        logits = self._language.network(
            input_ids=ids, attention_mask=mask, use_cache=False, **fewer
        ).logits
        places = torch.arange(first, width, device=ids.device)
        counted = (places >= torch.tensor(begins, device=ids.device)[:, None]) & (
            mask[:, first:] > 0
        )
        return logits[:, -(width - first + 1) : -1], ids[:, first:], counted

    def _of_targets(
        self, pairs: Sequence[tuple[list[int], list[int]]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same of a decoder that has to say the query; it looks back only."""
        import torch

        config = self._language.network.config
        ids, mask = self._language.padded([prompt for prompt, _ in pairs])
        wanted, counted = self._language.padded([query for _, query in pairs])
        start = config.decoder_start_token_id
        start = config.pad_token_id if start is None else start
        first = torch.full((len(pairs), 1), start or 0, device=ids.device)
        logits = self._language.network(
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=torch.cat([first, wanted[:, :-1]], dim=1),
            use_cache=False,
        ).logits
        return logits, wanted, counted > 0

"""Questions by any sequence-to-sequence model of transformers, as doc2query makes them."""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from ....core.errors import BadArguments, BadData
from ....core.hub import load_model
from ....kernels.device import check_device
from ...model_files import model_folder
from ...token_batches import token_batches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from ....core.records import Passage

_PASSAGE_TOKENS = 512
_QUESTION_TOKENS = 64
_BUDGET = {"cpu": 4096, "cuda": 65536}  # tokens of a batch, each passage counted n times
_MARKS = ("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id")
_PICKLED = "pytorch_model.bin"


class Seq2SeqQuestions:
    """A model by hub name or local folder, such as doc2query/msmarco-t5-base-v1.

    It reads a passage's title and text, after ``prefix``, cut at 512 tokens, and samples questions
    of at most 64 from the ``top_k`` likeliest tokens of each step: the numbers of Nogueira and Lin
    2019, "From doc2query to docTTTTTquery". Weights are read from safetensors only; code that lies
    in a model folder is never run. MissingResource when the model cannot be had, BadData for one
    that is no encoder with a decoder, BadArguments when the device is not there.

    What is drawn depends on the seed, the passage's id and the question's number, not on the batch.
    """

    def __init__(
        self, model: str | Path, *, prefix: str = "", top_k: int = 10, device: str = "cpu"
    ) -> None:
        if top_k < 1:
            raise BadArguments(f"top_k is {top_k}; expected 1 or more tokens to choose from")
        self._prefix = prefix
        self._top_k = top_k
        self._device = device
        self._model, self._tokenizer = _load(str(model), device)

    def questions(self, passages: Sequence[Passage], n: int, seed: int) -> list[list[str]]:
        """See ``QuestionGenerator``."""
        if n < 1 or not passages:
            return [[] for _ in passages]
        encoded = self._tokenizer(
            [self._prefix + passage.full_text for passage in passages],
            truncation=True,
            max_length=_PASSAGE_TOKENS,
        )["input_ids"]
        lengths = np.array([len(ids) for ids in encoded], np.int32)
        found: list[list[str]] = [[] for _ in passages]
        budget = max(1, _BUDGET[self._device.partition(":")[0]] // n)
        for rows in token_batches(lengths, budget):
            seeds = [_noise_seed(seed, passages[row].id, i) for row in rows for i in range(n)]
            texts = self._sampled([encoded[row] for row in rows], n, seeds)
            for place, row in enumerate(rows):
                own = (" ".join(text.split()) for text in texts[place * n : (place + 1) * n])
                found[row] = list(dict.fromkeys(filter(None, own)))
        return found

    def _sampled(self, batch: list[list[int]], n: int, seeds: list[int]) -> list[str]:
        """n texts for each passage; the passage itself is encoded once."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList
        from transformers.modeling_outputs import BaseModelOutput

        ids, mask = self._padded(batch)
        habits = self._model.generation_config
        settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=_QUESTION_TOKENS,
            do_sample=False,
            num_beams=1,
            **{name: getattr(habits, name) for name in _MARKS},
        )
        with torch.inference_mode():
            states = self._model.get_encoder()(ids, attention_mask=mask).last_hidden_state
            outputs = self._model.generate(
                encoder_outputs=BaseModelOutput(states.repeat_interleave(n, 0)),
                attention_mask=mask.repeat_interleave(n, 0),
                logits_processor=LogitsProcessorList([_Draws(self._top_k, seeds)]),
                generation_config=settings,
            )
        texts: list[str] = self._tokenizer.batch_decode(outputs, skip_special_tokens=True)
        return texts

    def _padded(self, batch: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Ids and mask [passages, longest], padded on the right."""
        import torch

        shape = len(batch), max(map(len, batch))
        ids = np.full(shape, self._tokenizer.pad_token_id, np.int64)
        mask = np.zeros(shape, np.int64)
        for row, own in enumerate(batch):
            ids[row, : len(own)] = own
            mask[row, : len(own)] = 1
        return torch.from_numpy(ids).to(self._device), torch.from_numpy(mask).to(self._device)


class _Draws:
    """Makes greedy decoding a sampler: the largest of logits plus Gumbel noise is a draw from their
    softmax. Each row has noise of its own, so that it draws the same in any batch."""

    def __init__(self, top_k: int, seeds: list[int]) -> None:
        self._top_k = top_k
        self._random = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """scores [rows, vocabulary] to the same, minus infinity outside the best ``top_k``."""
        import torch

        del input_ids
        best, places = scores.float().topk(min(self._top_k, scores.shape[1]), dim=1)
        even = np.stack([random.random(best.shape[1]) for random in self._random])
        noise = torch.from_numpy(-np.log(-np.log(even + 1e-12) + 1e-12)).to(best)
        return torch.full_like(scores, -torch.inf).scatter(1, places, (best + noise).to(scores))


def _noise_seed(seed: int, passage: str, number: int) -> int:
    said = repr((seed, passage, number)).encode("utf-8", "backslashreplace")
    return int.from_bytes(blake2b(said, digest_size=16).digest(), "little")


def _load(model: str, device: str) -> tuple[Any, Any]:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    check_device(device)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    only = {"local_files_only": True, "trust_remote_code": False}

    def from_folder(local: bool) -> tuple[Any, Any]:
        folder = model_folder(model, local=local, code=False)
        config = AutoConfig.from_pretrained(folder, **only)
        _check(model, folder, config)
        tokenizer = AutoTokenizer.from_pretrained(folder, **only)
        if tokenizer.pad_token_id is None:
            raise BadData(f"the tokenizer of {model} has no pad_token; add one and save it again")
        found = AutoModelForSeq2SeqLM.from_pretrained(folder, use_safetensors=True, **only)
        return found.eval().to(device), tokenizer

    return load_model(
        "question generator",
        model,
        from_folder,
        "name a local folder with safetensors weights, or go online once to fetch it",
    )


def _check(model: str, folder: Path, config: Any) -> None:
    if not getattr(config, "is_encoder_decoder", False):
        raise BadData(
            f"{model} is a {config.model_type}, which has no encoder and decoder; expected a "
            f"sequence-to-sequence model such as T5"
        )
    if (folder / _PICKLED).is_file() and not any(folder.glob("*.safetensors")):
        raise BadData(
            f"{folder / _PICKLED} is a pickle, and only safetensors are read; load the model with "
            f"transformers and save it again"
        )

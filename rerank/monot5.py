"""monoT5: a sequence-to-sequence model is asked whether a passage is relevant, true or false.

Nogueira, Jiang, Pradeep and Lin, "Document Ranking with a Pretrained Sequence-to-Sequence Model"
(arXiv 2003.06713); prompt and score as in castorini/pygaggle.
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import BadData, MissingResource
from ..core.hub import load_model
from ..kernels.device import check_device
from .model_files import model_folder, of_model
from .pair_batches import pair_batches
from .prompt_tokens import beginning, fitted
from .windows import Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ..core.protocols import Candidates
    from ..core.records import Float32Array

DEFAULT_MODEL = "castorini/monot5-base-msmarco"
ROOM = 512
"""Tokens of a prompt, its end sign included, where the tokenizer does not say."""

_BUDGET = {"cpu": 4096, "cuda": 65_536}  # tokens of a forward pass, padding included
_KINDS = ("t5", "mt5", "umt5")
_WAY_OUT = (
    "go online once to fetch it, or name a local folder with safetensors weights: "
    "--rerank monot5=FOLDER"
)


class MonoT5Reranker:
    """Any T5 by hub name or local folder, with safetensors and a fast tokenizer.

    Scores are the logit of true minus that of false at the decoder's first step, for which two
    rows of the output layer are computed. Its sigmoid is the paper's probability, which would
    round the best candidates to one. They depend on the pair alone; company in a
    batch moves them by 1e-4 at most. A prompt that is too long loses the end of its passage, and
    of its query only what fills more than half of the room. ``positive`` and ``negative`` are
    the words of the answer, each one token for the model. ``words``, ``stride`` and ``combine``
    read a passage through windows, as ``Windows`` says.

    ``score`` raises MissingResource when the model cannot be had, BadData when it is no T5 or a
    word is not one token, BadArguments when the device is not there.
    """

    pointwise = True

    def __init__(
        self,
        *,
        model: str | Path = DEFAULT_MODEL,
        keep: int = 100,
        device: str = "cpu",
        positive: str = "true",
        negative: str = "false",
        words: int = 0,
        stride: int = 0,
        combine: str = "max",
    ) -> None:
        self._named = str(model)
        self._device = device
        self._words = (positive, negative)
        self._windows = Windows(words, stride, combine)
        self.keep = keep
        self.name = "monot5" if self._named == DEFAULT_MODEL else f"monot5 ({Path(model).name})"

    def prepare(self) -> None:
        """Load the model now; raises what ``score`` would."""
        _ = self._model

    @cached_property
    def fingerprint(self) -> str:
        """Of the model's files, the two words and the windows."""
        return f"{of_model(self._named)} {self._words!r}{self._windows.mark}"

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """Log-odds of true, one array a query; the pairs of all queries share the passes."""
        return self._windows.score(batch, self._of_texts)

    def _of_texts(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        if not batch:
            return []
        prompts = [prompt for each in batch if each.passages for prompt in self._prompts(each)]
        ends = np.cumsum([len(each.passages) for each in batch])
        return np.split(self._answers(prompts), ends[:-1])

    @cached_property
    def _model(self) -> _Loaded:
        return _load(self._named, self._device, self._words)

    def _prompts(self, candidates: Candidates) -> list[list[int]]:
        """Token ids of ``Query: q Document: d Relevant:`` and the end sign, one a passage."""
        tokenizer, room = self._model.tokenizer, self._model.room
        query = beginning(tokenizer, candidates.ranking.query.text, room // 2)
        begun = [f"Query: {query} Document: {each.full_text}" for each in candidates.passages]
        found = tokenizer(
            [f"{text} Relevant:" for text in begun],
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        told = zip(begun, found["input_ids"], found["offset_mapping"], strict=True)
        return [
            [*fitted(ids, offsets, len(text), room - 1), tokenizer.eos_token_id]
            for text, ids, offsets in told
        ]

    def _answers(self, prompts: Sequence[Sequence[int]]) -> Float32Array:
        """[prompts] float32."""
        scores = np.empty(len(prompts), np.float32)
        lengths = np.array([len(prompt) for prompt in prompts], np.int64)
        for rows in pair_batches(lengths, _BUDGET[self._device.partition(":")[0]]):
            scores[rows] = self._forward([prompts[row] for row in rows])
        return scores

    def _forward(self, prompts: Sequence[Sequence[int]]) -> Float32Array:
        """Padded on the right, which T5's relative positions and its mask make invisible."""
        import torch

        width = max(map(len, prompts))
        ids = np.full((len(prompts), width), self._model.padding, np.int64)
        mask = np.zeros((len(prompts), width), np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = prompt
            mask[row, : len(prompt)] = 1
        start = np.full((len(prompts), 1), self._model.start, np.int64)
        with torch.inference_mode():
            given = [torch.from_numpy(each).to(self._device) for each in (ids, mask, start)]
            logits = self._model.two_rows(*given)
            answers: Float32Array = (logits[:, 0] - logits[:, 1]).float().cpu().numpy()
        return answers


class _Loaded:
    """A T5 whose output layer has two rows, true first; ``room`` is in tokens of a prompt."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self.tokenizer = tokenizer
        self.padding = int(model.config.pad_token_id or 0)
        self.start = int(model.config.decoder_start_token_id or 0)
        limit = int(tokenizer.model_max_length)
        self.room = limit if 0 < limit < 1_000_000 else ROOM

    def two_rows(self, ids: Tensor, mask: Tensor, start: Tensor) -> Tensor:
        """[n, 2] logits of the decoder's first step."""
        found = self._model(
            input_ids=ids, attention_mask=mask, decoder_input_ids=start, use_cache=False
        )
        logits: Tensor = found.logits[:, 0]
        return logits


def _load(named: str, device: str, words: tuple[str, str]) -> _Loaded:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    check_device(device)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    def from_folder(local: bool) -> tuple[Any, Any]:
        folder = model_folder(named, local=local)
        _check_kind(named, folder)
        model = AutoModelForSeq2SeqLM.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
        )
        return model, AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )

    model, tokenizer = load_model("T5 model", named, from_folder, _WAY_OUT)
    if not tokenizer.is_fast:
        raise BadData(f"{named} has no fast tokenizer; expected a tokenizer.json in its folder")
    model = model.eval()
    rows = [_one_token(named, tokenizer, word) for word in words]
    head = torch.nn.Linear(model.config.d_model, 2, bias=False)
    with torch.no_grad():
        head.weight.copy_(model.lm_head.weight[rows])
    model.lm_head = head
    if device == "cpu":
        from ..kernels.packed_linear.onednn import pack_linears

        pack_linears(model)
    return _Loaded(model.to(device), tokenizer)


def _check_kind(named: str, folder: Path) -> None:
    """No code of the folder is run, and nothing but a T5 reads the prompt as it should."""
    try:
        kind = json.loads((folder / "config.json").read_bytes()).get("model_type")
    except FileNotFoundError:
        raise MissingResource(f"{folder} has no config.json: it is no model; {_WAY_OUT}") from None
    except (ValueError, AttributeError) as failure:
        raise BadData(f"{folder / 'config.json'} is no description of a model: {failure}") from None
    if kind not in _KINDS:
        raise BadData(f"{named} is a {kind!r} model; expected one of {', '.join(_KINDS)}")


def _one_token(named: str, tokenizer: Any, word: str) -> int:
    """The id of a word that is one token at the beginning of an answer."""
    ids = tokenizer(word, add_special_tokens=False)["input_ids"]
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        pieces = tokenizer.convert_ids_to_tokens(ids)
        raise BadData(f"{word!r} is {pieces} for {named}; expected a word that is one token")
    return int(ids[0])

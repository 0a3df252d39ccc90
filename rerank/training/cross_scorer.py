"""A cross-encoder in training: pairs tokenised once, scored with gradients."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.errors import BadArguments, BadData
from ...core.hub import load_model
from ..model_files import model_folder
from ..pair_batches import pair_batches
from ..pair_tokens import PairTokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from ...core.protocols import Candidates
    from ...core.records import Float32Array, Int64Array, Passage

_TOKENS = 2048  # of a forward pass, padding included
_WAY_OUT = "go online once to fetch it, or name a local folder with safetensors weights"


class CrossScorer:
    """``model`` gives one logit a pair, ``tokenizer`` is a fast one of transformers.

    A query is cut after ``query_pieces`` tokens, a passage after ``passage_pieces``. A score
    depends on the pair alone, to 1e-5. BadArguments for pairs that the model cannot read whole.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        query_pieces: int = 32,
        passage_pieces: int = 224,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self._cuts = query_pieces, passage_pieces
        added = tokenizer.num_special_tokens_to_add(pair=True)
        self.room = query_pieces + passage_pieces + added
        config: Any = model.config
        limit = int(getattr(config, "max_position_embeddings", 0) or self.room)
        if self.room > limit:
            raise BadArguments(
                f"query_pieces {query_pieces} and passage_pieces {passage_pieces} make pairs of "
                f"{self.room} tokens with {added} special ones; the model reads {limit}"
            )
        self._tokens = PairTokens(tokenizer, self.room)

    @classmethod
    def begin(cls, start: str, *, layers: int = 0, **reads: Any) -> CrossScorer:
        """From an encoder's or a cross-encoder's weights, in safetensors; a head that is not there
        is drawn from torch's generator. The first ``layers`` are kept, 0 for all.

        MissingResource when the model cannot be had, BadData for a head of several classes and a
        tokenizer that is not fast, BadArguments for more layers than there are.
        """
        model, tokenizer = load_model(
            "model", start, lambda local: _load(start, local), f"{_WAY_OUT} as start"
        )
        if not tokenizer.is_fast:
            raise BadData(f"{start} has no fast tokenizer; expected a tokenizer.json in its folder")
        if layers:
            _keep(model, layers)
        return cls(model, tokenizer, **reads)

    def read_queries(self, texts: Sequence[str]) -> list[Any]:
        return self._tokens.read(texts, self._cuts[0])

    def read_passages(self, passages: Sequence[Passage]) -> list[Any]:
        return self._tokens.read([each.full_text for each in passages], self._cuts[1])

    def __call__(
        self, queries: Sequence[Any], passages: Sequence[Any], asked: Int64Array
    ) -> Tensor:
        """[passages] float32; pairs of like length share a forward pass."""
        pairs = [
            self._tokens.joined(queries[row], passage)
            for row, passage in zip(asked, passages, strict=True)
        ]
        lengths = np.array([len(each["input_ids"]) for each in pairs], np.int64)
        groups = list(pair_batches(lengths, _TOKENS))
        if not groups:
            return torch.zeros(0)
        scores = []
        for rows in groups:
            padded = self.tokenizer.pad([pairs[row] for row in rows], return_tensors="pt")
            scores.append(self.model(**padded).logits[:, 0].float())
        places = torch.from_numpy(np.argsort(np.concatenate(groups), kind="stable"))
        return torch.cat(scores)[places]

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """One array a query, a score a passage. Dropout is as the model has it."""
        queries = self.read_queries([each.ranking.query.text for each in batch])
        passages = self.read_passages([passage for each in batch for passage in each.passages])
        sizes = np.array([len(each.passages) for each in batch], np.int64)
        with torch.inference_mode():
            scores: Float32Array = self(
                queries, passages, np.repeat(np.arange(len(batch)), sizes)
            ).numpy()
        return np.split(scores, np.cumsum(sizes)[:-1]) if len(batch) else []


def _load(start: str, local: bool) -> tuple[Any, Any]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = model_folder(start, local=local)
    only = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _without_report():
            model = AutoModelForSequenceClassification.from_pretrained(
                folder, num_labels=1, use_safetensors=True, dtype=torch.float32, **only
            )
    except RuntimeError as failure:
        raise BadData(f"{start} has no head of one score: {failure}") from None
    return model, AutoTokenizer.from_pretrained(folder, **only)


@contextmanager
def _without_report() -> Iterator[None]:
    """transformers tells at length that the head is new, which is what was asked for."""
    from transformers.utils import logging as told

    before = told.get_verbosity()
    told.set_verbosity(logging.ERROR)
    told.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        told.set_verbosity(before)


def _keep(model: Any, layers: int) -> None:
    """The first layers of a body that has them as BERT has."""
    body = getattr(model.base_model, "encoder", None)
    found = getattr(body, "layer", None)
    if not isinstance(found, torch.nn.ModuleList) or len(found) < layers:
        has = len(found) if isinstance(found, torch.nn.ModuleList) else "no list of"
        raise BadArguments(f"layers is {layers}, and {type(model).__name__} has {has} layers")
    assert body is not None
    body.layer = found[:layers]
    model.config.num_hidden_layers = layers

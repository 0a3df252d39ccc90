"""A language model of transformers, loaded and checked, as quality models here ask it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import BadData
from ...core.hub import load_model
from ...kernels.device import check_device
from ..model_files import fingerprint_of_model, model_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

_HEADS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForSeq2SeqLM")
_SANE = 1_000_000  # a tokenizer that knows no limit says 10**30


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """The network in float32, ready to answer, and its fast tokenizer.

    ``name`` is the last part of a path or hub name; ``fingerprint`` is that of all its files.
    """

    network: Any
    tokenizer: Any
    name: str
    fingerprint: str
    device: str

    def limit(self, otherwise: int) -> int:
        """The longest input in tokens, as the tokenizer or the network says it."""
        said = [
            getattr(self.tokenizer, "model_max_length", 0),
            getattr(self.network.config, "max_position_embeddings", 0),
            getattr(self.network.config, "n_positions", 0),
        ]
        return int(min([tokens for tokens in said if 0 < (tokens or 0) < _SANE], default=otherwise))

    def padded(self, batch: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Token ids and mask [texts, longest] int64, padded on the right: positions never move."""
        import torch

        shape = len(batch), max(map(len, batch))
        ids = np.full(shape, self.tokenizer.pad_token_id or 0, np.int64)
        mask = np.zeros(shape, np.int64)
        for row, own in enumerate(batch):
            ids[row, : len(own)] = own
            mask[row, : len(own)] = 1
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)


def load_language_model(
    kind: str, model: str | Path, device: str, check: Callable[[str, Any], None]
) -> LanguageModel:
    """A causal or sequence-to-sequence model from a folder or by org/name.

    ``kind`` names the quality model in messages; ``check(name, config)`` refuses what it cannot
    use, before any weight is read. Weights come from safetensors only, and code that lies in a
    model folder is never run. Raises MissingResource when it cannot be had, BadData for pickled or
    missing weights, for a model without a language head and for a tokenizer that is not a fast one,
    BadArguments when the device is not there.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from transformers.utils import logging

    check_device(device)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return load_model(
        f"model of {kind}",
        str(model),
        lambda local: _from_folder(kind, str(model), local, device, check),
        "name a local folder with safetensors weights, or go online once to fetch it",
    )


def _from_folder(
    kind: str, model: str, local: bool, device: str, check: Callable[[str, Any], None]
) -> LanguageModel:
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
    )

    folder = model_folder(model, local=local, code=False)
    only = {"local_files_only": True, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(folder, **only)
    _check_head(kind, model, config)
    check(model, config)
    _check_weights(model, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, **only)
    if not tokenizer.is_fast:
        raise BadData(
            f"{model} comes with a {type(tokenizer).__name__}; expected a fast tokenizer: load it "
            f"with transformers' AutoTokenizer and save it again as tokenizer.json"
        )
    auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    network, told = auto.from_pretrained(
        folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **only
    )
    if missing := sorted(told["missing_keys"]):
        raise BadData(
            f"{model} lacks {len(missing)} weights of a {type(network).__name__}, "
            f"{missing[0]!r} the first; expected a whole checkpoint with its language head"
        )
    return LanguageModel(
        network.eval().to(device),
        tokenizer,
        Path(model).name or model,
        fingerprint_of_model(folder)[0],
        device,
    )


def _check_head(kind: str, model: str, config: Any) -> None:
    heads = getattr(config, "architectures", None) or []
    if heads and not any(head.endswith(_HEADS) for head in heads):
        raise BadData(
            f"{model} is a {', '.join(heads)}, which foresees no next word; {kind} expects a "
            f"causal or sequence-to-sequence language model"
        )


def _check_weights(model: str, folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    found = f"holds {pickled[0]}, which is a pickle" if pickled else "holds no model.safetensors"
    raise BadData(
        f"{model} {found}, and only safetensors are read; tamis convert makes a folder with "
        f"safetensors of one with pytorch_model.bin"
    )

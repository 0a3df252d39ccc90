"""The first module of a sentence-transformers model: a text model of ours with its tokenizer.

``modules.json`` of a saved folder names the class below, so its place is part of the format.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

try:
    from sentence_transformers.base.modules import InputModule
except ImportError:  # below 5.4
    from sentence_transformers.models import (  # type: ignore[import-not-found, no-redef]
        InputModule,
    )

from ...core.errors import MissingResource
from ...kernels.packing import pack_lengths
from ..word_pieces import WordPieces
from .kinds import CONFIG, TOKENIZER, WEIGHTS
from .model_folder import write_files
from .stored_model import read_model
from .text_model import model_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer

    from .text_model import TextModel


class TamisModule(InputModule):
    """Texts to ``sentence_embedding`` [n, dim], the vectors of ``RecurrentEncoder``.

    The prompt is put before each text without a space, and counts as part of it.
    """

    save_in_root = True

    def __init__(self, model: TextModel, pieces: WordPieces) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model: TextModel = model
        self.pieces = pieces

    @property
    def tokenizer(self) -> Tokenizer:  # type: ignore[override]
        """A copy, to look at: the model's own is fixed."""
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.pieces.to_json())

    def preprocess(  # type: ignore[override]  # texts only
        self, inputs: Sequence[str], prompt: str | None = None, **kwargs: Any
    ) -> dict[str, torch.Tensor]:
        """``input_ids`` and ``attention_mask`` [n, longest], padded on the right."""
        del kwargs
        found = self.pieces.pack(inputs, prompt or "", self.model.spec.max_length)
        lengths = torch.from_numpy(np.diff(found.bounds))
        longest = int(lengths.max()) if len(lengths) else 0
        mask = torch.arange(longest) < lengths[:, None]
        ids = torch.zeros(mask.shape, dtype=torch.long)
        ids[mask] = torch.from_numpy(found.ids).long()
        return {"input_ids": ids, "attention_mask": mask.long()}

    def tokenize(self, texts: Sequence[str], **kwargs: Any) -> dict[str, torch.Tensor]:
        """The name of ``preprocess`` below sentence-transformers 5.4."""
        return self.preprocess(texts, **kwargs)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        del kwargs
        mask = features["attention_mask"].bool()
        packed = pack_lengths(mask.sum(1).tolist(), mask.device)
        features["sentence_embedding"] = self.model(features["input_ids"][mask], packed)
        return features

    @property
    def max_seq_length(self) -> int | None:
        """In tokens; None when nothing is ever cut."""
        return self.model.spec.max_length or None

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        self.model.spec = self.model.spec.cut_at(value or 0)

    def get_embedding_dimension(self) -> int:
        return self.model.spec.dim

    def get_sentence_embedding_dimension(self) -> int:
        """The name of ``get_embedding_dimension`` below sentence-transformers 5.4."""
        return self.model.spec.dim

    def get_config_dict(self) -> dict[str, Any]:
        return self.model.spec.to_json()

    def save(
        self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any
    ) -> None:
        """Always safetensors: ``safe_serialization`` is here because callers pass it."""
        del args, safe_serialization, kwargs
        write_files(Path(output_path), model_files(self.model, self.pieces))

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        init_defaults: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> TamisModule:
        """From a local folder, or from the hub; the other arguments are sentence-transformers'."""
        del init_defaults, kwargs
        paths = [
            cls.load_file_path(
                model_name_or_path,
                filename=name,
                subfolder=subfolder,
                token=token,
                cache_folder=cache_folder,
                revision=revision,
                local_files_only=local_files_only,
            )
            for name in (CONFIG, TOKENIZER, WEIGHTS)
        ]
        if paths[0] is None:
            raise MissingResource(f"{model_name_or_path} has no {CONFIG}: no model of tamis")
        folder = Path(paths[0]).parent
        return cls(read_model(folder), WordPieces(folder / TOKENIZER))

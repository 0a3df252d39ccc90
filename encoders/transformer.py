"""Any sentence-transformers model as an encoder, fed by token budget instead of by 32 texts.

What a text means to the model (prompts, pooling, normalisation, maximum length) stays
sentence-transformers' own; only the batching is ours.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..core.errors import BadArguments, BadData
from ..core.fingerprints import of_value
from ..core.hub import load_model
from ..core.protocols import Encoded, Encoder, EncoderCard, TokenVectors
from ..kernels.device import check_device
from .model_files import fingerprint_of_model, model_folder
from .token_batches import token_batches
from .unit_rows import unit_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ..core.protocols import Role
    from ..core.records import Float32Array, Int32Array

_CHUNK = 4096  # texts that are tokenised together, while the model works on the chunk before
_BUDGET = {"cpu": 2048, "cuda": 65536}  # tokens of a batch, measured: see benchmarks/encode.py
_PROMPTS = {"query": ("query",), "passage": ("document", "passage", "corpus")}
_HARMLESS_MODULES = "sentence_transformers."
_PICKLED = "pytorch_model.bin"
_OWN_PREPARATION = ("query_length", "document_length", "query_expansion", "processing_kwargs")
"""Settings by which sentence-transformers' Transformer changes what the tokenizer makes."""


class TransformerEncoder(Encoder):
    """A sentence-transformers model, by hub name or local path.

    Vectors equal ``SentenceTransformer.encode_query`` and ``encode_document`` to 1e-5; those of a
    model whose similarity is cosine (sentence-transformers' default) but which does not normalise
    are brought to unit length, as an index ranks by inner product. BadData for euclidean and
    manhattan. ``precision="bf16"`` multiplies in bfloat16 (1.6 times faster on a CPU that has it;
    cosine to the exact vector .99998). Weights are read from safetensors only; code that lies in a
    model folder is run only when ``trust_remote_code`` is set. MissingResource when the model
    cannot be had.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        name: str | None = None,
        device: str = "cpu",
        precision: Literal["fp32", "bf16"] = "fp32",
        trust_remote_code: bool = False,
    ) -> None:
        self._precision = precision
        self._trusted = trust_remote_code
        self._model, self._folder = _load(str(model), device, trust_remote_code)
        if device == "cpu" and precision == "fp32":
            self._pack()
        self._device = device
        self._similarity = _similarity(self._model)
        self._prefix = {role: self._prompt(role) for role in _PROMPTS}
        self._tokenizer: Any = _fast_tokenizer(self._model, self._prefix.values())
        self._card = self._describe(name or str(model))

    @property
    def card(self) -> EncoderCard:
        return self._card

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        if self._tokenizer is None:
            return self._slow_counts(texts, role)
        return self._tokenize(texts, role)[1]

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        vectors = np.zeros((len(texts), self._card.dim), np.float32)
        tokens = np.empty(len(texts), np.int32)
        if self._tokenizer is None:
            if len(texts):
                vectors[:] = self._slow_vectors(texts, role)
            return Encoded(self._scaled(vectors), self._slow_counts(texts, role))
        for start, encodings, counts in self._tokenized_chunks(texts, role):
            kept = np.array([len(encoding.ids) for encoding in encodings], np.int32)
            tokens[start : start + len(counts)] = counts
            for rows in token_batches(kept, _BUDGET[self._device.partition(":")[0]]):
                if kept[rows[0]]:  # a text without any token, as "" may be, stays the zero vector
                    vectors[start + rows] = self._forward([encodings[row] for row in rows])
        return Encoded(self._scaled(vectors), tokens)

    def encode_tokens(self, texts: Sequence[str], role: Role) -> TokenVectors:
        """The last layer's states of a text's tokens, as ``TokenEncoder`` says.

        BadArguments for a model that sentence-transformers has to prepare texts for.
        """
        if self._tokenizer is None:
            raise BadArguments(
                f"{self._card.name} gives no vectors of single tokens: it has no plain transformer "
                f"with a fast tokenizer; name another encoder"
            )
        found: dict[int, Float32Array] = {}
        for start, encodings, _ in self._tokenized_chunks(texts, role):
            kept = np.array([len(encoding.ids) for encoding in encodings], np.int32)
            for rows in token_batches(kept, _BUDGET[self._device.partition(":")[0]]):
                some = [encodings[row] for row in rows] if kept[rows[0]] else []
                states = (
                    self._outputs(some)["token_embeddings"].float().cpu().numpy() if some else ()
                )
                for row, encoding, own in zip(rows.tolist(), some, states, strict=False):
                    inner = ~np.array(encoding.special_tokens_mask, bool)
                    found[start + row] = own[: len(inner)][inner]
        empty = np.empty((0, self._card.dim), np.float32)
        each = [found.get(place, empty) for place in range(len(texts))]
        lengths = np.array([len(own) for own in each], np.int64)
        vectors = np.concatenate(each or [empty])
        return TokenVectors(unit_rows(vectors), lengths)

    @property
    def reads_plainly(self) -> bool:
        """Whether texts go through a fast tokenizer straight into a transformer."""
        return self._tokenizer is not None

    @property
    def padding(self) -> int:
        """The padding token's id."""
        return int(self._tokenizer.pad_token_id)

    @property
    def model_inputs(self) -> Sequence[str]:
        """What the transformer reads beside ids, by name."""
        names: Sequence[str] = self._tokenizer.model_input_names
        return names

    def tokenized(self, text: str, role: Role) -> Any:
        """The Rust encoding of one text, prefix and special tokens in it, cut as always."""
        return self._tokenize([text], role)[0][0]

    def unpacked(self) -> Any:
        """Another copy of the model that takes gradients; the encoder's own may not."""
        return _load(str(self._folder), self._device, self._trusted)[0]

    def _pack(self) -> None:
        """Lay weights out for inference: the model can no longer be trained or saved."""
        from ..kernels.packed_linear.onednn import pack_linears

        pack_linears(self._model)

    def _scaled(self, vectors: Float32Array) -> Float32Array:
        """Unit length where cosine is meant; a no-op after a model's own normalisation."""
        return vectors if self._similarity == "dot" else unit_rows(vectors)

    def _tokenized_chunks(
        self, texts: Sequence[str], role: Role
    ) -> Iterator[tuple[int, list[Any], Int32Array]]:
        """Chunks in order; while the caller works on one, a thread tokenises the next."""
        starts = range(0, len(texts), _CHUNK)
        with ThreadPoolExecutor(1, "tokenize") as thread:
            ahead = None
            for start in starts:
                now = ahead or thread.submit(self._tokenize, texts[start : start + _CHUNK], role)
                following = texts[start + _CHUNK : start + 2 * _CHUNK]
                ahead = thread.submit(self._tokenize, following, role) if following else None
                yield start, *now.result()

    def _tokenize(self, texts: Sequence[str], role: Role) -> tuple[list[Any], Int32Array]:
        """The Rust encodings, cut to the maximum length, and each text's length before the cut."""
        tokenizer = self._tokenizer
        backend = tokenizer.backend_tokenizer
        backend.no_padding()
        if self._max_length():
            backend.enable_truncation(self._max_length(), direction=tokenizer.truncation_side)
        else:
            backend.no_truncation()
        prefix = self._prefix[role]
        encodings = backend.encode_batch([prefix + text for text in texts])
        special = tokenizer.num_special_tokens_to_add()
        counts = [
            len(encoding.ids) + sum(len(more.ids) - special for more in encoding.overflowing)
            for encoding in encodings
        ]
        return encodings, np.array(counts, np.int32)

    def _forward(self, encodings: list[Any]) -> Float32Array:
        """Vectors of one batch, [len(encodings), dim]."""
        out: Float32Array = self._outputs(encodings)["sentence_embedding"].float().cpu().numpy()
        return out

    def _outputs(self, encodings: list[Any]) -> dict[str, Any]:
        """All that sentence-transformers' modules make of one batch.

        Padded on the right, whatever the tokenizer's habit: padding on the left moves the positions
        of a text's tokens, so that its vector would depend on what it was batched with.
        """
        import torch

        width = max(len(encoding.ids) for encoding in encodings)
        wanted = self._tokenizer.model_input_names
        features = {"input_ids": np.full((len(encodings), width), self._tokenizer.pad_token_id)}
        features["attention_mask"] = np.zeros((len(encodings), width), np.int64)
        if "token_type_ids" in wanted:
            features["token_type_ids"] = np.zeros((len(encodings), width), np.int64)
        for row, encoding in enumerate(encodings):
            n = len(encoding.ids)
            features["input_ids"][row, :n] = encoding.ids
            features["attention_mask"][row, :n] = 1
            if "token_type_ids" in wanted:
                features["token_type_ids"][row, :n] = encoding.type_ids
        half = torch.autocast(
            self._device.partition(":")[0], torch.bfloat16, enabled=self._precision == "bf16"
        )
        with torch.inference_mode(), half:
            tensors = {key: torch.from_numpy(x).to(self._device) for key, x in features.items()}
            outputs: dict[str, Any] = self._model(tensors)
        return outputs

    def _slow_vectors(self, texts: Sequence[str], role: Role) -> Float32Array:
        """Through sentence-transformers' own loop: for models without a fast tokenizer."""
        call = self._model.encode_query if role == "query" else self._model.encode_document
        vectors: Float32Array = call(list(texts), show_progress_bar=False)
        return vectors

    def _slow_counts(self, texts: Sequence[str], role: Role) -> Int32Array:
        """Lengths before any cut; special tokens count where the model adds them."""
        tokenizer = self._model.tokenizer
        full = [self._prefix[role] + text for text in texts]
        if hasattr(tokenizer, "encode_batch"):  # a bare Rust tokenizer, as static embeddings have
            encodings = tokenizer.encode_batch(full, add_special_tokens=False)
            counts = [
                len(encoding.ids) + sum(len(more.ids) for more in encoding.overflowing)
                for encoding in encodings
            ]
        elif callable(tokenizer):
            ids = tokenizer(full, truncation=False, verbose=False)["input_ids"] if full else []
            counts = [len(each) for each in ids]
        else:  # sentence-transformers' own word tokenizers
            counts = [len(tokenizer.tokenize(text)) for text in full]
        return np.array(counts, np.int32)

    def _prompt(self, role: str) -> str:
        prompts = self._model.prompts
        for candidate in _PROMPTS[role]:
            if candidate in prompts:
                return str(prompts[candidate] or "")
        return str(prompts.get(self._model.default_prompt_name) or "")

    def _max_length(self) -> int:
        """In tokens, special ones included; 0 when the model never cuts."""
        rust = self._model.tokenizer
        if hasattr(rust, "encode_batch") and rust.truncation:  # a static embedding's own cut
            return int(rust.truncation["max_length"])
        length = getattr(self._model, "max_seq_length", None)
        return int(length) if length and length < 1_000_000 else 0

    def _describe(self, name: str) -> EncoderCard:
        fingerprint, weights = fingerprint_of_model(self._folder)
        if self._precision != "fp32":
            fingerprint = of_value([fingerprint, self._precision])
        modules = [type(module).__name__ for module in self._model]
        pooling = next((m for m in self._model if type(m).__name__ == "Pooling"), None)
        mode = getattr(pooling, "pooling_mode", None) or _older_pooling_mode(pooling)
        dimension = getattr(self._model, "get_embedding_dimension", None)
        dim = (dimension or self._model.get_sentence_embedding_dimension)()
        return EncoderCard(
            name=name,
            fingerprint=fingerprint,
            space=weights,
            dim=int(dim),
            similarity=self._similarity,
            pooling=str(mode or "+".join(modules)).lower(),
            max_length=self._max_length(),
            passage_prefix=self._prefix["passage"],
            query_prefix=self._prefix["query"],
        )


def _similarity(model: Any) -> Literal["cosine", "dot"]:
    if any(type(module).__name__ == "Normalize" for module in model):
        return "cosine"
    declared = str(model.similarity_fn_name)
    if declared not in ("cosine", "dot"):
        raise BadData(
            f"the model compares by {declared} distance, tamis by cosine or dot product; "
            f"set similarity_fn_name in its config_sentence_transformers.json if one of them fits"
        )
    return "cosine" if declared == "cosine" else "dot"


def _older_pooling_mode(pooling: Any) -> str | None:
    """The name of the pooling before sentence-transformers 5.4; None when nothing is pooled."""
    describe = getattr(pooling, "get_pooling_mode_str", None)
    return str(describe()) if describe else None


def _load(model: str, device: str, trust_remote_code: bool) -> tuple[Any, Path]:
    """The model and the folder that its files were read from, which was looked at first."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    check_device(device)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    def from_folder(local: bool) -> tuple[Any, Path]:
        folder = model_folder(model, local=local, code=trust_remote_code)
        _check_modules(folder, trust_remote_code)
        found = SentenceTransformer(
            str(folder),
            device=device,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
        return found.eval(), folder

    loaded, folder = load_model(
        "sentence-transformers model",
        model,
        from_folder,
        "name a local folder with safetensors weights, or go online once to fetch it",
    )
    return loaded, folder


def _fast_tokenizer(model: Any, prefixes: Iterable[str]) -> Any:
    """The tokenizer whose Rust half we may drive ourselves; None sends texts the slow way.

    The slow way is for first modules that are no plain text transformer, and for models that
    leave the prompt out of the pooling (INSTRUCTOR): they need more than ids and a mask.
    """
    first = model[0]
    tokenizer: Any = getattr(first, "tokenizer", None)
    if type(first).__name__ != "Transformer" or not getattr(tokenizer, "is_fast", False):
        return None
    if tokenizer.pad_token_id is None or getattr(first, "do_lower_case", False):
        return None
    if any(getattr(first, setting, None) for setting in _OWN_PREPARATION):
        return None
    if "message" in (getattr(first, "modality_config", None) or ()):
        return None  # texts go through a chat template
    skips_prompt = any(not getattr(module, "include_prompt", True) for module in model)
    return None if skips_prompt and any(prefixes) else tokenizer


def _check_modules(folder: Path, trust_remote_code: bool) -> None:
    """Refuse what sentence-transformers would take: pickled weights, and code without asking.

    Below version 6 it runs a local folder's own classes; modules other than the transformer load
    ``pytorch_model.bin`` where there are no safetensors.
    """
    listing = folder / "modules.json"
    if not listing.is_file():
        return
    try:
        modules = json.loads(listing.read_text("utf-8"))
        types = [str(module["type"]) for module in modules]
        places = [folder / str(module["path"]) for module in modules]
    except (ValueError, KeyError, TypeError) as failure:
        raise BadData(f"{listing} is not a list of modules with type and path: {failure}") from None
    foreign = [kind for kind in types if not kind.startswith(_HARMLESS_MODULES)]
    if foreign and not trust_remote_code:
        raise BadArguments(
            f"{folder} names {', '.join(foreign)}, which is code from outside "
            f"sentence-transformers; load it with trust_remote_code=True if you trust it"
        )
    for place in places:
        if (place / _PICKLED).is_file() and not any(place.glob("*.safetensors")):
            raise BadData(
                f"{place / _PICKLED} is a pickle, and only safetensors are read; load the model "
                f"with sentence-transformers and save it again"
            )

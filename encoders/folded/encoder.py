"""The folded student as an encoder: tokenizers, numpy and C; torch is never imported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadData
from ...core.fingerprints import of_value
from ...core.protocols import Encoded, Encoder, EncoderCard, TokenVectors
from ...kernels.folded.stack import FoldedStack
from ..model_files import fingerprint_of_model
from ..recurrent.kinds import CONFIG, TOKENIZER, WEIGHTS, read_spec
from ..recurrent.model_folder import check_prompts, json_bytes, write_folder
from ..unit_rows import unit_rows
from ..word_pieces import WordPieces
from .spec import FoldedSpec
from .storage import read_weights, tensors_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.packed_texts import PackedTexts
    from ...core.protocols import Role
    from ...core.records import Int32Array
    from ...kernels.folded.weights import FoldedWeights
    from ..recurrent.encoder import RecurrentEncoder


class FoldedEncoder(Encoder):
    """Unit vectors; a text without a known word piece is the zero vector, which matches nothing.

    Vectors of a text are the same bits whatever stands beside it, where the C library is used.
    """

    def __init__(
        self, spec: FoldedSpec, weights: FoldedWeights, pieces: WordPieces, card: EncoderCard
    ) -> None:
        if pieces.vocabulary != spec.vocabulary:
            raise BadData(
                f"the tokenizer knows {pieces.vocabulary} word pieces, "
                f"the weights {spec.vocabulary}"
            )
        self.spec, self.weights, self.pieces = spec, weights, pieces
        self._card = card
        self._stack = FoldedStack(weights)

    @property
    def card(self) -> EncoderCard:
        return self._card

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        return self.pieces.pack(texts, self._prefix(role)).counts

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        vectors = np.empty((len(texts), self.spec.dim), np.float32)
        tokens = np.empty(len(texts), np.int32)
        chunks = self.pieces.pack_ahead(texts, self._prefix(role), self.spec.max_length)
        for start, packed in chunks:
            end = start + len(packed.counts)
            vectors[start:end] = self._stack.encode(packed.ids, packed.bounds)
            tokens[start:end] = packed.counts
        return Encoded(vectors, tokens)

    @property
    def token_form(self) -> str:
        """See ``core.protocols.ReadsPacked``."""
        return of_value([self.pieces.fingerprint, self.spec.passage_prefix])

    def tokenise(self, texts: Sequence[str]) -> PackedTexts:
        """Passages, whole."""
        return self.pieces.pack(texts, self.spec.passage_prefix)

    def encode_packed(self, packed: PackedTexts) -> Encoded:
        """As ``encode`` of the passages that were tokenised."""
        cut = packed.cut(self.spec.max_length)
        return Encoded(self._stack.encode(cut.ids, cut.bounds), packed.counts)

    def encode_tokens(self, texts: Sequence[str], role: Role) -> TokenVectors:
        """Vectors of single tokens whose mean is the text's (before normalising); in numpy."""
        vectors = [np.empty((0, self.spec.dim), np.float32)]
        lengths = [np.empty(0, np.int64)]
        for _, packed in self.pieces.pack_ahead(texts, self._prefix(role), self.spec.max_length):
            vectors.append(self._stack.encode_tokens(packed.ids, packed.bounds))
            lengths.append(np.diff(packed.bounds))
        return TokenVectors(unit_rows(np.concatenate(vectors)), np.concatenate(lengths))

    def save(
        self, folder: Path | str, *, trained_on: str = "", licence: str = "apache-2.0"
    ) -> None:
        """Write a new model folder, for tamis and sentence-transformers: see ``write_folder``.

        What it gives back is rounded: the token table to int8, other matrices to fp16.
        """
        files = stored_files(self.spec, self.weights, self.pieces)
        write_folder(folder, self.spec, files, trained_on, licence)

    def materialise(self) -> None:
        """Fill the tables of the whole vocabulary now, as the first large batch would."""
        self._stack.materialise()

    def _prefix(self, role: Role) -> str:
        return self.spec.query_prefix if role == "query" else self.spec.passage_prefix


def load_folded(
    folder: Path | str, *, device: str = "cpu", name: str | None = None
) -> FoldedEncoder | RecurrentEncoder:
    """The student saved in a folder: numpy and C on the CPU, torch on any other device.

    Raises MissingResource, CorruptFile or BadData, naming the file, tensor or key.
    """
    folder = Path(folder)
    if device != "cpu":
        from ..recurrent.encoder_folder import load

        return load(folder, device=device, name=name)
    spec = read_spec(folder)
    if not isinstance(spec, FoldedSpec):
        raise BadData(f"{folder / CONFIG} describes a {spec.kind} model, not a folded student")
    check_prompts(folder, spec)
    weights = read_weights(folder / WEIGHTS, spec)
    fingerprint, own_space = fingerprint_of_model(folder)
    card = card_of(spec, name or str(folder), fingerprint, spec.space or own_space)
    return FoldedEncoder(spec, weights, WordPieces(folder / TOKENIZER), card)


def stored_files(spec: FoldedSpec, weights: FoldedWeights, pieces: WordPieces) -> dict[str, bytes]:
    """The three files of a folded student, name -> content."""
    from safetensors.numpy import save

    return {
        CONFIG: json_bytes(spec.to_json()),
        WEIGHTS: save(tensors_of(weights), metadata={"format": "pt"}),
        TOKENIZER: pieces.to_json().encode("utf-8"),
    }


def static_of(student: FoldedEncoder) -> FoldedEncoder:
    """The student without its layers: the same token table as a bag of tokens, in its own space."""
    weights = replace(student.weights, layers=[], output=None)
    spec = replace(student.spec, layers=0, width=0, space="")
    fingerprint = of_value({"static of": student.card.fingerprint})
    card = card_of(spec, f"static of {student.card.name}", fingerprint, fingerprint)
    return FoldedEncoder(spec, weights, student.pieces, card)


def card_of(spec: FoldedSpec, name: str, fingerprint: str, space: str) -> EncoderCard:
    return EncoderCard(
        name=name,
        fingerprint=fingerprint,
        space=space,
        dim=spec.dim,
        similarity="cosine",
        pooling="mean",
        max_length=spec.max_length,
        passage_prefix=spec.passage_prefix,
        query_prefix=spec.query_prefix,
    )

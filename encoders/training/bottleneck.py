"""Pre-training through a bottleneck: what a weak decoder needs to restore a text, its vector holds.

SimLM (Wang et al. 2023, "SimLM: pre-training with representation bottleneck for dense passage
retrieval", 2207.02578): a text is corrupted twice, lightly for the encoder and heavily for a
shallow decoder that also has the encoder's vector, and both must say what stood there. RetroMAE
(Xiao et al. 2022, 2205.12035) is the same with [MASK] for noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from ...core.errors import BadArguments, BadData
from ...kernels.packing import pack_lengths
from ..folded.half_product import half_product
from .bottleneck_decoder import BottleneckDecoder
from .head import WithHead
from .model_parts import check_token_states, heard, mask_piece, token_states, token_table
from .own_space import plain_sources, student_in_own_space
from .replaced_pieces import Replaced, Unigrams, replaced
from .sampled_softmax import Vocabulary
from .spec import at_least, one_of
from .texts import interleaved
from .token_store import TokenStore, rows_of_steps, steps_per_epoch
from .trainee import PackedTrainee, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from .recipe import Recipe
    from .spec import TrainingSpec
    from .texts import TextSource
    from .trainee import Trainee

_NOISE, _HELD_OUT, _WATCHED = 1, 2, 3  # each has random numbers of its own; 0 is the epochs'


@dataclass(frozen=True, slots=True)
class BottleneckSpec:
    """How much is replaced by what, and who must restore it.

    encoder_share, decoder_share: of the word pieces that each sees replaced, the encoder's among
    the decoder's. noise: "unigram" draws a replacement as often as it stands in the texts, where
    SimLM asks an ELECTRA generator for a likely one: easier to tell from the original, and no
    model but ours is needed; "mask" puts [MASK] there, if the vocabulary has it.

    encoder, decoder: weights of the two cross-entropies, over replaced places only (SimLM takes
    all): the cost is in the softmax. width: of the decoder. samples: pieces drawn for a batch's
    softmax, 0 for the whole vocabulary. held_out: texts that are never learned from, for ``watch``.
    """

    encoder_share: float = 0.3
    decoder_share: float = 0.5
    noise: str = "unigram"
    encoder: float = 1.0
    decoder: float = 1.0
    width: int = 192
    samples: int = 2048
    held_out: int = 0

    def __post_init__(self) -> None:
        one_of("[bottleneck] noise", self.noise, ("unigram", "mask"))
        if not 0 <= self.encoder_share <= self.decoder_share <= 1 or not self.decoder_share:
            raise BadArguments(
                f"[bottleneck] encoder_share is {self.encoder_share} and decoder_share "
                f"{self.decoder_share}, expected 0 <= encoder_share <= decoder_share <= 1, more "
                f"than 0"
            )
        at_least("[bottleneck] encoder", self.encoder, 0)
        if self.encoder and not self.encoder_share:
            raise BadArguments(
                f"[bottleneck] encoder is {self.encoder} and encoder_share 0: nothing is replaced "
                f"that the encoder could restore; set encoder = 0"
            )
        if self.decoder <= 0:
            raise BadArguments(f"[bottleneck] decoder is {self.decoder}, expected more than 0")
        if self.width < 2 or self.width % 2:
            raise BadArguments(f"[bottleneck] width is {self.width}, expected an even number > 0")
        at_least("[bottleneck] samples", self.samples, 0)
        at_least("[bottleneck] held_out", self.held_out, 0)
        if self.held_out == 1:
            raise BadArguments(
                "[bottleneck] held_out is 1, expected 0 or 2 and more: another text's vector is "
                "compared"
            )


def bottleneck(spec: TrainingSpec, cache: Path) -> Recipe:
    """The recipe ready to train; everything that can be wrong in the spec is found first."""
    del cache  # no teacher is asked anything
    spec.only("teacher", "bottleneck", "texts")
    own = spec.section(BottleneckSpec, "bottleneck")
    sources = plain_sources(spec)
    if spec.model.kind == "transformer":
        raise BadArguments(
            '[model] kind is "transformer": the recipe "bottleneck" trains "folded" and '
            '"recurrent" models, whose word pieces it can replace'
        )
    if own.encoder:
        check_token_states(spec, "set encoder = 0 in [bottleneck]")
    trainee = student_in_own_space(spec)
    assert isinstance(trainee, PackedTrainee), "the other kinds were refused"
    return Bottleneck(spec, own, sources, trainee)


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts of these lengths [texts], as encoder and decoder read them, and the pieces [c] that
    compete for a replaced place."""

    lengths: np.ndarray
    texts: Replaced
    candidates: np.ndarray


class Bottleneck:
    """The recipe. BadArguments for a vocabulary without the [MASK] that ``own`` asks for."""

    def __init__(
        self,
        spec: TrainingSpec,
        own: BottleneckSpec,
        sources: list[TextSource],
        trainee: PackedTrainee,
    ) -> None:
        self._spec, self._own, self._inner = spec, own, trainee
        self._table = token_table(trainee.model)
        self._told = token_states(trainee.model) if own.encoder else None
        assert self._told is not None or not own.encoder, "checked when the spec was read"
        self._mask = mask_piece(trainee) if own.noise == "mask" else 0
        self._head = self._new_head()
        self._trainee = WithHead(trainee, self._head)
        self._store = TokenStore(
            [trainee.tokens(each.texts, each.role) for each in interleaved(sources)]
        )
        texts = np.flatnonzero(self._store.lengths)
        if len(texts) <= own.held_out:
            raise BadData(f"{spec.source}: {len(texts)} texts with words, {own.held_out} held out")
        order = np.random.default_rng([spec.seed, _HELD_OUT]).permutation(texts)
        self._held_out, self._learned = order[: own.held_out], order[own.held_out :]
        self._unigrams = Unigrams(self._store.ids, len(self._table))
        self._files = sorted({source.file.name for source in sources})

    @property
    def trainee(self) -> Trainee:
        return self._trainee

    @property
    def trained_on(self) -> str:
        return (
            f"It learned to hold what a weak decoder needs to restore replaced words, from "
            f"{len(self._learned):,} texts of {', '.join(self._files)}."
        )

    @cached_property
    def steps(self) -> int:
        return max(1, int(self._batches_of(self._learned) * self._spec.schedule.epochs))

    def batches(self, start: int) -> Iterator[Batch]:
        seed, learned = self._spec.seed, self._learned
        per_epoch = self._batches_of(learned)
        for step, rows in rows_of_steps(len(learned), per_epoch, seed, start, self.steps):
            yield self.batch(learned[rows], np.random.default_rng([seed, _NOISE, step]))

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """Of the texts ``rows``, corrupted and their candidates drawn by ``rng``."""
        own, tokens = self._own, self._store.take(rows)
        n, vocabulary = len(tokens.ids), len(self._table)
        draws = rng.random(n)
        noise = np.full(n, self._mask) if own.noise == "mask" else self._unigrams.draw(rng, n)
        texts = replaced(tokens.ids, noise, draws, own.encoder_share, own.decoder_share)
        drawn = self._unigrams.draw(rng, own.samples) if own.samples else np.arange(vocabulary)
        return Batch(tokens.lengths, texts, np.unique(drawn))

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        own, texts, found = self._own, batch.texts, {}
        candidates = self._tensor(batch.candidates)

        def loss(queries: Tensor, originals: np.ndarray) -> Tensor:
            return self._vocabulary.sampled_cross_entropy(
                queries, self._tensor(originals), candidates, self._log_inclusion
            )

        vectors, states = self._read(batch)
        if states is not None:
            places = self._tensor(texts.rows[texts.in_encoder])
            queries = self._head["encoder"](states[places])
            found["encoder"] = own.encoder * loss(queries, texts.originals[texts.in_encoder])
        decoded = self._decode(batch, vectors)
        return {**found, "decoder": own.decoder * loss(decoded, texts.originals)}

    def watch(self) -> Mapping[str, float]:
        """Cross-entropy in nats a place of the decoder over held-out texts, the whole vocabulary
        competing: with their own vectors, and with another text's. How far these lie apart is
        what the vectors say; the same noise each time."""
        if not len(self._held_out):
            return {}
        self._trainee.module.eval()
        pairs = len(self._held_out) // 2  # of which each part has one, to swap their vectors
        parts = min(pairs, self._batches_of(self._held_out))
        own, other, places = 0.0, 0.0, 0
        for number, rows in enumerate(np.array_split(self._held_out, parts)):
            rng = np.random.default_rng([self._spec.seed, _WATCHED, number])
            batch = self.batch(rows, rng)
            n = len(batch.texts.rows)
            own += n * self.restored(batch)
            other += n * self.restored(batch, shift=1)
            places += n
        n = max(1, places)
        return {"held-out decoder": own / n, "held-out decoder, vectors swapped": other / n}

    def restored(self, batch: Batch, shift: int = 0) -> float:
        """The decoder's cross-entropy over the whole vocabulary; with a ``shift`` each text has
        the vector of the one so many places before it. 0 when nothing is replaced."""
        if not len(batch.texts.rows):
            return 0.0
        with torch.no_grad():
            vectors = self._read(batch)[0].roll(shift, 0)
            queries = self._decode(batch, vectors)
        return self._vocabulary.cross_entropy(queries, self._tensor(batch.texts.originals))

    def _batches_of(self, rows: np.ndarray) -> int:
        tokens = int(self._store.lengths[rows].sum())
        return steps_per_epoch(tokens, len(rows), self._spec.schedule.batch_tokens)

    def _read(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The encoder's vectors [texts, dim] and, where they are wanted, its states of tokens."""
        tokens = Tokens(batch.texts.encoder, batch.lengths)
        if self._told is None:
            return self._inner.vectors(tokens), None
        with heard(self._told.part) as said:
            vectors = self._inner.vectors(tokens)
        return vectors, said[0].float()

    def _decode(self, batch: Batch, vectors: Tensor) -> Tensor:
        packed = pack_lengths(batch.lengths, vectors.device)
        embedded = nn.functional.embedding(self._tensor(batch.texts.decoder), self._table)
        rows = self._tensor(batch.texts.rows)
        queries: Tensor = self._head["decoder"](embedded, vectors, packed, rows)
        return queries

    def _new_head(self) -> nn.ModuleDict:
        """Its weights are the seed's; torch's own generator stays where it was."""
        rank = self._table.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._spec.seed)
            head = {"decoder": BottleneckDecoder(rank, self._inner.dim, self._own.width)}
            if self._told is None:
                return nn.ModuleDict(head)
            guess = nn.Linear(self._told.width, rank)
        nn.init.zeros_(guess.weight)
        nn.init.zeros_(guess.bias)
        return nn.ModuleDict({**head, "encoder": guess})

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        share = self._tensor(np.log(self._unigrams.share).astype(np.float32))
        on_cpu = self._table.device.type == "cpu"
        product = half_product if self._spec.half and on_cpu else torch.mm
        return Vocabulary(self._table, share, product)

    @cached_property
    def _log_inclusion(self) -> Tensor:
        if not self._own.samples:
            return torch.zeros_like(self._vocabulary.log_share)
        chances = np.log(self._unigrams.inclusion(self._own.samples))
        return self._tensor(chances.astype(np.float32))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self._table.device)

"""A hypencoder as a stage of the cascade: cheap enough for hundreds of candidates."""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.fingerprints import of_value
from ...kernels.device import check_device
from .folder import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...core.protocols import Candidates
    from ...core.records import Float32Array, Int64Array
    from .scorer import BothEncoder, HypencoderScorer

    Stored = Callable[[Int64Array], Float32Array | None]
    """Rows of the index to their vectors [rows, dim]; None where it does not keep them all."""


class HypencoderReranker:
    """Scores are unbounded numbers that depend on the pair alone; company moves them by 1e-5.

    Passages are encoded when they are asked for, unless ``over`` was told of an index that keeps
    their vectors.
    """

    pointwise = True

    def __init__(
        self,
        scorer: HypencoderScorer,
        *,
        name: str,
        keep: int = 100,
        stored: Stored | None = None,
    ) -> None:
        self.scorer, self.name, self.keep, self._stored = scorer, name, keep, stored

    @classmethod
    def load(
        cls,
        folder: Path | str,
        encoder: Callable[[str], BothEncoder],
        *,
        keep: int = 100,
        device: str = "cpu",
    ) -> HypencoderReranker:
        """From the folder that training wrote; ``encoder`` loads the one that it names. Raises
        what ``folder.load`` raises; BadArguments when the device is not there."""

        check_device(device)
        scorer = load(folder, encoder, device=device)
        return cls(scorer, name=f"hypencoder ({Path(folder).name})", keep=keep)

    @property
    def reads(self) -> str:
        """The fingerprint of the encoder whose passage vectors are read."""
        return self.scorer.spec.fingerprint

    def over(self, stored: Stored) -> HypencoderReranker:
        """The same, taking vectors of passages from an index of the same encoder."""
        return HypencoderReranker(self.scorer, name=self.name, keep=self.keep, stored=stored)

    @cached_property
    def fingerprint(self) -> str:
        """Of the settings, the encoder and the weights, wherever they came from."""
        state = self.scorer.model.state_dict()
        hashes = {
            name: sha256(x.detach().cpu().numpy().tobytes()).hexdigest()
            for name, x in state.items()
        }
        return of_value([self.scorer.spec.to_json(), hashes])

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        passages: list[Float32Array] = []
        for each in batch:
            found = self._stored(each.ranking.rows) if self._stored else None
            passages += (
                self.scorer.read_passages(each.passages) if found is None else list(found[:, None])
            )
        return self.scorer.score_vectors(batch, passages)

"""Which pairs of tokens make the dense score of the answers shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import BadArguments
from ..core.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.progress import Progress
    from ..core.protocols import Encoder
    from ..core.records import Hit
    from ..encoders.attribution.siamese import Attribution
    from ..encoders.attribution.token_inputs import ReadsTokens
    from .cascade import Cascade
    from .opening import Index

DENSE = "dense"


def check_pairs_can_be_told(cascade: Cascade, hits: int) -> None:
    """BadArguments where a search has no dense score, or for fewer than one hit."""
    if hits < 1:
        raise BadArguments(f"--explain-tokens is {hits}; ask for at least one hit")
    if cascade.dense is None:
        raise BadArguments(
            "--explain-tokens is about dense scores and this search has none; use --mode dense or "
            "hybrid, or leave it out"
        )


@dataclass(frozen=True)
class PairTeller:
    """The encoders of an index, opened for attribution."""

    passages: ReadsTokens
    queries: ReadsTokens

    @classmethod
    def of(cls, index: Index, *, device: str = "cpu") -> PairTeller:
        """BadArguments where an encoder cannot be looked into or the index holds no texts."""
        from .attribution import explainable

        if not index.passages.has_texts:
            raise BadArguments(
                f"{index.folder.path} holds no texts, so no token can be told; "
                f"leave --explain-tokens out"
            )

        def opened(encoder: Encoder) -> ReadsTokens:
            try:
                return explainable(encoder, device=device)
            except BadArguments as failure:
                raise BadArguments(f"{failure}; or leave --explain-tokens out") from failure

        asks, tells = index.encoder, index.passage_encoder
        passages = opened(tells)
        return cls(passages, passages if asks is tells else opened(asks))

    def told(
        self, question: str, hits: Sequence[Hit], *, progress: Progress | None = None
    ) -> dict[int, Attribution]:
        """Row -> attribution; a hit without a dense score, and one without a token, is left out.

        BadArguments for a question without a token. On one core a second a hit where a student
        reads passages, half a minute and more where a transformer does; the question's own walk is
        made once for all hits.
        """
        from ..encoders.attribution.siamese import AskedQuery

        asked = AskedQuery(self.queries, question)
        found = {}
        with (progress or Silent()).stage("token pairs", len(hits)) as advance:
            for hit in hits:
                text = hit.passage.full_text
                if DENSE in hit.stages and self.passages.read(text, "passage").tokens:
                    found[hit.row] = asked.attribute(self.passages, text)
                advance(1)
        return found

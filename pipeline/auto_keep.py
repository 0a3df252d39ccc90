"""``tamis build --keep auto``: what it needs, and what it cannot stand beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import BadArguments
from .choices import DEFAULT_QUALITY

if TYPE_CHECKING:
    from pathlib import Path

    from ..core.progress import Progress
    from ..core.protocols import Encoder, QualityModel, QualityRecipe
    from ..index.lexical import LexicalSettings
    from .comparing.auto_share import AutoShare


@dataclass(frozen=True, slots=True)
class AutoKeep:
    """Queries and judgments of a dev split, by which a share is to be chosen."""

    queries: str
    qrels: str
    quality: str | Path | QualityModel | QualityRecipe

    @classmethod
    def asked(
        cls,
        keep: float | str | None,
        queries: str | None,
        qrels: str | None,
        quality: str | Path | QualityModel | QualityRecipe | None,
    ) -> tuple[AutoKeep | None, float | None]:
        """(None, the share) for one of somebody's own; else all is kept until one is chosen.

        BadArguments for dev files that nobody reads, for "auto" without them, for another word.
        """
        given = {"dev_queries": queries, "dev_qrels": qrels}
        if not isinstance(keep, str):
            named = ", ".join(name for name, value in given.items() if value is not None)
            if named:
                raise BadArguments(
                    f"{named} given, and nothing is chosen by it: say keep=auto, too"
                )
            return None, keep
        if keep != "auto":
            raise BadArguments(f"keep is {keep!r}; expected a share of the passages, or auto")
        lacking = " and ".join(name for name, value in given.items() if value is None)
        if queries is None or qrels is None:
            raise BadArguments(
                f"keep=auto needs {lacking}: queries with judgments that you do not report on"
            )
        return cls(queries, qrels, DEFAULT_QUALITY if quality is None else quality), 1.0

    def refuse(self, **beside: object) -> None:
        """BadArguments for what would make the index another than the one that was measured."""
        wrong = ", ".join(name for name, value in beside.items() if value is not None)
        if wrong:
            raise BadArguments(
                f"keep=auto cannot stand beside {wrong}: choose a share with tamis compare "
                f"--prune-curve over such passages, and name it"
            )

    def chosen(
        self,
        corpus: str | Path,
        goal: Path,
        encoder: Encoder,
        query_encoder: Encoder,
        lexical: LexicalSettings | None,
        progress: Progress,
    ) -> AutoShare:
        """The share, by the curve in ``GOAL.pruning``; killed, it goes on there."""
        from .comparing.auto_share import auto_share

        return auto_share(
            corpus,
            goal.with_name(f"{goal.name}.pruning"),
            queries=self.queries,
            qrels=self.qrels,
            quality=self.quality,
            encoder=encoder,
            query_encoder=query_encoder,
            lexical=lexical,
            progress=progress,
        )

"""``tamis build --keep``: near-duplicates go first, all others are scored, the worst are left out.

All arrays are by row of the corpus, until one writing of the table leaves in it what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..core.errors import BadArguments, BadData, Mismatch, MissingResource
from ..core.fingerprints import of_texts
from ..core.optional import need
from ..index.building.predecessor import Predecessor
from ..index.building.score_shards import ScoreShards
from ..index.folder import COLD, CORPUS_QUALITY, CORPUS_ROW, NEAR_DUPLICATES, QUALITY
from ..index.near_duplicates import check_threshold
from ..index.passages import NAME as PASSAGES
from ..index.passages import PassageTable
from ..index.pruning import Cut
from .choices import DEFAULT_QUALITY
from .intake import Intake
from .kept_rows import keep_only, passages_of, save, write_cold_tier
from .repetition import Repetition, find_repetition
from .reporting import beginning
from .scorers import Given, fitted, scorer_of
from .shared_tokens import SharedTokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..core.progress import Progress
    from ..core.protocols import Encoder, EncoderCard, QualityCard, QualityModel, QualityRecipe
    from ..core.records import Float32Array, Int64Array
    from ..index.building.shards import Known
    from ..index.building.workplace import Workplace
    from .shared_tokens import TokensOf

    class ChosenShare(Protocol):
        """A share that somebody chose, on what grounds, and vectors that choosing left behind."""

        @property
        def keep(self) -> float: ...

        @property
        def told(self) -> dict[str, Any]: ...

        def known(self, encoder: EncoderCard, rows: Int64Array) -> Known | None: ...


SAMPLES = 3
"""Pruned passages, the lowest scores first, that the manifest shows."""

_NAMED = 5  # unknown ids spelled out


@dataclass(frozen=True, slots=True)
class Pruned:
    """The table after the cut, what the manifest says of it, and the index that stood there.

    ``told`` is None where nothing was scored, ``repeated`` where no near-duplicate was looked for;
    ``cold`` is the table of what was cut, in the draft's cold folder, where that is kept.
    """

    taken: Intake
    told: dict[str, Any] | None
    repeated: dict[str, Any] | None
    rows: Int64Array
    predecessor: Predecessor | None
    cold: Intake | None = None
    cold_rows: Int64Array | None = None
    tokens: SharedTokens | None = None
    chosen: ChosenShare | None = None

    def known(self, encoder: EncoderCard) -> Known | None:
        """Vectors of kept passages that need no encoding, if there are any."""
        if self.chosen is not None and (known := self.chosen.known(encoder, self.rows)):
            return known
        return self.predecessor.vectors(encoder, self.rows) if self.predecessor else None

    def cold_known(self, encoder: EncoderCard) -> Known | None:
        """The same of passages that were cut."""
        if self.predecessor is None or self.cold_rows is None:
            return None
        return self.predecessor.vectors(encoder, self.cold_rows)

    def tokens_for(self, encoder: Encoder, *, cold: bool = False) -> TokensOf | None:
        """Tokens of the kept passages (or of the cold ones) by their rows, where the scoring of
        this build left any that the encoder reads."""
        rows = self.cold_rows if cold else self.rows
        return None if self.tokens is None or rows is None else self.tokens.of(rows, encoder)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a build is to leave out.

    ``quality`` is a model, its name or file, or a ``.npy`` file of scores, one for each passage
    that the build would index unpruned. ``protect`` is a file of ids, one a line.
    ``near_duplicates`` is the similarity from which passages are left out before anything is
    scored. ``cold`` keeps what scored too little in a tier of its own.
    """

    quality: str | Path | QualityModel | QualityRecipe | None = None
    keep: float | None = None
    min_quality: float | None = None
    protect: str | Path | None = None
    near_duplicates: float | None = None
    cold: bool = False
    device: str = "cpu"

    @property
    def scores(self) -> bool:
        """Whether anything is to be scored."""
        return not (self.quality is None and self.keep is None and self.min_quality is None)


class Pruner:
    """All that can be refused without the corpus is refused here, before it is read.

    Raises BadArguments, MissingDependency, MissingResource, BadData.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._chosen: ChosenShare | None = None
        self._cut = Cut(asked.keep, asked.min_quality)
        self._ids = frozenset[str]() if asked.protect is None else _ids(Path(asked.protect))
        if asked.near_duplicates is not None:
            check_threshold(asked.near_duplicates)
            need("rensa", "leaving out near-duplicates")
        wanted = DEFAULT_QUALITY if asked.quality is None else asked.quality
        self._scorer = scorer_of(wanted, asked.device) if asked.scores else None

    @classmethod
    def of(cls, asked: Asked) -> Pruner | None:
        """None where nothing is to be left out; BadArguments for protection from nothing, and for
        a ``cold`` tier, which keeps what is cut, where nothing is."""
        if asked.cold and asked.keep is None and asked.min_quality is None:
            raise BadArguments(
                "cold is asked for, and nothing is pruned that it could hold: say keep=0.75, too"
            )
        if asked.scores or asked.near_duplicates is not None:
            return cls(asked)
        if asked.protect is not None:
            raise BadArguments(
                f"protect is {str(asked.protect)!r}, and nothing is pruned: say keep=0.75, too"
            )
        return None

    def take(self, chosen: ChosenShare) -> None:
        """Keep the share that was chosen."""
        self._cut = Cut(keep=chosen.keep)
        self._chosen = chosen

    def pruned(
        self,
        taken: Intake,
        place: Workplace,
        shard_rows: int,
        progress: Progress,
        encoder: Encoder | None = None,
    ) -> Pruned:
        """Leave in the table of the draft only what is kept.

        Where the model and ``encoder`` read the same tokens, they are kept for it.

        What is cut goes to the draft's cold folder, where that is asked for and something is.
        Raises BadArguments when nothing would be kept, Mismatch for scores or ids of another
        corpus, BadData from the fitting of a model.
        """
        table = PassageTable(place.draft / PASSAGES, taken.batches, taken.rows, None)
        corpus, protected = self._read(table)
        predecessor = Predecessor.find(place.goal, corpus, taken.rows)
        repetition = Repetition.none(taken.rows)
        if self._asked.near_duplicates is not None:
            repetition = find_repetition(
                table, self._asked.near_duplicates, corpus, protected, predecessor, progress
            )
            save(place.draft / NEAR_DUPLICATES, repetition.repeats.astype("<i8"))
        rows, told, cold, cut, tokens = repetition.rows, None, None, None, None
        if self._scorer is not None:
            scored, shielded = rows, np.searchsorted(rows, protected)
            tokens = SharedTokens.between(self._scorer, encoder, place.scores, shard_rows, scored)
            card, scores = self._scores(
                table, repetition, place.scores, shard_rows, predecessor, tokens, progress
            )
            kept = self._cut.mask(scores[scored], shielded)
            rows, cut = scored[kept], scored[~kept]
            told = {
                **self._rule(card, corpus, len(protected)),
                "scored": len(scored),
                "kept": len(rows),
                "threshold": _threshold(scores[scored], kept, shielded),
                "samples": _samples(table, scores, cut),
            }
            if self._asked.cold:
                cold = write_cold_tier(table, cut, scores, place.draft / COLD, taken.skipped)
            for name, numbers in ((CORPUS_QUALITY, scores), (QUALITY, scores[rows])):
                save(place.draft / name, numbers.astype("<f4"))
        if len(rows) < taken.rows:
            taken = Intake(len(rows), keep_only(table, rows, place.draft), taken.skipped)
        save(place.draft / CORPUS_ROW, rows.astype("<i8"))
        return Pruned(
            taken=taken,
            told=told,
            repeated=repetition.told,
            rows=rows,
            predecessor=predecessor,
            cold=cold,
            cold_rows=None if cold is None else cut,
            tokens=tokens,
            chosen=self._chosen,
        )

    def _rule(self, card: QualityCard, corpus: str, protected: int) -> dict[str, Any]:
        """What was asked, as the manifest has it."""
        cut = self._cut
        return {
            "model": {"name": card.name, "fingerprint": card.fingerprint},
            "corpus": corpus,
            "keep": None if cut.keep is None else float(cut.keep),
            "min_quality": None if cut.min_quality is None else float(cut.min_quality),
            "protected": protected,
            **({} if self._chosen is None else {"auto": self._chosen.told}),
        }

    def _read(self, table: PassageTable) -> tuple[str, Int64Array]:
        """The fingerprint of all texts, and the protected rows; Mismatch for unknown ids."""
        found: dict[str, int] = {}

        def texts() -> Iterator[str]:
            for row, passage in enumerate(table.stream()):
                if passage.id in self._ids:
                    found[passage.id] = row
                yield passage.full_text

        corpus = of_texts(texts())
        unknown = sorted(self._ids - found.keys())
        if unknown:
            named = ", ".join(repr(name) for name in unknown[:_NAMED])
            more = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
            raise Mismatch(
                f"{self._asked.protect} protects {named}{more}: not in the corpus; expected an id "
                f"of a passage on each line"
            )
        return corpus, np.array(sorted(found.values()), np.int64)

    def _scores(
        self,
        table: PassageTable,
        repetition: Repetition,
        folder: Path,
        shard_rows: int,
        predecessor: Predecessor | None,
        tokens: SharedTokens | None,
        progress: Progress,
    ) -> tuple[QualityCard, Float32Array]:
        """[passages of the corpus] float32; near-duplicates are neither fitted on nor scored."""
        scorer = self._scorer
        assert scorer is not None, "nothing is scored without one"
        if isinstance(scorer, Given):
            return scorer.card, scorer.of(len(table))
        rows = repetition.rows
        model = fitted(scorer, table, rows, progress)
        scores = predecessor.scores(model.card, rows) if predecessor else None
        if scores is None:
            kept = None if tokens is None else tokens.shards
            shards = ScoreShards(folder, model, len(rows), shard_rows, kept)
            with progress.stage("score", len(rows)) as advance:
                scores = shards.complete(
                    lambda start, end: [p.full_text for p in passages_of(table, rows[start:end])],
                    advance,
                )
        return model.card, repetition.spread(scores)


def _ids(path: Path) -> frozenset[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as failure:
        raise BadData(f"{path} is not UTF-8: {failure}") from None
    except OSError as failure:
        raise MissingResource(
            f"{path} cannot be read ({failure.strerror}); expected a file of ids, one a line"
        ) from None
    return frozenset(line.strip() for line in lines if line.strip())


def _threshold(
    scores: Float32Array, kept: NDArray[np.bool_], protected: Int64Array
) -> float | None:
    """The lowest score that was enough; None when protection alone kept what is kept."""
    enough = kept.copy()
    enough[protected] = False
    return float(scores[enough].min()) if enough.any() else None


def _samples(table: PassageTable, scores: Float32Array, cut: Int64Array) -> list[dict[str, Any]]:
    """The worst of what was cut, as a person may judge it."""
    worst = cut[np.argsort(scores[cut], kind="stable")[:SAMPLES]]
    return [
        {"id": passage.id, "score": float(score), "text": beginning(passage.full_text)}
        for passage, score in zip(table.passages(worst), scores[worst], strict=True)
    ]

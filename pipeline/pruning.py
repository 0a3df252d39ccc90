"""``tamis build --keep``: every passage is scored, and the worst are left out of the index."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.durable import no_room, replacing
from ..core.errors import BadArguments, BadData, Mismatch, MissingResource
from ..core.fingerprints import of_texts
from ..core.protocols import QualityCard, QualityRecipe
from ..index.building.predecessor import Predecessor
from ..index.building.score_shards import ScoreShards
from ..index.folder import CORPUS_QUALITY, CORPUS_ROW, QUALITY
from ..index.passages import DOCID, PassageTable, PassageWriter
from ..index.passages import NAME as PASSAGES
from ..index.pruning import Cut
from .choices import DEFAULT_QUALITY
from .components import quality as load_quality
from .intake import Intake

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..core.progress import Progress
    from ..core.protocols import EncoderCard, QualityModel
    from ..core.records import Float32Array, Int64Array
    from ..index.building.shards import Known
    from ..index.building.workplace import Workplace

SAMPLES = 3
"""Pruned passages, the lowest scores first, that the manifest shows."""

SHOWN = 80
"""Characters of each."""

_NAMED = 5  # unknown ids spelled out


@dataclass(frozen=True, slots=True)
class Pruned:
    """The table after the cut, what the manifest says of it, and the index that stood there."""

    taken: Intake
    told: dict[str, Any]
    rows: Int64Array
    predecessor: Predecessor | None

    def known(self, encoder: EncoderCard) -> Known | None:
        """Vectors of kept passages that need no encoding, if there are any."""
        return self.predecessor.vectors(encoder, self.rows) if self.predecessor else None


@dataclass(frozen=True, slots=True)
class Given:
    """Scores that came in a file; their fingerprint is that of the numbers."""

    card: QualityCard
    scores: Float32Array

    def of(self, passages: int) -> Float32Array:
        """The scores; Mismatch unless there is one for each of so many passages."""
        if len(self.scores) != passages:
            raise Mismatch(
                f"{self.card.name} holds {len(self.scores):,} scores, the corpus has "
                f"{passages:,} passages; expected one for each, in the order of the corpus"
            )
        return self.scores


class Pruner:
    """All that can be refused without the corpus is refused here, before it is read.

    ``quality`` is a model, its name or file, or a ``.npy`` file of scores, one for each passage
    that the build would index unpruned. ``protect`` is a file of ids, one a line. Raises
    BadArguments, MissingResource, BadData.
    """

    def __init__(
        self,
        quality: str | Path | QualityModel | QualityRecipe | None,
        keep: float | None,
        min_quality: float | None,
        protect: str | Path | None,
    ) -> None:
        self._cut = Cut(keep, min_quality)
        self._protect = protect
        self._ids = frozenset[str]() if protect is None else _ids(Path(protect))
        self._scorer = scorer_of(DEFAULT_QUALITY if quality is None else quality)

    @classmethod
    def asked(
        cls,
        quality: str | Path | QualityModel | QualityRecipe | None,
        keep: float | None,
        min_quality: float | None,
        protect: str | Path | None,
    ) -> Pruner | None:
        """None where nothing is to be scored; BadArguments for protection from nothing."""
        if quality is None and keep is None and min_quality is None:
            if protect is not None:
                raise BadArguments(
                    f"protect is {str(protect)!r}, and nothing is pruned: say keep=0.75, too"
                )
            return None
        return cls(quality, keep, min_quality, protect)

    def pruned(
        self, taken: Intake, place: Workplace, shard_rows: int, progress: Progress
    ) -> Pruned:
        """Score the table in the draft, and leave in it only what is kept.

        Raises BadArguments when nothing would be kept, Mismatch for scores or ids of another
        corpus, BadData from the fitting of a model.
        """
        table = PassageTable(place.draft / PASSAGES, taken.batches, taken.rows, None)
        corpus, protected = self._read(table)
        predecessor = Predecessor.find(place.goal, corpus, taken.rows)
        card, scores = self._scores(table, place.scores, shard_rows, predecessor, progress)
        kept = self._cut.mask(scores, protected)
        rows = np.flatnonzero(kept)
        told = {
            "model": {"name": card.name, "fingerprint": card.fingerprint},
            "corpus": corpus,
            "keep": None if self._cut.keep is None else float(self._cut.keep),
            "min_quality": None if self._cut.min_quality is None else float(self._cut.min_quality),
            "protected": len(protected),
            "scored": len(scores),
            "kept": len(rows),
            "threshold": _threshold(scores, kept, protected),
            "samples": _samples(table, scores, kept),
        }
        if len(rows) < taken.rows:
            taken = Intake(len(rows), _only(table, kept, place.draft), taken.skipped)
        for name, numbers in ((CORPUS_QUALITY, scores), (QUALITY, scores[rows])):
            _save(place.draft / name, numbers.astype("<f4"))
        _save(place.draft / CORPUS_ROW, rows.astype("<i8"))
        return Pruned(taken, told, rows, predecessor)

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
                f"{self._protect} protects {named}{more}: not in the corpus; expected an id of a "
                f"passage on each line"
            )
        return corpus, np.array(sorted(found.values()), np.int64)

    def _scores(
        self,
        table: PassageTable,
        folder: Path,
        shard_rows: int,
        predecessor: Predecessor | None,
        progress: Progress,
    ) -> tuple[QualityCard, Float32Array]:
        if isinstance(self._scorer, Given):
            return self._scorer.card, self._scorer.of(len(table))
        model = fitted(self._scorer, table, progress)
        known = predecessor.scores(model.card) if predecessor else None
        if known is not None:
            return model.card, known
        shards = ScoreShards(folder, model, len(table), shard_rows)
        with progress.stage("score", len(table)) as advance:
            return model.card, shards.complete(
                lambda start, end: [p.full_text for p in table.stream(start, end)], advance
            )


def scorer_of(
    quality: str | Path | QualityModel | QualityRecipe,
) -> QualityModel | QualityRecipe | Given:
    """A model or recipe as it is, by its name or file; scores by the name of a ``.npy`` file."""
    if not isinstance(quality, str | Path):
        return quality
    return _given(Path(quality)) if str(quality).endswith(".npy") else load_quality(str(quality))


def fitted(
    scorer: QualityModel | QualityRecipe, table: PassageTable, progress: Progress
) -> QualityModel:
    """The model; one that has to read its corpus first does so now."""
    if not isinstance(scorer, QualityRecipe):
        return scorer
    with progress.stage(f"fit {scorer.name}", len(table)) as advance:

        def texts() -> Iterator[str]:
            for passage in table.stream():
                yield passage.full_text
                advance(1)

        return scorer.fit(texts())


def _given(path: Path) -> Given:
    """Scores from a file, checked as far as can be without the corpus."""
    try:
        found = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise MissingResource(f"{path} is not there; expected a .npy file of scores") from None
    except (OSError, ValueError, EOFError) as failure:
        raise BadData(f"{path} is no .npy file of scores: {failure}") from None
    if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype.kind not in "fiu":
        raise BadData(f"{path} holds {_shape(found)}; expected one number for each passage")
    scores = found.astype(np.float32)
    finite = np.isfinite(scores)
    if not finite.all():
        row = int(np.argmin(finite))
        raise BadData(
            f"{path} holds {np.count_nonzero(~finite):,} scores that are not finite, the first "
            f"in row {row}: {found[row]}; expected a float32 for each passage"
        )
    name = path.name.encode("utf-8", "replace").decode("utf-8")
    fingerprint = hashlib.sha256(scores.astype("<f4").tobytes()).hexdigest()
    return Given(QualityCard(name, fingerprint), scores)


def _shape(found: object) -> str:
    if isinstance(found, np.ndarray):
        return f"{found.dtype} {list(found.shape)}"
    return "several arrays"


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


def _samples(
    table: PassageTable, scores: Float32Array, kept: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """The worst of what was cut, as a person may judge it."""
    cut = np.flatnonzero(~kept)
    worst = cut[np.argsort(scores[cut], kind="stable")[:SAMPLES]]
    return [
        {"id": passage.id, "score": float(score), "text": _beginning(passage.full_text)}
        for passage, score in zip(table.passages(worst), scores[worst], strict=True)
    ]


def _beginning(text: str) -> str:
    """On one line."""
    words = " ".join(text[: 4 * SHOWN].split())
    return words if len(words) <= SHOWN else f"{words[: SHOWN - 1]}…"


def _only(table: PassageTable, kept: NDArray[np.bool_], draft: Path) -> list[list[int]]:
    """Replace the draft's table and ids by those of the kept rows; where its batches lie."""
    beside = draft / "kept"
    try:
        beside.mkdir()
        with PassageWriter(beside) as writer:
            for passage, stays in zip(table.stream(), kept, strict=True):
                if stays:
                    writer.add(passage)
        for name in (PASSAGES, DOCID):
            (beside / name).replace(draft / name)
        beside.rmdir()
    except OSError as failure:
        raise no_room(beside, failure) from failure
    return writer.batches


def _save(path: Path, numbers: NDArray[Any]) -> None:
    with replacing(path, "wb") as out:
        np.save(out, numbers, allow_pickle=False)

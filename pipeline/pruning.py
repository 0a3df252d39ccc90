"""``tamis build --keep``: near-duplicates go first, all others are scored, the worst are left out.

All arrays are by row of the corpus, until one writing of the table leaves in it what is kept.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import partial
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from ..core.durable import no_room, replacing
from ..core.errors import BadArguments, BadData, Mismatch, MissingResource
from ..core.fingerprints import of_texts
from ..core.optional import need
from ..core.protocols import EncodesPacked, QualityCard, QualityRecipe, ScoresPacked
from ..index.building.predecessor import Predecessor
from ..index.building.score_shards import ScoreShards
from ..index.building.token_shards import TokenShards
from ..index.folder import COLD, CORPUS_QUALITY, CORPUS_ROW, NEAR_DUPLICATES, QUALITY
from ..index.near_duplicates import check_threshold
from ..index.passages import DOCID, PassageTable, PassageWriter
from ..index.passages import NAME as PASSAGES
from ..index.pruning import Cut
from .choices import DEFAULT_QUALITY
from .components import quality as load_quality
from .intake import Intake
from .repetition import Repetition, find_repetition
from .reporting import beginning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ..core.packed_texts import PackedTexts
    from ..core.progress import Progress
    from ..core.protocols import Encoder, EncoderCard, QualityModel
    from ..core.records import Float32Array, Int64Array, Passage
    from ..index.building.shards import Known
    from ..index.building.workplace import Workplace

    class ChosenShare(Protocol):
        """A share that somebody chose, on what grounds, and vectors that choosing left behind."""

        @property
        def keep(self) -> float: ...

        @property
        def told(self) -> dict[str, Any]: ...

        def known(self, encoder: EncoderCard, rows: Int64Array) -> Known | None: ...

    TokensOf: TypeAlias = Callable[[Int64Array], PackedTexts | None]

log = logging.getLogger(__name__)

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
    tokens: Tokenised | None = None
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
        if self.tokens is None or rows is None or not isinstance(encoder, EncodesPacked):
            return None
        if encoder.token_form != self.tokens.form:
            return None
        return partial(_taken, self.tokens, rows)


@dataclass(frozen=True, slots=True)
class Tokenised:
    """Tokens of the passages that were scored, which are these rows of the corpus."""

    shards: TokenShards
    form: str
    scored: Int64Array


def _taken(tokens: Tokenised, rows: Int64Array, places: Int64Array) -> PackedTexts | None:
    return tokens.shards.take(np.searchsorted(tokens.scored, rows[places]))


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
    that the build would index unpruned. ``protect`` is a file of ids, one a line.
    ``near_duplicates`` is the similarity from which passages are left out before anything is
    scored. Raises BadArguments, MissingDependency, MissingResource, BadData.
    """

    def __init__(
        self,
        quality: str | Path | QualityModel | QualityRecipe | None,
        keep: float | None,
        min_quality: float | None,
        protect: str | Path | None,
        near_duplicates: float | None = None,
        cold: bool = False,
        device: str = "cpu",
    ) -> None:
        self._cold = cold
        self._chosen: ChosenShare | None = None
        self._cut = Cut(keep, min_quality)
        self._protect = protect
        self._ids = frozenset[str]() if protect is None else _ids(Path(protect))
        self._similarity = near_duplicates
        if near_duplicates is not None:
            check_threshold(near_duplicates)
            need("rensa", "leaving out near-duplicates")
        scored = quality is not None or keep is not None or min_quality is not None
        wanted = DEFAULT_QUALITY if quality is None else quality
        self._scorer = scorer_of(wanted, device) if scored else None

    @classmethod
    def asked(
        cls,
        quality: str | Path | QualityModel | QualityRecipe | None,
        keep: float | None,
        min_quality: float | None,
        protect: str | Path | None,
        near_duplicates: float | None = None,
        cold: bool = False,
        device: str = "cpu",
    ) -> Pruner | None:
        """None where nothing is to be left out; BadArguments for protection from nothing, and for
        a ``cold`` tier, which keeps what is cut, where nothing is."""
        if cold and keep is None and min_quality is None:
            raise BadArguments(
                "cold is asked for, and nothing is pruned that it could hold: say keep=0.75, too"
            )
        if quality is None and keep is None and min_quality is None and near_duplicates is None:
            if protect is not None:
                raise BadArguments(
                    f"protect is {str(protect)!r}, and nothing is pruned: say keep=0.75, too"
                )
            return None
        return cls(quality, keep, min_quality, protect, near_duplicates, cold, device)

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
        if self._similarity is not None:
            repetition = find_repetition(
                table, self._similarity, corpus, protected, predecessor, progress
            )
            _save(place.draft / NEAR_DUPLICATES, repetition.repeats.astype("<i8"))
        rows, told, cold, cut, tokens = repetition.rows, None, None, None, None
        if self._scorer is not None:
            scored, shielded = rows, np.searchsorted(rows, protected)
            tokens = _shared_tokens(self._scorer, encoder, place.scores, shard_rows, scored)
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
            if self._cold:
                cold = _cold_tier(table, cut, scores, place.draft / COLD, taken.skipped)
            for name, numbers in ((CORPUS_QUALITY, scores), (QUALITY, scores[rows])):
                _save(place.draft / name, numbers.astype("<f4"))
        if len(rows) < taken.rows:
            taken = Intake(len(rows), _only(table, rows, place.draft), taken.skipped)
        _save(place.draft / CORPUS_ROW, rows.astype("<i8"))
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
                f"{self._protect} protects {named}{more}: not in the corpus; expected an id of a "
                f"passage on each line"
            )
        return corpus, np.array(sorted(found.values()), np.int64)

    def _scores(
        self,
        table: PassageTable,
        repetition: Repetition,
        folder: Path,
        shard_rows: int,
        predecessor: Predecessor | None,
        tokens: Tokenised | None,
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
                    lambda start, end: [p.full_text for p in _stream(table, rows[start:end])],
                    advance,
                )
        return model.card, repetition.spread(scores)


def _shared_tokens(
    scorer: object,
    encoder: object,
    folder: Path,
    shard_rows: int,
    scored: Int64Array,
) -> Tokenised | None:
    """Where tokens are to be kept; None where scoring and encoding read different ones, or text."""
    if not (isinstance(scorer, ScoresPacked) and isinstance(encoder, EncodesPacked)):
        return None
    if scorer.token_form != encoder.token_form:
        return None
    return Tokenised(TokenShards(folder, shard_rows), scorer.token_form, scored)


def scorer_of(
    quality: str | Path | QualityModel | QualityRecipe, device: str = "cpu"
) -> QualityModel | QualityRecipe | Given:
    """A model or recipe as it is, by its name or file; scores by the name of a ``.npy`` file."""
    if not isinstance(quality, str | Path):
        return quality
    if str(quality).endswith(".npy"):
        return _given(Path(quality))
    return load_quality(str(quality), device=device)


def fitted(
    scorer: QualityModel | QualityRecipe, table: PassageTable, rows: Int64Array, progress: Progress
) -> QualityModel:
    """The model; one that has to read its corpus first does so now."""
    if not isinstance(scorer, QualityRecipe):
        return scorer
    with progress.stage(f"fit {scorer.name}", len(rows)) as advance:

        def texts() -> Iterator[str]:
            for passage in _stream(table, rows):
                yield passage.full_text
                advance(1)

        return scorer.fit(texts())


def _stream(table: PassageTable, rows: Int64Array) -> Iterator[Passage]:
    """The passages of these rows, rising, in one reading from the first to the last of them."""
    if not len(rows):
        return
    first = int(rows[0])
    wanted = np.zeros(int(rows[-1]) + 1 - first, np.bool_)
    wanted[rows - first] = True
    yield from compress(table.stream(first, first + len(wanted)), wanted.tolist())


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


def _samples(table: PassageTable, scores: Float32Array, cut: Int64Array) -> list[dict[str, Any]]:
    """The worst of what was cut, as a person may judge it."""
    worst = cut[np.argsort(scores[cut], kind="stable")[:SAMPLES]]
    return [
        {"id": passage.id, "score": float(score), "text": beginning(passage.full_text)}
        for passage, score in zip(table.passages(worst), scores[worst], strict=True)
    ]


def _only(table: PassageTable, rows: Int64Array, draft: Path) -> list[list[int]]:
    """Replace the draft's table and ids by those of the kept rows; where its batches lie."""
    beside = draft / "kept"
    try:
        batches = _written(table, rows, beside)
        for name in (PASSAGES, DOCID):
            (beside / name).replace(draft / name)
        beside.rmdir()
    except OSError as failure:
        raise no_room(beside, failure) from failure
    return batches


def _cold_tier(
    table: PassageTable, cut: Int64Array, scores: Float32Array, folder: Path, skipped: int
) -> Intake | None:
    """The table and ids of the rows that are cut, with their scores, in a folder of their own."""
    if not len(cut):
        log.warning("nothing was pruned, so there is no cold tier")
        return None
    try:
        taken = Intake(len(cut), _written(table, cut, folder), skipped)
    except OSError as failure:
        raise no_room(folder, failure) from failure
    _save(folder / QUALITY, scores[cut].astype("<f4"))
    _save(folder / CORPUS_ROW, cut.astype("<i8"))
    return taken


def _written(table: PassageTable, rows: Int64Array, folder: Path) -> list[list[int]]:
    folder.mkdir()
    with PassageWriter(folder) as writer:
        for passage in _stream(table, rows):
            writer.add(passage)
    return writer.batches


def _save(path: Path, numbers: NDArray[Any]) -> None:
    with replacing(path, "wb") as out:
        np.save(out, numbers, allow_pickle=False)

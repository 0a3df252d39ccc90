"""What gives passages their quality scores: a model, one fitted on the corpus, or a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadData, Mismatch, MissingResource
from ..core.protocols import QualityCard, QualityRecipe
from .components import quality as load_quality
from .kept_rows import passages_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.progress import Progress
    from ..core.protocols import QualityModel
    from ..core.records import Float32Array, Int64Array
    from ..index.passages import PassageTable


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
            for passage in passages_of(table, rows):
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

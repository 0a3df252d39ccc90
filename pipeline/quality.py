"""A corpus to one quality score a passage, in a file that nothing has to be scored twice for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from ..core.corpus import Flaw, open_corpus
from ..core.corpus.inspection import Inspection
from ..core.durable import replacing
from ..core.errors import BadArguments, BadData
from ..core.progress import Silent
from ..core.protocols import QualityRecipe
from ..index.building.score_shards import BLOCK, scores_of
from .choices import DEFAULT_QUALITY
from .components import quality as load_quality
from .outputs import check_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.corpus import Corpus
    from ..core.progress import Advance, Progress
    from ..core.protocols import QualityCard, QualityModel
    from ..core.records import Float32Array

_SHOWN = 20  # errors spelled out when a corpus is refused; ``tamis check`` shows more


@dataclass(frozen=True, slots=True)
class Scored:
    """How many passages have a score in ``path``, from which model, and between which ends."""

    path: Path
    passages: int
    model: QualityCard
    lowest: float
    mean: float
    highest: float


def score_corpus(
    corpus: str | Path,
    output: str | Path,
    *,
    quality: str | QualityModel | QualityRecipe = DEFAULT_QUALITY,
    device: str = "cpu",
    save_model: str | Path | None = None,
    progress: Progress | None = None,
) -> Scored:
    """Write a .npy file of float32 [passages], in the order of the corpus.

    The corpus is read twice: once to check it, to count it and to fit the models that have to
    read their corpus first; once to score it. Titles count as everywhere: title, one space, text.
    The file is whole or not there. ``save_model`` is a file for the model itself, fitted, where it
    can be stored. Raises BadData for a corpus with errors, BadArguments for a model that has
    nothing to store.
    """
    output, progress = Path(output), progress or Silent()
    check_output(output, [corpus])
    found = load_quality(quality, device=device) if isinstance(quality, str) else quality
    opened = open_corpus(corpus)
    if save_model is not None:
        check_output(Path(save_model), [corpus, output])
        _check_storable(found)
    model, passages = _prepare(opened, found, progress)
    if save_model is not None:
        cast("Any", model).save(save_model)
    ends = _Ends()
    with progress.stage("score", passages) as advance, replacing(output, "wb") as out:
        _begin(out, passages)
        for scores in _scores(opened, model, advance):
            out.write(scores.astype("<f4").tobytes())
            ends.add(scores)
        if ends.count != passages:  # inside, so that the draft is thrown away
            raise BadData(
                f"{opened.source} changed while it was read: {passages:,} passages, then "
                f"{ends.count:,}; run the same command again"
            )
    mean = ends.total / passages
    return Scored(output, passages, model.card, ends.lowest, mean, ends.highest)


def _check_storable(found: QualityModel | QualityRecipe) -> None:
    """Before the corpus is read: what is fitted can be stored, and of the rest what says so."""
    if not isinstance(found, QualityRecipe) and not hasattr(found, "save"):
        raise BadArguments(
            f"the quality model {found.card.name!r} has nothing to store: its name is enough"
        )


def _prepare(
    corpus: Corpus, found: QualityModel | QualityRecipe, progress: Progress
) -> tuple[QualityModel, int]:
    """The model, fitted if need be, and the number of passages; BadData for a flawed corpus."""
    inspection = Inspection(corpus)
    with progress.stage("read", None) as advance:
        texts = _admitted(corpus, inspection, advance)
        try:
            model = found.fit(texts) if isinstance(found, QualityRecipe) else found
        except BadData:  # no word in it: what is wrong with the corpus says more, if anything is
            _refuse_flaws(corpus, inspection)
            raise
        for _ in texts:  # what a fit has left over, which is all where there is none
            pass
    _refuse_flaws(corpus, inspection)
    return model, inspection.passages


def _admitted(corpus: Corpus, inspection: Inspection, advance: Advance) -> Iterator[str]:
    for item in corpus:
        advance(1)
        if inspection.admit(item) and not isinstance(item, Flaw):
            yield item.full_text


def _refuse_flaws(corpus: Corpus, inspection: Inspection) -> None:
    inspection.finish()
    if not inspection.error_counts:
        return
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in inspection.error_counts.items())
    lines = "".join(f"\n  {flaw}" for flaw in inspection.errors[:_SHOWN])
    raise BadData(
        f"{corpus.source} has errors ({kinds}); mend them, all of which are named by "
        f"tamis check {corpus.source}:{lines}"
    )


def _scores(corpus: Corpus, model: QualityModel, advance: Advance) -> Iterator[Float32Array]:
    texts = (item.full_text for item in corpus if not isinstance(item, Flaw))
    while block := list(islice(texts, BLOCK)):
        yield scores_of(model, block)
        advance(len(block))


def _begin(out: IO[Any], passages: int) -> None:
    """The header of a .npy file whose numbers will follow, block by block."""
    np.lib.format.write_array_header_1_0(
        out, {"descr": "<f4", "fortran_order": False, "shape": (passages,)}
    )


@dataclass(slots=True)
class _Ends:
    """The least, the mean and the greatest of what has gone by."""

    count: int = 0
    total: float = 0.0
    lowest: float = np.inf
    highest: float = -np.inf

    def add(self, scores: Float32Array) -> None:
        self.count += len(scores)
        self.total += float(scores.sum(dtype=np.float64))
        self.lowest = min(self.lowest, float(scores.min()))
        self.highest = max(self.highest, float(scores.max()))

"""``--keep auto``: the smallest share of the passages whose answers are still as good, on dev."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .pipelines import DENSE, MODES
from .prune_curve import prune_curve

if TYPE_CHECKING:
    from pathlib import Path

    from ...core.progress import Progress
    from ...core.protocols import Encoder, EncoderCard, QualityModel, QualityRecipe
    from ...core.records import Float32Array, Int64Array
    from ...index.building.shards import Known
    from ...index.lexical import LexicalSettings
    from .prune_curve import PruneCurve
    from .vectors import Encoding

log = logging.getLogger(__name__)

MEASURE = "nDCG@10"


@dataclass(frozen=True, slots=True)
class AutoShare:
    """keep: the share of the passages to index. told: for the manifest, what it rests on."""

    keep: float
    told: dict[str, Any]
    encoding: Encoding | None

    def known(self, encoder: EncoderCard, rows: Int64Array) -> Known | None:
        """Vectors of these rows of the corpus, which the curve has already paid for."""
        encoding = self.encoding
        if encoding is None or encoding.card.fingerprint != encoder.fingerprint:
            return None

        def known(start: int, end: int) -> tuple[Int64Array, Float32Array]:
            return np.arange(end - start), encoding.vectors(rows[start:end])

        return known


def auto_share(
    corpus: str | Path,
    report: Path,
    *,
    queries: str,
    qrels: str,
    quality: str | Path | QualityModel | QualityRecipe,
    encoder: Encoder,
    query_encoder: Encoder,
    lexical: LexicalSettings | None,
    progress: Progress,
) -> AutoShare:
    """Draw the pruning curve over ``queries`` and take its largest share, 5 to 70 %, up to which
    nDCG@10 is equivalent (TOST, +-5 %, alpha .05) in every pipeline that the index will have.

    The curve stays in ``report``, written out. Where not even 5 % can be shown to be free,
    everything is kept, and a warning says so. Raises as ``prune_curve``.
    """
    curve = prune_curve(
        corpus,
        report,
        queries=queries,
        qrels=qrels,
        qualities=(quality,),
        encoder=encoder,
        query_encoder=query_encoder,
        modes=(DENSE,) if lexical is None else MODES,
        measures=(MEASURE,),
        k1=0.9 if lexical is None else lexical.k1,
        b=0.4 if lexical is None else lexical.b,
        progress=progress,
    )
    curve.write(report)
    largest = _largest(curve)
    pruned = min(largest.values())
    if not pruned:
        log.warning(
            "no share pruned by %s is shown to be equivalent in %s: everything is kept; "
            "%s says why",
            curve.costs_of,
            ", ".join(name for name, share in largest.items() if not share),
            report / "report.md",
        )
    _tell_gains(curve, pruned)
    told = {"queries": len(curve.collection.queries), "measure": MEASURE, "largest": largest}
    return AutoShare(round(1 - pruned, 10), told, curve.encoding)


def _tell_gains(curve: PruneCurve, pruned: float) -> None:
    """Equivalence ends at a gain, too; whoever wants that may prune on."""
    own = [each for each in curve.curves if each.quality == curve.costs_of]
    ends = [each.largest(MEASURE, "non-inferiority") for each in own]
    harmless = min(0.0 if point is None else point.share for point in ends)
    if harmless > pruned:
        log.warning(
            "with more than %g %% pruned %s is not equivalent, but up to %g %% it is shown to be "
            "no worse: keep=%g takes that",
            100 * pruned,
            MEASURE,
            100 * harmless,
            round(1 - harmless, 10),
        )


def _largest(curve: PruneCurve) -> dict[str, float]:
    """By pipeline, the largest share pruned that is equivalent; 0 where none is. By chance: at the
    unluckiest seed."""
    found: dict[str, float] = {}
    for each in curve.curves:
        if each.quality == curve.costs_of:
            point = each.largest(MEASURE, "equivalence")
            share = 0.0 if point is None else point.share
            found[each.pipeline] = min(share, found.get(each.pipeline, share))
    return found

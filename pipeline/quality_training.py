"""Train a passage quality model from a TOML spec."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.durable import replacing
from ..core.errors import BadArguments
from ..core.progress import Silent
from ..core.strict_json import from_json
from ..encoders.training.labels import apart
from ..encoders.training.spec import read_spec
from ..eval.discrimination import area_under_roc
from .label_settings import LabelSettings
from .labelling import labels
from .training import run_training, settle

if TYPE_CHECKING:
    from ..core.progress import Progress
    from ..core.protocols import Encoder
    from ..encoders.quality.recurrent import RecurrentQuality
    from ..encoders.training.quality import QualitySpec, QualityTraining
    from ..encoders.training.spec import TrainingSpec

log = logging.getLogger(__name__)


def train_quality(
    spec: str | Path,
    output: str | Path,
    *,
    data: str | Path | None = None,
    progress: Progress | None = None,
) -> RecurrentQuality:
    """Train the quality model that a TOML spec describes, save its folder and load it.

    The spec has ``recipe = "quality"``, ``[model]`` (a new folded one), ``[quality]``,
    ``[schedule]`` and one ``[[labels]]`` for each source of labels. ``output`` must not exist;
    ``OUTPUT.training`` beside it keeps the checkpoint, the log and a figure. Killed, the same call
    goes on from the checkpoint. BadArguments, BadData or MissingResource for a wrong spec, before
    anything is read.
    """
    goal, watched = Path(output), progress or Silent()
    if goal.exists():
        raise BadArguments(f"{goal} exists; remove it or choose another name for the model")
    read = read_spec(Path(spec), Path(data) if data is not None else None)
    from ..encoders.training.quality import check_quality_spec

    own, tables = check_quality_spec(read), _tables(read)
    settle(read.threads)
    recipe = _recipe(read, own, tables, watched)
    judges = [_HeldOut(recipe)] if own.held_out else []
    run_training(recipe, read, goal.with_name(f"{goal.name}.training"), judges, watched)
    recipe.save(goal)
    with replacing(goal / "training.toml") as out:
        out.write(Path(spec).read_text("utf-8"))
    from ..encoders.quality.recurrent import load_recurrent

    return load_recurrent(goal)


class _HeldOut:
    """The area under the ROC curve of wanted texts against all others, over held-out queries."""

    name = "held-out AUC"

    def __init__(self, recipe: QualityTraining) -> None:
        self._recipe = recipe

    def value(self, encoder: Encoder) -> float:
        del encoder  # the head is not part of it
        scores, wanted = self._recipe.held_out()
        return area_under_roc(scores, wanted == 1)


def _tables(spec: TrainingSpec) -> list[LabelSettings]:
    """Every ``[[labels]]``, its paths taken from the data folder; there is at least one."""
    bodies = spec.sections.get("labels", [])
    if not isinstance(bodies, list) or not bodies:
        raise BadArguments(f"{spec.source} names no [[labels]] to learn from")
    tables = [
        from_json(LabelSettings, body, f"{spec.source} [[labels]] number {number}")
        for number, body in enumerate(bodies, 1)
    ]
    tables = [table.under(spec.base) for table in tables]
    for table in tables:
        table.check()
    return tables


def _recipe(
    spec: TrainingSpec, own: QualitySpec, tables: list[LabelSettings], progress: Progress
) -> QualityTraining:
    from ..encoders.training.quality import QualityTraining

    counts: Counter[str] = Counter()
    seen = [each for table in tables for each in labels(table, spec.seed, counts, progress)]
    learned, held_out = apart(seen, own.held_out, spec.seed, counts)
    log.info("labels: %s", ", ".join(f"{n:,} {what}" for what, n in counts.items()))
    wanted = sum(each.label == 1 for each in learned)
    sources = ", ".join(dict.fromkeys(table.source for table in tables))
    told = (
        f"It learned from {len(learned):,} texts, {wanted:,} of them wanted (sources of labels: "
        f"{sources})."
    )
    return QualityTraining(spec, own, learned, held_out, told)

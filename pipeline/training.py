"""Train an encoder: what the rooms that never meet hand each other is put together here."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..core.durable import replacing
from ..core.errors import BadArguments, MissingDependency
from ..core.progress import Silent
from ..core.strict_json import from_json
from ..encoders.training.recipes import prepare
from ..encoders.training.spec import read_spec
from .dev_evaluation import DevCollection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..core.progress import Progress
    from ..core.protocols import Encoder
    from ..encoders.training.pairs import Pair
    from ..encoders.training.recipe import Recipe
    from ..encoders.training.spec import TrainingSpec

log = logging.getLogger(__name__)

FIGURE = "training.svg"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_LARGE = 1 << 30


class Judge(Protocol):
    """Says how good a model in training is, higher is better."""

    @property
    def name(self) -> str: ...

    def value(self, encoder: Encoder) -> float: ...


def train_encoder(
    spec: str | Path,
    output: str | Path,
    *,
    data: str | Path | None = None,
    progress: Progress | None = None,
) -> Encoder:
    """Train the encoder that a TOML spec describes, save it as a model folder and load it.

    ``output`` must not exist; ``OUTPUT.training`` beside it keeps the checkpoint, the log and a
    figure of the losses. Killed, the same call goes on from the checkpoint. Relative paths in the
    spec start at ``data``, by default the spec's folder. BadArguments, BadData or MissingResource
    for a wrong spec, before a model is loaded.
    """
    goal, watched = Path(output), progress or Silent()
    if goal.exists():
        raise BadArguments(f"{goal} exists; remove it or choose another name for the model")
    read = read_spec(Path(spec), Path(data) if data is not None else None)
    collections = [DevCollection(each, read) for each in read.evaluations]
    settle(read.threads)
    recipe = prepare(read, teacher_cache(), _pairs_of(read, watched))
    run_training(recipe, read, goal.with_name(f"{goal.name}.training"), collections, watched)
    recipe.trainee.save(goal, trained_on=recipe.trained_on)
    with replacing(goal / "training.toml") as out:
        out.write(Path(spec).read_text("utf-8"))
    from .components import encoder

    return encoder(str(goal))


def _pairs_of(spec: TrainingSpec, progress: Progress) -> Callable[[Mapping[str, Any]], list[Pair]]:
    """Makes the pairs that ``[pairs]`` describes; a wrong table is refused right here."""
    from .mining import make_pairs
    from .pair_settings import PairSettings

    def settings(table: Mapping[str, Any]) -> PairSettings:
        return from_json(PairSettings, table, f"{spec.source} [pairs]").under(spec.base)

    table = spec.sections.get("pairs", {})
    if isinstance(table, dict) and set(table) - {"file"}:
        settings(table).check()
    return lambda table: make_pairs(settings(table), progress=progress)


def run_training(
    recipe: Recipe,
    spec: TrainingSpec,
    folder: Path,
    judges: Sequence[Judge],
    progress: Progress,
) -> None:
    """The loop with its evaluation, and its figure at the end."""
    from ..encoders.training.loop import train

    def evaluate() -> Mapping[str, float]:
        encoder = recipe.trainee.encoder()
        return {each.name: each.value(encoder) for each in judges}

    train(recipe, spec, folder, evaluate=evaluate if judges else None, progress=progress)
    draw_figure(folder)


def teacher_cache() -> Path:
    """Where teachers' vectors are kept: ``tamis/teacher`` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tamis" / "teacher"


def draw_figure(folder: Path) -> None:
    """The losses of a run; without matplotlib a warning stands in for them."""
    from ..encoders.training.figure import write_figure
    from ..encoders.training.log import LOG

    try:
        write_figure(folder / LOG, folder / FIGURE)
    except MissingDependency as missing:
        log.warning("no figure of the losses: %s", missing)


def settle(threads: int) -> None:
    """Threads as a spec says (0: as they are), and memory that is kept, not fetched anew.

    glibc gives a freed large block back to the system and maps the next one page by page, which
    costs as much as the work on it: a training step is a fifth faster when it keeps them.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE - 1)

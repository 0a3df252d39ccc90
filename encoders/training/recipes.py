"""From a spec to a recipe ready to train: everything that can be wrong is found first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...core.errors import BadArguments, MissingResource
from .model_check import check_model, check_states
from .named_models import check_model_name, model_of
from .spec import one_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .pairs_table import MakePairs
    from .recipe import Recipe
    from .spec import TrainingSpec
    from .teacher import Teacher
    from .texts import TextSource


@dataclass(frozen=True, slots=True)
class TeacherSpec:
    """``model``: "minilm", a folder or a hub name; half: multiply in bfloat16."""

    model: str = "minilm"
    half: bool = False


def prepare(spec: TrainingSpec, cache: Path, pairs: MakePairs | None = None) -> Recipe:
    """The recipe that the spec names, its model made and its data read.

    ``cache`` keeps what teachers say. ``pairs`` makes training pairs of what the table ``[pairs]``
    says, where that is more than a file of them. BadArguments, BadData or MissingResource name
    what is wrong in the spec before any model is loaded.

    torch's global generator is set by the spec's seed.
    """
    one_of(f"{spec.source}: recipe", spec.recipe, tuple(RECIPES))
    check_model(spec)
    import torch

    torch.manual_seed(spec.seed)  # for dropout, and weights that a model's file lacks
    if spec.recipe == _NEEDS_PAIRS:
        return _contrastive(spec, cache, pairs)
    return RECIPES[spec.recipe](spec, cache)


def _distillation(spec: TrainingSpec, cache: Path) -> Recipe:
    from .distillation import Distillation, DistillationSpec

    spec.only("teacher", "distillation", "texts")
    described = spec.section(TeacherSpec, "teacher")
    own = spec.section(DistillationSpec, "distillation")
    sources = text_sources(spec)
    check_states(spec, own.states, max(source.states for source in sources))
    from .students import student
    from .teacher_cache import TeacherCache

    teacher = load_teacher(described, spec)
    return Distillation(spec, own, sources, student(spec, teacher), TeacherCache(cache, teacher))


def _contrastive(spec: TrainingSpec, cache: Path, pairs: MakePairs | None = None) -> Recipe:
    from .contrastive import Contrastive, ContrastiveSpec
    from .pairs_table import training_pairs

    spec.only("teacher", "contrastive", "pairs")
    described = spec.section(TeacherSpec, "teacher")
    own = spec.section(ContrastiveSpec, "contrastive")
    named = "teacher" in spec.sections
    if spec.model.start and named and not own.keep:
        raise BadArguments(
            f"{spec.source}: nobody asks [teacher]: set keep in [contrastive], or leave it out"
        )
    check_model_name("[teacher] model", described.model, spec)
    source, found = training_pairs(spec, pairs)
    own.check_pairs(found, source)
    from .frozen_start import frozen_start
    from .students import check_same_space, enter_space, student
    from .teacher_cache import TeacherCache

    teacher = load_teacher(described, spec) if named or not spec.model.start else None
    if teacher is not None:
        check_same_space(spec, teacher)
    trainee = student(spec, teacher)
    if not own.keep:
        enter_space(trainee, "")
        return Contrastive(spec, own, found, trainee, None, source=source)
    near = teacher or frozen_start(spec)
    enter_space(trainee, near.card.space)
    return Contrastive(spec, own, found, trainee, TeacherCache(cache, near), source=source)


def _bottleneck(spec: TrainingSpec, cache: Path) -> Recipe:
    from .bottleneck import bottleneck

    return bottleneck(spec, cache)


def _quick_thoughts(spec: TrainingSpec, cache: Path) -> Recipe:
    from .quick_thoughts import quick_thoughts

    return quick_thoughts(spec, cache)


_NEEDS_PAIRS = "contrastive"
RECIPES: dict[str, Callable[[TrainingSpec, Path], Recipe]] = {
    "bottleneck": _bottleneck,
    "contrastive": _contrastive,
    "distillation": _distillation,
    "quick-thoughts": _quick_thoughts,
}


def text_sources(spec: TrainingSpec) -> list[TextSource]:
    """The files of ``[[texts]]``, which must be there."""
    from .texts import TextSource

    named = spec.list_of(TextSource, "texts")
    if not named:
        raise BadArguments(f"{spec.source} names no [[texts]] to learn from")
    sources = [replace(each, path=str(spec.path(each.path))) for each in named]
    for source in sources:
        if not source.file.is_file():
            raise MissingResource(
                f"{spec.source}: {source.path} does not exist; relative paths start at "
                f"{spec.base}: name another folder with --data"
            )
    return sources


def load_teacher(described: TeacherSpec, spec: TrainingSpec) -> Teacher:
    """Loaded; MissingDependency or MissingResource when it cannot be had."""
    from .teacher import Teacher

    return Teacher(
        model_of(described.model, spec),
        name=described.model,
        device=spec.device,
        precision="bf16" if described.half else "fp32",
    )

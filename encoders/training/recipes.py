"""From a spec to a recipe ready to train: everything that can be wrong is found first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...core.errors import BadArguments, MissingResource
from .spec import one_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .recipe import Recipe
    from .spec import TrainingSpec
    from .teacher import Teacher
    from .texts import TextSource


@dataclass(frozen=True, slots=True)
class TeacherSpec:
    """``model``: "minilm", a folder or a hub name; half: multiply in bfloat16."""

    model: str = "minilm"
    half: bool = False


def prepare(spec: TrainingSpec, cache: Path) -> Recipe:
    """The recipe that the spec names, its model made and its data read.

    ``cache`` keeps what teachers say. BadArguments, BadData or MissingResource name what is wrong
    in the spec before any model is loaded.
    """
    one_of(f"{spec.source}: recipe", spec.recipe, tuple(RECIPES))
    return RECIPES[spec.recipe](spec, cache)


def _distillation(spec: TrainingSpec, cache: Path) -> Recipe:
    from .distillation import Distillation, DistillationSpec

    spec.only("teacher", "distillation", "texts")
    described = spec.section(TeacherSpec, "teacher")
    own = spec.section(DistillationSpec, "distillation")
    sources = text_sources(spec)
    from .students import student
    from .teacher_cache import TeacherCache

    teacher = load_teacher(described, spec)
    return Distillation(spec, own, sources, student(spec, teacher), TeacherCache(cache, teacher))


RECIPES: dict[str, Callable[[TrainingSpec, Path], Recipe]] = {"distillation": _distillation}


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
    from ..minilm import minilm_folder
    from .teacher import Teacher

    model = minilm_folder() if described.model == "minilm" else described.model
    return Teacher(
        model,
        name=described.model,
        device=spec.device,
        precision="bf16" if described.half else "fp32",
    )

"""What recipes that learn from text alone begin with: a student in a space of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from ...core.errors import BadArguments, BadData
from .trainee import PackedTrainee

if TYPE_CHECKING:
    from .spec import TrainingSpec
    from .texts import TextSource
    from .trainee import Trainee


def student_in_own_space(spec: TrainingSpec) -> Trainee:
    """Made as ``[model]`` says, its weights the seed's or those of ``start``.

    A new one has the word pieces, the dimension and (folded) the token table of ``[teacher]``.
    Nothing will hold it to that teacher's vectors, nor to what it was once aligned with: its
    ``space`` becomes its own, so that its vectors are never searched with another's.
    """
    from .recipes import TeacherSpec, load_teacher
    from .students import student

    teacher: Any = None  # is asked for new models only
    if not spec.model.start:
        teacher = load_teacher(spec.section(TeacherSpec, "teacher"), spec)
    trainee = student(spec, teacher)
    if isinstance(trainee, PackedTrainee):
        trainee.model.spec = replace(cast("Any", trainee.model.spec), space="")
    return trainee


def plain_sources(spec: TrainingSpec) -> list[TextSource]:
    """The files of ``[[texts]]``, for a recipe that asks no teacher; ``[teacher]`` is read too.

    BadArguments or BadData for what would change nothing.
    """
    from .recipes import TeacherSpec, text_sources

    spec.section(TeacherSpec, "teacher")
    if spec.model.start and "teacher" in spec.sections:
        raise BadArguments(
            f"{spec.source} has [teacher], which only makes a new model: [model] start is "
            f"{spec.model.start!r}"
        )
    for source in (sources := text_sources(spec)):
        if source.states:
            raise BadData(
                f"{spec.source} [[texts]]: states is {source.states} for {source.path}, which the "
                f"recipe {spec.recipe!r} does not read; leave it out"
            )
    return sources

"""What recipes that learn from text alone begin with: a student in a space of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BadArguments, BadData

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
    from .students import enter_space, student

    described = spec.section(TeacherSpec, "teacher")
    trainee = student(spec, None if spec.model.start else load_teacher(described, spec))
    enter_space(trainee, "")
    return trainee


def plain_sources(spec: TrainingSpec) -> list[TextSource]:
    """The files of ``[[texts]]``, for a recipe that asks no teacher; ``[teacher]`` is read too.

    BadArguments, BadData or MissingResource, also for what would change nothing.
    """
    from .named_models import check_model_name
    from .recipes import TeacherSpec, text_sources

    described = spec.section(TeacherSpec, "teacher")
    if spec.model.start and "teacher" in spec.sections:
        raise BadArguments(
            f"{spec.source} has [teacher], which only makes a new model: [model] start is "
            f"{spec.model.start!r}"
        )
    check_model_name("[teacher] model", described.model, spec)
    for source in (sources := text_sources(spec)):
        if source.states:
            raise BadData(
                f"{spec.source} [[texts]]: states is {source.states} for {source.path}, which the "
                f"recipe {spec.recipe!r} does not read; leave it out"
            )
    return sources

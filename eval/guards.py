"""Runs and judgments that would give numbers without meaning: refused, or told with a count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..core.errors import BadData, Mismatch
from .measures import relevance_level
from .ties import tied

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..core.records import Judgments, RunScores
    from .measures import Measure

HIGHEST_GRADE = 1_000_000
"""trec_eval takes memory in proportion to the highest grade."""

MANY_TIES = 0.1
"""From this share of tied candidates on, the tie rule is worth a warning."""


def refuse_odd_grades(judgments: Judgments) -> None:
    """BadData when there is no judgment, or a grade so high that it is none."""
    highest = max(
        (grade for grades in judgments.values() for grade in grades.values()), default=None
    )
    if highest is None:
        raise BadData("the judgments hold no query; expected at least one judged passage")
    if highest > HIGHEST_GRADE:
        raise BadData(f"the judgments hold grade {highest}; expected at most {HIGHEST_GRADE}")


def refuse_strangers(run: RunScores, judgments: Judgments) -> None:
    """Mismatch when not one judged query is in the run: all would count with 0."""
    if any(run.get(query) for query in judgments):
        return
    seen = repr(next(iter(run))) if run else "no query at all"
    raise Mismatch(
        f"the run holds {len(run)} queries ({seen}, ...) and none of the {len(judgments)} judged "
        f"ones ({next(iter(judgments))!r}, ...); give the judgments of the run's own queries"
    )


def refuse_endless_scores(run: RunScores) -> None:
    """BadData when a score is NaN or infinite: it has no place in an order."""
    for query, scores in run.items():
        if all(map(math.isfinite, scores.values())):
            continue
        passage = next(each for each in scores if not math.isfinite(scores[each]))
        raise BadData(
            f"query {query!r} gives passage {passage!r} the score {scores[passage]}; expected a "
            f"finite number: look at the system that wrote the run"
        )


def refuse_constant_scorer(run: RunScores) -> None:
    """BadData when every query with several candidates gives them all one score."""
    several = [scores for scores in run.values() if len(scores) > 1]
    if several and all(map(_constant, several)):
        raise BadData(
            f"each of the {len(several)} queries with several candidates gives them all the same "
            f"score, so the order would be the tie rule's alone; expected scores that differ: "
            f"look at the system that wrote the run"
        )


def tie_warnings(run: RunScores) -> list[str]:
    """What is odd about equal scores, in sentences with counts."""
    found = []
    constant = sum(len(scores) > 1 and _constant(scores) for scores in run.values())
    if constant:
        found.append(
            f"{constant} of {len(run)} queries give all their candidates one score: their order "
            f"is the tie rule's"
        )
    candidates = sum(map(len, run.values()))
    equal = sum(map(tied, run.values()))
    if equal > MANY_TIES * candidates:
        found.append(
            f"{equal} of {candidates} candidates ({equal / candidates:.0%}) share their score "
            f"with another of their query: the tie rule decides their order"
        )
    return found


def judgment_warnings(judgments: Judgments, measures: Sequence[Measure]) -> list[str]:
    """How many judged queries have nothing to find, per lowest relevant grade."""
    by_level: dict[int, list[str]] = {}
    for measure in measures:
        level = relevance_level(measure)
        if level is not None:
            by_level.setdefault(level, []).append(str(measure))
    found = []
    for level, names in sorted(by_level.items()):
        barren = sum(max(grades.values()) < level for grades in judgments.values())
        if barren:
            found.append(
                f"{barren} of {len(judgments)} judged queries have no passage of grade {level} or "
                f"more: they count with 0 in {', '.join(names)}"
            )
    return found


def _constant(scores: Mapping[str, float]) -> bool:
    return len(set(scores.values())) == 1

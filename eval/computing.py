"""Who computes a measure: ir_measures' providers, and ourselves where none of them can."""

from __future__ import annotations

from subprocess import CalledProcessError
from typing import TYPE_CHECKING, Any

from ..core.errors import BadArguments, BadData, FailedWhileRunning, MissingDependency
from .rbp import rank_biased_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .measures import Measure

HIGHEST_EXPONENT = 20
"""trec_eval takes memory in proportion to the highest gain: 2^20 - 1 is where we stop."""


_ALONE = frozenset({"gains", "judged_only"})
"""ir_measures 0.4.3 may put a plain nDCG or NumRet into the same trec_eval call as one with these
parameters (by hash order, in ``PytrecEvalProvider._build_invokers``), and so change its value."""


def values_by_query(
    measures: Sequence[Measure],
    judgments: dict[str, dict[str, int]],
    run: dict[str, dict[str, float]],
) -> dict[Measure, dict[str, float]]:
    """Measure -> query -> value, for every query of the judgments.

    The run's queries are judged ones and hold strictly different scores (see ``ties.py``).
    A query absent from the run has the measure's value for an empty ranking: 0 as a rule.
    Raises MissingDependency naming the package that computes a measure.
    """
    # gdeval reads query numbers only, and cuts "a-1" and "b-1" to the same one
    number = {query: str(place) for place, query in enumerate(judgments)}
    numbered = {number[query]: grades for query, grades in judgments.items()}
    ranked = {number[query]: scores for query, scores in run.items() if scores}
    found: dict[Measure, dict[str, float]] = {}
    together: list[Measure] = []
    for measure in measures:
        if measure.NAME == "RBP":
            found[measure] = rank_biased_precision(numbered, ranked, **measure.params)
        elif (form := _computable(measure, numbered)) == measure and not _ALONE & {*measure.params}:
            together.append(measure)
        else:
            found[measure] = _provided([form], numbered, ranked)[form]
    found.update(_provided(together, numbered, ranked))
    return {
        measure: {query: found[measure].get(number[query], measure.DEFAULT) for query in judgments}
        for measure in measures
    }


def _provided(
    measures: list[Measure], judgments: dict[str, dict[str, int]], run: dict[str, dict[str, float]]
) -> dict[Measure, dict[str, float]]:
    import ir_measures

    found: dict[Measure, dict[str, float]] = {measure: {} for measure in measures}
    if not measures:
        return found
    try:
        for metric in ir_measures.iter_calc(measures, judgments, run):
            found[metric.measure][metric.query_id] = float(metric.value)
    except CalledProcessError as failure:
        raise FailedWhileRunning(f"an evaluation program broke off: {failure}") from failure
    return found


def _computable(measure: Measure, judgments: dict[str, dict[str, int]]) -> Measure:
    """The measure in a form that an installed provider computes, with the same values."""
    import ir_measures

    if measure.NAME == "nDCG" and measure.params.get("dcg") == "exp-log2":
        measure = _linear(measure, judgments)
    pipeline: Any = ir_measures.DefaultPipeline
    if pipeline.supports(measure):
        return measure
    able = [each for each in pipeline.providers if _could(each, measure)]
    if not able:
        raise BadArguments(
            f"nothing that ir_measures knows computes {measure}; choose other parameters or "
            f"another measure"
        )
    ways = " or ".join(each.install_instructions() or each.NAME for each in able)
    raise MissingDependency(f"{measure} needs a package that is not installed: {ways}")


def _could(provider: Any, measure: Measure) -> bool:
    return bool(provider.supports(measure)) and not provider.is_available()


def _linear(measure: Measure, judgments: dict[str, dict[str, int]]) -> Measure:
    """nDCG with gains 2^grade - 1 written out: exact, where gdeval (Perl) gives 5 digits."""
    if "gains" in measure.params:
        raise BadArguments(f"{measure} has gains and dcg='exp-log2'; give one of them")
    grades = {grade for judged in judgments.values() for grade in judged.values() if grade > 0}
    if max(grades, default=0) > HIGHEST_EXPONENT:
        raise BadData(
            f"the judgments hold grade {max(grades)}; {measure} expects grades up to "
            f"{HIGHEST_EXPONENT}, as it gives grade g the gain 2^g - 1: choose nDCG without dcg"
        )
    params = {key: value for key, value in measure.params.items() if key != "dcg"}
    plain = type(measure)(**params)
    return plain(gains={grade: 2**grade - 1 for grade in sorted(grades)})

"""Below which sureness a query goes cold: a share of queries, or the fewest that recall needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import BadArguments
from ...core.records import Query
from ...encoders.training.questions.template_questions import TemplateQuestions
from ...index.building.vector_blocks import sample_rows
from .signals import SIGNALS, mode_of, sureness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...core.records import Float64Array, Ranking
    from ...index.passages import PassageTable

BUDGET = 0.3
"""The share of queries for which the cold tier is searched, where nobody says another."""

QUESTIONS = 300
SEED = 0
_WORDS = 10  # of a passage that no question is found for


def sample_questions(hot: PassageTable, cold: PassageTable) -> list[Query]:
    """A question to each of at most 300 passages, drawn from both tiers by a fixed seed.

    A passage that the templates find nothing to
    ask of is asked for by its first ten words.
    """
    rows = sample_rows(len(hot) + len(cold), QUESTIONS, SEED)
    passages = hot.passages(rows[rows < len(hot)])
    passages += cold.passages(rows[rows >= len(hot)] - len(hot))
    asked = TemplateQuestions().questions(passages, 1, SEED)
    texts = [
        own[0] if own else " ".join(passage.full_text.split()[:_WORDS])
        for passage, own in zip(passages, asked, strict=True)
    ]
    return [Query(str(number), text) for number, text in enumerate(texts)]


def thresholds_by_share(
    found: Mapping[str, Sequence[Ranking]], below: Mapping[str, Float64Array], source: str
) -> dict[str, dict[str, Any]]:
    """By mode, for the manifest: the threshold below which 30 % of these questions lie.

    ``found`` maps the names of one stage, or of two, to their hot answers to the same questions,
    ``below`` to what the cold tier's best score is thought to be. On three collections' development
    queries such thresholds sent 15 to 40 % of real queries cold, 25 on average over modes; those
    from questions that their own passage answers first 8 to 49, and 22.
    """
    alone = {mode_of([name]): {name: rankings} for name, rankings in found.items()}
    rules = {}
    for mode, answers in {**alone, mode_of(found): found}.items():
        sure = sureness(answers, below)
        rules[mode] = rule(mode, sure, int(BUDGET * len(sure)), source)
    return rules


def rule(mode: str, sure: Float64Array, cold: int, source: str) -> dict[str, Any]:
    """The threshold that sends the ``cold`` least sure of these queries to the cold tier.

    It lies halfway to the next query, so that the last digit of a score does not decide; equal
    queries go the same way, so that fewer may go. None where none goes.
    """
    ordered = np.sort(sure)
    if 0 < cold < len(ordered):
        cold = int(np.searchsorted(ordered, ordered[cold], side="left"))
    threshold = None
    if 0 < cold < len(ordered):
        threshold = float((ordered[cold - 1] + ordered[cold]) / 2)
    elif cold:
        threshold = float(ordered[-1])
    return {
        "signal": SIGNALS[mode],
        "threshold": threshold,
        "share": cold / max(len(ordered), 1),
        "queries": len(ordered),
        "source": source,
    }


def fewest(
    sure: Float64Array, hot: Float64Array, whole: Float64Array, target: float, most: int
) -> int:
    """How many of the least sure queries must go cold for ``target`` of the whole recall.

    hot and whole [queries]: recall of each query by the hot tier alone and by both. At most
    ``most``, which is also the answer where that is not enough. BadArguments for a target that is
    not above 0 and at most 1.
    """
    if not 0 < target <= 1:
        raise BadArguments(f"the target is {target}; it is a share of recall, above 0, at most 1")
    order = np.argsort(sure, kind="stable")
    ordered = sure[order]
    apart = np.concatenate([[True], ordered[1:] > ordered[:-1], [True]])  # not between equal ones
    gained = np.concatenate([[0.0], np.cumsum((whole - hot)[order])])
    enough = np.flatnonzero(apart & (hot.sum() + gained >= target * whole.sum() - 1e-9))
    return min(int(enough[0]) if len(enough) else len(sure), most)

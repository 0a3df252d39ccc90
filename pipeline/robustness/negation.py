"""Does a system notice a negation? NevIR's pairwise accuracy, over any system.

Weller et al., "NevIR: Negation in Neural Information Retrieval" (EACL 2024, arXiv 2305.07614).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.progress import Silent
from ...core.records import Query
from ...eval.proportions import proportion
from ..build import build
from ..choices import DEFAULT_ENCODER
from ..search import AT_ONCE
from .narrowed import narrowed
from .systems import at_depth, read_systems

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ...core.progress import Progress
    from ...core.records import Int64Array, Ranking
    from ...eval.proportions import Proportion
    from ..opening import Index
    from ..search import Search
    from .negation_pairs import NegationPair
    from .systems import System

CHANCE = 0.25
"""Pairwise accuracy of a system that throws a coin for each question."""


@dataclass(frozen=True, slots=True)
class NegationScore:
    """``pairs``: both questions right; ``queries``: single questions, chance 50 %.

    ``ties``: questions for which both passages scored the same or neither was found; they count
    as wrong. ``rules``: rule -> pairwise accuracy.
    """

    system: str
    pairs: Proportion
    queries: Proportion
    ties: int
    rules: dict[str, Proportion]

    def to_json(self) -> dict[str, Any]:
        """Shares beside the counts."""
        body = asdict(self)
        for part, told in ((body["pairs"], self.pairs), (body["queries"], self.queries)):
            part["share"] = told.share
        for rule, told in self.rules.items():
            body["rules"][rule]["share"] = told.share
        return {**body, "chance": CHANCE}


def negation(
    systems: Sequence[str],
    pairs: Sequence[NegationPair],
    *,
    encoder: str = DEFAULT_ENCODER,
    device: str = "cpu",
    progress: Progress | None = None,
) -> list[NegationScore]:
    """One score a system, in their order; what ``read_system`` reads, ``encoder`` for those
    that name none.

    The passages of all pairs are one collection, which BM25's statistics come from; a question
    sees the two passages of its pair alone. Early exits are left out. Raises what reading the
    systems, building and loading raise.
    """
    read, watched = read_systems(systems), progress or Silent()
    found: dict[str, NegationScore] = {}
    with TemporaryDirectory(prefix="tamis-negation-") as folder:
        corpus = _written(pairs, Path(folder) / "corpus.jsonl")
        for number, name in enumerate(dict.fromkeys(each.encoder or encoder for each in read)):
            own = [each for each in read if (each.encoder or encoder) == name]
            goal = Path(folder) / f"index-{number}"
            index = build(corpus, goal, encoder=name, device=device, progress=watched)
            for each in own:
                found[each.name] = _score(each, index, pairs, device, watched)
    return [found[each.name] for each in read]


def _written(pairs: Sequence[NegationPair], path: Path) -> Path:
    with path.open("w", encoding="utf-8") as out:
        for number, pair in enumerate(pairs):
            for side, text in enumerate(pair.passages):
                out.write(json.dumps({"_id": f"{number}-{side}", "text": text}) + "\n")
    return path


def _score(
    system: System, index: Index, pairs: Sequence[NegationPair], device: str, progress: Progress
) -> NegationScore:
    # at first as deep as the collection, or a pair could be cut off; then the pair is all there is
    search = at_depth(system.cascade, len(index), 2).over(index, device=device)
    right, tied = _answers(narrowed(search, _own_pair, 2), pairs, progress)
    both: NDArray[np.bool_] = right[:, 0] & right[:, 1]
    rules: dict[str, Proportion] = {}
    for rule in dict.fromkeys(pair.rule for pair in pairs if pair.rule):
        of_rule = np.array([pair.rule == rule for pair in pairs])
        rules[rule] = proportion(int(both[of_rule].sum()), int(of_rule.sum()))
    return NegationScore(
        system.name,
        proportion(int(both.sum()), len(both)),
        proportion(int(right.sum()), right.size),
        int(tied.sum()),
        rules,
    )


def _answers(
    search: Search, pairs: Sequence[NegationPair], progress: Progress
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Right and tied, [pairs, 2 questions] each."""
    asked = [
        Query(f"{number}-{side}", text)
        for number, pair in enumerate(pairs)
        for side, text in enumerate(pair.queries)
    ]
    rankings = search.run(asked, at_once=AT_ONCE, progress=progress).rankings
    wanted = range(len(asked))  # question i is answered by row i: both go pair by pair
    verdicts = [_verdict(each, row) for each, row in zip(rankings, wanted, strict=True)]
    both = np.array(verdicts, bool).reshape(len(pairs), 2, 2)
    return both[:, :, 0], both[:, :, 1]


def _verdict(ranking: Ranking, wanted: int) -> tuple[bool, bool]:
    """(the wanted row is strictly best, nothing is best)."""
    if not len(ranking):
        return False, True
    if len(ranking) == 2 and ranking.scores[0] == ranking.scores[1]:
        return False, True
    return bool(ranking.rows[0] == wanted), False


def _own_pair(query: Query, rows: Int64Array) -> NDArray[np.bool_]:
    own: NDArray[np.bool_] = rows // 2 == int(query.id.partition("-")[0])
    return own


def told(scores: Sequence[NegationScore]) -> Iterator[tuple[str, ...]]:
    """The table's rows: system, both right, its interval, single questions, ties, rule by rule."""
    for each in scores:
        rules = "  ".join(f"{rule} {100 * own.share:.0f}" for rule, own in each.rules.items())
        yield (
            each.system,
            f"{100 * each.pairs.share:.1f}",
            f"{100 * each.pairs.low:.1f} to {100 * each.pairs.high:.1f}",
            f"{100 * each.queries.share:.1f}",
            str(each.ties),
            rules,
        )

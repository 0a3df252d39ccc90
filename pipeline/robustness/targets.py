"""Passages to attack: not relevant, and ranked low before anybody wrote into them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadArguments, BadData
from ...core.records import Passage
from ..opening import FIRST_STAGE
from ..search import Search
from .attacks import ATTACKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ...core.records import Judgments, Query
    from ..opening import Index

PREFIX = "tamis-attack-"


@dataclass(frozen=True, slots=True)
class Target:
    """A query, and the row and text of a passage that it should not find."""

    query: Query
    row: int
    passage: Passage


@dataclass(frozen=True, slots=True)
class Attacked:
    """The ``place``-th attacked passage: which target became what, by which attack."""

    place: int
    target: Target
    attack: str
    passage: Passage


def choose_targets(
    index: Index,
    queries: Sequence[Query],
    judgments: Judgments,
    *,
    sample: int,
    ranks: tuple[int, int],
    seed: int,
) -> list[Target]:
    """One passage for each of ``sample`` queries that have a relevant one, drawn by ``seed``.

    It is drawn among those that the index's own first stages (both, fused by rank, if BM25 is
    there) rank between ``ranks``, first and last counted, and that nobody judged relevant. A
    query without such a passage is left out. Raises BadArguments, BadData when none is left.
    """
    if sample < 1 or not 1 <= ranks[0] <= ranks[1] <= FIRST_STAGE:
        raise BadArguments(
            f"a sample of {sample} and ranks {ranks[0]} to {ranks[1]}; expected at least 1, and "
            f"ranks that rise within 1 to {FIRST_STAGE}"
        )
    asked = [query for query in queries if any(g > 0 for g in judgments.get(query.id, {}).values())]
    rng = np.random.default_rng(seed)
    places = rng.permutation(len(asked))[:sample]
    chosen = [asked[place] for place in places]
    manifest = index.folder.manifest
    lexical = index.lexical(FIRST_STAGE) if manifest and manifest.lexical else None
    run = Search(dense=index.dense(FIRST_STAGE), lexical=lexical).run(chosen)
    targets = []
    for ranking, ids in zip(run.rankings, run.ids(), strict=True):
        judged = judgments[ranking.query.id]
        low = [
            place
            for place in range(ranks[0] - 1, min(ranks[1], len(ids)))
            if judged.get(ids[place], 0) <= 0
        ]
        if low:
            row = int(ranking.rows[rng.choice(low)])
            passage = index.passages.passages(np.array([row]))[0]
            targets.append(Target(ranking.query, row, passage))
    if not targets:
        raise BadData(
            f"no query has both a relevant passage and another one at ranks {ranks[0]} to "
            f"{ranks[1]}: do queries, judgments and index belong together?"
        )
    return targets


def attacked(targets: Sequence[Target], times: int) -> list[Attacked]:
    """Every target under every attack, target by target."""
    made: list[Attacked] = []
    for target in targets:
        for name, attack in ATTACKS.items():
            text = attack(target.query.text, target.passage.text, times)
            passage = Passage(f"{PREFIX}{len(made)}", text, target.passage.title)
            made.append(Attacked(len(made), target, name, passage))
    return made


def write_corpus(index: Index, attacks: Sequence[Attacked], path: Path) -> None:
    """All passages of the index, row by row, then the attacked ones, as JSON lines."""
    with path.open("w", encoding="utf-8") as out:
        for start in range(0, len(index), 4096):
            rows = np.arange(start, min(start + 4096, len(index)))
            for passage in index.passages.passages(rows):
                _write(passage, out)
        for each in attacks:
            _write(each.passage, out)


def _write(passage: Passage, out: object) -> None:
    body = {"_id": passage.id, "title": passage.title, "text": passage.text}
    print(json.dumps(body), file=out)  # type: ignore[call-overload]

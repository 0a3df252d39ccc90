"""Can a passage be written into the top 10? Attacks on any system, with and without pruning."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import BadArguments
from ...core.progress import Silent
from ...core.protocols import QualityRecipe
from ...core.records import Query
from ...eval.proportions import proportion
from ...index.building.score_shards import BLOCK, scores_of
from ..build import build
from ..opening import FIRST_STAGE, open_index
from ..scorers import Given, scorer_of
from ..search import AT_ONCE
from .attacks import ATTACKS
from .narrowed import narrowed
from .systems import at_depth, read_systems
from .targets import attacked, choose_targets, write_corpus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ...core.progress import Progress
    from ...core.records import Float32Array, Int64Array, Judgments, Ranking
    from ...eval.proportions import Proportion
    from ..opening import Index
    from ..search import Search
    from .systems import System
    from .targets import Attacked, Target

TOP = 10


@dataclass(frozen=True, slots=True)
class Defence:
    """Passages that a quality model would prune at ``keep``: of the attacked ones by attack, of
    the same passages before (``untouched``). ``pruned`` [attacked] says which."""

    quality: str
    keep: float
    untouched: Proportion
    by_attack: Mapping[str, Proportion]
    pruned: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Damage:
    """One attack on one system, over the targets that were not among its best 10 before.

    ``success``: came among them. ``defended``: came among them and would not have been pruned;
    None without a quality model. ``before`` and ``after`` are median ranks, a passage that is not
    among the answers counted one behind the last; NaN where every target was among the best 10.
    """

    system: str
    attack: str
    success: Proportion
    defended: Proportion | None
    before: float
    after: float

    def to_json(self) -> dict[str, Any]:
        """NaN becomes null."""
        body = asdict(self)
        for rank in ("before", "after"):
            body[rank] = None if math.isnan(body[rank]) else body[rank]
        body["success"]["share"] = self.success.share
        if self.defended is not None:
            body["defended"]["share"] = self.defended.share
        return body


@dataclass(frozen=True, slots=True)
class Stuffing:
    """All of it: ``queries`` attacked (one passage each), ``times`` repeated, system by attack."""

    queries: int
    times: int
    damage: list[Damage]
    defence: Defence | None

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "queries": self.queries,
            "times": self.times,
            "attacks": [each.to_json() for each in self.damage],
            "pruning": None,
        }
        if self.defence is not None:
            shares = {name: asdict(each) for name, each in self.defence.by_attack.items()}
            body["pruning"] = {
                "quality": self.defence.quality,
                "keep": self.defence.keep,
                "untouched": asdict(self.defence.untouched),
                "attacked": shares,
            }
        return body


def stuffing(
    index: Path,
    systems: Sequence[str],
    queries: Sequence[Query],
    judgments: Judgments,
    *,
    sample: int = 50,
    ranks: tuple[int, int] = (51, 100),
    times: int = 3,
    quality: str | None = None,
    keep: float = 0.75,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Stuffing:
    """Attack one low passage a query, and search a copy of the collection that holds the result.

    The attacked passages join the collection (its BM25 statistics too) in an exact index that is
    made for it and thrown away; a query sees all passages of the collection but its target, and
    the target's one attacked form. Early exits and the cold tier are left out. ``quality`` is a
    model's name; its cut at ``keep`` is taken over the untouched collection. Raises BadArguments,
    and what building, loading and scoring raise.
    """
    read, watched = read_systems(systems), progress or Silent()
    _check(read, times, keep)
    opened = open_index(index, device=device)
    manifest = opened.folder.manifest
    if manifest is None:
        raise BadArguments(f"{index} was not built by tamis and holds no texts to attack; build it")
    for each in read:
        if each.cascade.lexical is not None and manifest.lexical is None:
            raise BadArguments(f"{index} holds no BM25, which {each.name} asks: use dense")
    targets = choose_targets(opened, queries, judgments, sample=sample, ranks=ranks, seed=seed)
    attacks = attacked(targets, times)
    defence = None
    if quality is not None:
        defence = _defence(opened, targets, attacks, quality, keep, device, watched)
    with TemporaryDirectory(prefix="tamis-stuffing-") as folder:
        corpus = Path(folder) / "corpus.jsonl"
        write_corpus(opened, attacks, corpus)
        copy = _copy(opened, corpus, Path(folder) / "index", device, watched)
        trial = _Trial(len(opened), targets, attacks)
        damage = [
            found for each in read for found in trial.of(each, copy, device, watched, defence)
        ]
    return Stuffing(len(targets), times, damage, defence)


def _check(systems: Sequence[System], times: int, keep: float) -> None:
    if named := [each.name for each in systems if each.encoder is not None]:
        raise BadArguments(
            f"{named[0]} names an encoder, and the index has one: leave it out, or name an index "
            f"that was built with it"
        )
    if times < 1:
        raise BadArguments(f"an attack repeated {times} times; expected at least once")
    if not 0 < keep <= 1:
        raise BadArguments(f"keep is {keep}; it is the share of passages that stay, up to 1")


def _copy(index: Index, corpus: Path, goal: Path, device: str, progress: Progress) -> Index:
    """An exact index over the collection and the attacked passages, by the index's own encoders."""
    manifest = index.folder.manifest
    assert manifest is not None, "checked by the caller"
    own = open_index(index.folder.path, query_encoder="own", device=device).encoder
    words = manifest.lexical or {}
    return build(
        corpus,
        goal,
        encoder=own,
        query_encoder=index.encoder,
        lexical=words.get("engine", "none"),
        k1=words.get("k1", 0.9),
        b=words.get("b", 0.4),
        device=device,
        progress=progress,
    )


def _defence(
    index: Index,
    targets: Sequence[Target],
    attacks: Sequence[Attacked],
    quality: str,
    keep: float,
    device: str,
    progress: Progress,
) -> Defence:
    scorer = scorer_of(quality, device)
    if isinstance(scorer, Given):
        raise BadArguments(f"{quality} holds scores of known passages; name a model")
    model = scorer.fit(_texts(index)) if isinstance(scorer, QualityRecipe) else scorer
    scores: list[Float32Array] = []
    with progress.stage(f"score ({model.card.name})", len(index)) as advance:
        texts = _texts(index)
        while block := list(islice(texts, BLOCK)):
            scores.append(scores_of(model, block))
            advance(len(block))
    known: Float32Array = np.concatenate(scores)
    least = np.sort(known)[::-1][math.ceil(keep * len(known)) - 1]  # of those that stay
    now = scores_of(model, [each.passage.full_text for each in attacks])
    pruned = now < least
    before = known[[each.row for each in targets]] < least
    by_attack = {}
    for name in ATTACKS:
        own = np.array([each.attack == name for each in attacks])
        by_attack[name] = proportion(int(pruned[own].sum()), int(own.sum()))
    untouched = proportion(int(before.sum()), len(before))
    return Defence(model.card.name, keep, untouched, by_attack, pruned)


def _texts(index: Index) -> Iterator[str]:
    """All that the index holds, row by row."""
    for start in range(0, len(index), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(index)))
        for passage in index.passages.passages(rows):
            yield passage.full_text


class _Trial:
    """Queries before and after: "b-T" sees the untouched collection, "a-P" the attacked passage P
    in the place of its target."""

    def __init__(self, rows: int, targets: Sequence[Target], attacks: Sequence[Attacked]) -> None:
        self._rows, self._targets, self._attacks = rows, targets, attacks

    def of(
        self,
        system: System,
        index: Index,
        device: str,
        progress: Progress,
        defence: Defence | None,
    ) -> Iterator[Damage]:
        """One ``Damage`` an attack."""
        depth = min(len(index), FIRST_STAGE + len(self._attacks) + 1)
        search = at_depth(system.cascade, depth, FIRST_STAGE).over(index, device=device)
        ranks = self._ranks(narrowed(search, self._visible, FIRST_STAGE), progress)
        before = {id(target): ranks[place] for place, target in enumerate(self._targets)}
        after = ranks[len(self._targets) :]
        for name in ATTACKS:
            own = [each for each in self._attacks if each.attack == name]
            own = [each for each in own if before[id(each.target)] > TOP]
            entered = [each for each in own if after[each.place] <= TOP]
            left = [each for each in entered if defence and not defence.pruned[each.place]]
            yield Damage(
                system.name,
                name,
                proportion(len(entered), len(own)),
                proportion(len(left), len(own)) if defence else None,
                _median([before[id(each.target)] for each in own]),
                _median([after[each.place] for each in own]),
            )

    def _ranks(self, search: Search, progress: Progress) -> list[int]:
        """Of the target for each query before, then of the attacked passage for each after."""
        asked = [Query(f"b-{n}", each.query.text) for n, each in enumerate(self._targets)]
        asked += [Query(f"a-{each.place}", each.target.query.text) for each in self._attacks]
        rows = [each.row for each in self._targets]
        rows += [self._rows + each.place for each in self._attacks]
        run = search.run(asked, at_once=AT_ONCE, progress=progress)
        return [_rank(each, row) for each, row in zip(run.rankings, rows, strict=True)]

    def _visible(self, query: Query, rows: Int64Array) -> NDArray[np.bool_]:
        kind, _, number = query.id.partition("-")
        untouched: NDArray[np.bool_] = rows < self._rows
        if kind == "b":
            return untouched
        own = self._attacks[int(number)]
        others = untouched & (rows != own.target.row)
        seen: NDArray[np.bool_] = others | (rows == self._rows + own.place)
        return seen


def _rank(ranking: Ranking, row: int) -> int:
    """From 1; one behind the last where the row is not among the answers."""
    found = np.flatnonzero(ranking.rows == row)
    return int(found[0]) + 1 if len(found) else len(ranking) + 1


def _median(ranks: Sequence[int]) -> float:
    return float(np.median(ranks)) if ranks else math.nan


def told(found: Stuffing) -> Iterator[tuple[str, ...]]:
    """The table's rows: system, attack, success, its interval, after pruning, ranks."""
    for each in found.damage:
        yield (
            each.system,
            each.attack,
            f"{100 * each.success.share:.0f}",
            f"{100 * each.success.low:.0f} to {100 * each.success.high:.0f}",
            "" if each.defended is None else f"{100 * each.defended.share:.0f}",
            *("-" if math.isnan(rank) else f"{rank:.0f}" for rank in (each.before, each.after)),
        )

"""Training pairs from a corpus in one call: pairs of some source, and hard negatives for them."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import BadData
from ..core.progress import Silent
from ..encoders.training.negatives import Unmined, in_turns, with_negatives
from ..encoders.training.pairs import Pair, read_pairs, write_pairs
from ..encoders.training.questions.synthetic_questions import round_trip
from ..index.folder import IndexFolder
from .components import encoder as load_encoder
from .miners import PassageVectors, bm25_in, bm25_over
from .outputs import check_output
from .pair_settings import BM25, NONE, PairSettings
from .pair_sources import (
    ask,
    from_file,
    from_judgments,
    from_passages,
    is_index,
    limited,
    read_passages,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..core.progress import Progress
    from ..core.protocols import Encoder
    from ..core.records import Passage
    from ..encoders.training.negatives import Score
    from ..encoders.training.questions.synthetic_questions import Search

__all__ = ["Mined", "PairSettings", "make_pairs", "mine_pairs", "write_mined"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mined:
    """Pairs, and what was counted on the way: passages too short, false negatives, and so on."""

    pairs: list[Pair]
    counts: Counter[str]


def make_pairs(
    settings: PairSettings,
    *,
    passages: Sequence[Passage] | None = None,
    progress: Progress | None = None,
) -> list[Pair]:
    """The pairs that ``mine_pairs`` finds; what it counted is logged."""
    mined = mine_pairs(settings, passages=passages, progress=progress)
    log.info("%s pairs: %s", settings.source, _told(mined.counts))
    return mined.pairs


def write_mined(
    settings: PairSettings,
    path: Path,
    *,
    passages: Sequence[Passage] | None = None,
    progress: Progress | None = None,
) -> Counter[str]:
    """Make the pairs, write them to a file (``pairs.write_pairs``) and return the counts."""
    check_output(path, filter(None, (settings.corpus, settings.file)))
    mined = mine_pairs(settings, passages=passages, progress=progress)
    write_pairs(path, mined.pairs)
    return mined.counts


def mine_pairs(
    settings: PairSettings,
    *,
    passages: Sequence[Passage] | None = None,
    progress: Progress | None = None,
) -> Mined:
    """Pairs as ``settings`` ask for them, each query and positive once, with their negatives.

    ``passages`` stand for the corpus of the settings where they are given. A file of pairs comes
    back as it is, negatives and scores included, unless negatives are asked for. Negatives are
    written as positives are: title and text, or for source "title" the text alone. An index folder
    lends its BM25 index and, to a miner or teacher that built it, its vectors.

    The same settings and passages give the same pairs. Raises what ``PairSettings.check`` raises
    before anything is loaded; BadData for a flawed corpus, or when not one pair comes out.
    """
    settings.check(passages_given=passages is not None)
    watched = progress or Silent()
    counts: Counter[str] = Counter()
    if settings.source == "file" and not settings.negatives:
        pairs = limited(read_pairs(Path(settings.file)), settings)
        return Mined(pairs, Counter(pairs=len(pairs)))
    encoders = {name: load_encoder(name, device=settings.device) for name in settings.encoders()}
    lent = settings.corpus if passages is None and settings.source != "title" else ""
    known = read_passages(settings.corpus, watched) if passages is None else passages
    with ExitStack() as stack:
        ground = _Ground(settings, known, encoders, lent, watched, stack)
        found = _unmined(settings, known, ground, counts, watched)
        unmined = list({(each.query, each.positive): each for each in found}.values())
        if not unmined:
            raise BadData(
                f"not one pair of source {settings.source!r} came out of {len(known)} passages "
                f"({_told(counts) or 'nothing to begin with'})"
            )
        if not settings.negatives:
            counts["pairs"] = len(unmined)
            return Mined([Pair(each.query, each.positive) for each in unmined], counts)
        return Mined(_with_negatives(settings, unmined, ground, counts, watched), counts)


def _unmined(
    settings: PairSettings,
    passages: Sequence[Passage],
    ground: _Ground,
    counts: Counter[str],
    progress: Progress,
) -> list[Unmined]:
    if settings.source == "file":
        return from_file(settings, passages, counts)
    if settings.source == "judged":
        return from_judgments(settings, passages, counts)
    if settings.source != "synthetic":
        return from_passages(settings, passages, counts)
    asked = ask(settings, passages, progress)
    counts["questions"] = len(asked)
    if settings.round_trip and asked:
        with progress.stage("round trip", len(asked)) as advance:
            asked = round_trip(asked, ground.first(), settings.round_trip)
            advance(counts["questions"])
        counts["questions that found their passage"] = len(asked)
    return [Unmined(each.text, passages[each.row].full_text, (each.row,)) for each in asked]


def _with_negatives(
    settings: PairSettings,
    unmined: Sequence[Unmined],
    ground: _Ground,
    counts: Counter[str],
    progress: Progress,
) -> list[Pair]:
    search, score = ground.together(), ground.score()
    found = []
    with progress.stage("negatives", len(unmined)) as advance:
        for pair in with_negatives(
            unmined, ground.texts, search, settings.rule(), settings.seed, score, counts
        ):
            found.append(pair)
            advance(1)
    return found


class _Ground:
    """The passages that are searched, with what searches them, each made at first use."""

    def __init__(
        self,
        settings: PairSettings,
        passages: Sequence[Passage],
        encoders: Mapping[str, Encoder],
        lent: str,
        progress: Progress,
        stack: ExitStack,
    ) -> None:
        """``lent`` is an index folder of just these passages, or another corpus, or ""."""
        self._settings = settings
        self._encoders = encoders
        self._progress = progress
        self._stack = stack
        self._folder = IndexFolder(Path(lent)) if lent and is_index(lent) else None
        self._searches: dict[str, Search] = {}
        self._vectors: dict[str, PassageVectors] = {}
        alone = settings.source == "title"  # what a title finds does not begin with it
        self.texts = [each.text if alone else each.full_text for each in passages]

    def first(self) -> Search:
        """The first miner."""
        return self._search(self._settings.miner_names()[0])

    def together(self) -> Search:
        """All miners, taking turns."""
        return in_turns([self._search(name) for name in self._settings.miner_names()])

    def _search(self, name: str) -> Search:
        if name not in self._searches:
            search = self._bm25() if name == BM25 else self._encoded(name).search
            self._searches[name] = search
        return self._searches[name]

    def score(self) -> Score | None:
        """The teacher's scores, None without one."""
        name = self._settings.teacher
        return None if name == NONE else self._encoded(name).score

    def _bm25(self) -> Search:
        manifest = self._folder.manifest if self._folder is not None else None
        if self._folder is not None and manifest is not None and manifest.lexical is not None:
            return bm25_in(self._folder.lexical)
        return self._stack.enter_context(bm25_over(self.texts, self._progress))

    def _encoded(self, name: str) -> PassageVectors:
        """A miner that is the teacher too encodes once."""
        if name not in self._vectors:
            encoder = self._encoders[name]
            manifest = self._folder.manifest if self._folder is not None else None
            if (
                self._folder is not None
                and manifest is not None
                and manifest.passage_encoder.fingerprint == encoder.card.fingerprint
            ):
                made = PassageVectors(encoder, self.texts, self._folder.dense)
            else:
                made = PassageVectors.of(encoder, self.texts, self._progress)
            self._vectors[name] = made
        return self._vectors[name]


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)

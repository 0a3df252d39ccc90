"""Passages that nearly repeat an earlier one: the cheapest passages to leave out of an index.

Two texts are near-duplicates when the sets of their word shingles (runs of three words, case
folded) have a Jaccard similarity of the threshold or more. MinHash signatures (Broder 1997), cut
into bands, name the suspects; each suspicion is then settled on the shingles themselves, so that
nothing is dropped on an estimate.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..core.errors import BadArguments, BadData
from ..core.optional import need

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from numpy.typing import NDArray

    from ..core.progress import Progress
    from ..core.records import Int64Array

    BoolArray: TypeAlias = NDArray[np.bool_]
    Digests: TypeAlias = NDArray[np.uint64]
    Keys: TypeAlias = NDArray[np.uint32]

THRESHOLD = 0.8
LOWEST = 0.1
"""Below this threshold too many texts would have to be compared."""
WORDS = 3
SIGNATURE = 128
MISSED = 0.01
"""Chance at most that a pair right at the threshold is never compared; above it far less."""
SHINGLES_AT_ONCE = 16_000_000
"""Shingles of suspects in memory, 8 bytes each; more take more readings, not more memory."""
_SEED = 20_260_101
_BATCH_TEXTS = 1_024
_BATCH_CHARACTERS = 4_000_000
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """keep [texts]: False for a text that nearly repeats an earlier, kept one.

    repeats [texts], int64: the row of that kept text; a kept text has its own row.
    """

    keep: BoolArray
    repeats: Int64Array

    @property
    def dropped(self) -> Int64Array:
        """The rows to leave out, rising."""
        return np.flatnonzero(~self.keep)


def near_duplicates(
    texts: Iterable[str],
    *,
    threshold: float = THRESHOLD,
    protected: Collection[int] = (),
    progress: Progress | None = None,
) -> NearDuplicates:
    """Which texts to keep, in one pass from the first to the last.

    A text is dropped when it reaches the threshold with a kept text before it, and repeats the
    first such one. So of any group the first stays, and every dropped text has a kept one that it
    truly resembles: no chain of small steps leads away from it. Identical texts are always found,
    other pairs with a probability of at least 99 % at the threshold. Texts of fewer than three
    words are one shingle; a text without any word is compared whole, without its outer spaces.
    Rows in ``protected`` are kept whatever they repeat, and may be repeated by later ones.

    ``texts`` is read at least once and again when there are suspects, so it must start anew each
    time, like a list. Memory: some 200 bytes a text (at the default threshold) and
    ``SHINGLES_AT_ONCE``. The answer is the same in every run and hangs on no batch. Raises
    BadArguments for a one-way iterator or a threshold outside .1 to 1, BadData when a second
    reading differs.
    """
    check_threshold(threshold)
    if iter(texts) is texts:
        raise BadArguments(
            "the texts are an iterator, which can be read only once; expected a list or another "
            "collection that starts anew"
        )
    with _stage(progress, "signatures") as advance:
        keys, sizes = _band_keys(texts, threshold, advance)
    repeats = np.arange(len(keys))
    blocks = list(_blocks(_connected(keys), sizes))
    staying = frozenset(protected)
    with _stage(progress, "near-duplicates") as advance:
        for rows, groups in blocks:
            _compare(texts, rows, groups, keys, sizes, threshold, staying, repeats, advance)
    return NearDuplicates(repeats == np.arange(len(repeats)), repeats)


def check_threshold(threshold: float) -> None:
    """BadArguments for a threshold that is outside .1 to 1, or no number."""
    if not LOWEST <= threshold <= 1:
        raise BadArguments(
            f"the threshold of near-duplicates is {threshold}; expected {LOWEST} to 1, the share "
            f"of word runs that two passages have in common: 0.8, say"
        )


def shingles(text: str) -> list[str]:
    """The runs of three words, in order, repeated ones too; never none."""
    words = _words(text)
    return list(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def banding(threshold: float) -> tuple[int, int]:
    """(bands, slots a band): the longest bands that miss a pair at the threshold rarely enough."""
    for slots in range(SIGNATURE, 1, -1):
        bands = SIGNATURE // slots
        if (1 - threshold**slots) ** bands <= MISSED:
            return bands, slots
    return SIGNATURE, 1


def _stage(progress: Progress | None, name: str) -> Any:
    return nullcontext(lambda _done: None) if progress is None else progress.stage(name, None)


def _words(text: str) -> list[str]:
    """At least three: a short text is filled up with empty ones."""
    words = _WORD.findall(text.casefold()) or [text.strip()]
    return words + [""] * (WORDS - len(words))


def _band_keys(
    texts: Iterable[str], threshold: float, advance: Any
) -> tuple[Keys, NDArray[np.int32]]:
    """One key a band [texts, bands], equal where the band's slots are, and shingles [texts]."""
    bands, slots = banding(threshold)
    factors = _odd_numbers(slots)
    keys, sizes = bytearray(), bytearray()
    for batch in _batches(texts):
        signatures, counts = _signatures(list(map(_words, batch)))
        cut = signatures[:, : bands * slots].reshape(len(batch), bands, slots)
        keys += ((cut @ factors) >> np.uint64(32)).astype(np.uint32).tobytes()  # modulo 2**64
        sizes += counts.astype(np.int32).tobytes()
        advance(len(batch))
    return np.frombuffer(keys, np.uint32).reshape(-1, bands), np.frombuffer(sizes, np.int32)


def _signatures(texts: list[list[str]]) -> tuple[Digests, Int64Array]:
    """MinHash signatures [texts, SIGNATURE], and how many shingles each text has, from its words.

    A shingle is a number here, made from those of its words: joining strings takes thrice as long.
    """
    rensa = need("rensa", "finding near-duplicates")
    lengths = np.array(list(map(len, texts)))
    ends = lengths.cumsum()
    hashes = chain.from_iterable(rensa.RMinHash.hash_token_sets(texts))
    words = np.fromiter(hashes, np.uint64, int(ends[-1]))
    runs = np.lib.stride_tricks.sliding_window_view(words, WORDS) @ _odd_numbers(WORDS)
    starts = np.ones(len(words), np.bool_)
    for last in range(1, WORDS):  # a run does not reach into the next text
        starts[ends - last] = False
    runs = runs[starts[: len(runs)]]
    offsets = np.concatenate([[0], (lengths - WORDS + 1).cumsum()]).astype(np.uint64)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(runs, offsets, SIGNATURE, _SEED)
    slots = chain.from_iterable(matrix.to_rows())
    signatures = np.fromiter(slots, np.uint64, len(texts) * SIGNATURE)
    return signatures.reshape(-1, SIGNATURE), lengths - WORDS + 1


def _odd_numbers(count: int) -> Digests:
    return np.random.default_rng(_SEED).integers(1 << 63, size=count, dtype=np.uint64) * 2 + 1


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if len(batch) == _BATCH_TEXTS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _connected(keys: Keys) -> Int64Array:
    """A group number [texts]: equal for texts that a chain of equal band keys connects."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    groups = np.arange(len(keys))
    for column in keys.T:
        order = np.argsort(column, kind="stable")
        same = column[order[1:]] == column[order[:-1]]
        left, right = groups[order[:-1][same]], groups[order[1:][same]]
        if len(left):
            shape = (len(keys), len(keys))
            links = sparse.coo_array((np.ones(len(left), np.bool_), (left, right)), shape=shape)
            groups = connected_components(links, directed=False)[1][groups].astype(np.int64)
    return groups


def _blocks(
    groups: Int64Array, sizes: NDArray[np.int32]
) -> Iterator[tuple[Int64Array, Int64Array]]:
    """(rows, rising, their groups): whole groups of two or more, about as many as fit at once."""
    members = np.bincount(groups)
    rows = np.flatnonzero(members[groups] > 1)
    if not len(rows):
        return
    numbers, first, inverse = np.unique(groups[rows], return_index=True, return_inverse=True)
    order = np.argsort(first)
    loads = np.bincount(inverse, weights=sizes[rows])[order]
    block_of_group = np.empty(len(numbers), np.int64)
    block_of_group[order] = (np.cumsum(loads) - loads) // SHINGLES_AT_ONCE
    blocks = block_of_group[inverse]
    for block in np.unique(blocks):
        inside = blocks == block
        yield rows[inside], groups[rows[inside]]


@dataclass(slots=True)
class _Kept:
    """The texts of one group that stay, in corpus order."""

    rows: list[int] = field(default_factory=list)
    shingles: list[Digests] = field(default_factory=list)

    def first_like(self, row: int, mine: Digests, keys: Keys, threshold: float) -> int | None:
        """The first kept row that shares a band key with this one and reaches the threshold."""
        suspects = (keys[self.rows] == keys[row]).any(axis=1)
        for place in np.flatnonzero(suspects).tolist():
            theirs = self.shingles[place]
            if min(len(mine), len(theirs)) / max(len(mine), len(theirs)) < threshold:
                continue
            shared = len(np.intersect1d(mine, theirs, assume_unique=True))
            if shared / (len(mine) + len(theirs) - shared) >= threshold:
                return self.rows[place]
        return None


def _compare(
    texts: Iterable[str],
    rows: Int64Array,
    groups: Int64Array,
    keys: Keys,
    sizes: NDArray[np.int32],
    threshold: float,
    protected: frozenset[int],
    repeats: Int64Array,
    advance: Any,
) -> None:
    """Write into ``repeats`` what the rows repeat; the texts are read up to the last of them."""
    kept: defaultdict[int, _Kept] = defaultdict(_Kept)
    left = dict(zip(*map(np.ndarray.tolist, np.unique(groups, return_counts=True)), strict=True))
    for (row, text), group in zip(_texts_at(texts, rows), groups.tolist(), strict=True):
        runs = shingles(text)
        if len(runs) != sizes[row]:
            raise _changed(row)
        mine = _digests(runs)
        alike = None if row in protected else kept[group].first_like(row, mine, keys, threshold)
        if alike is None:
            kept[group].rows.append(row)
            kept[group].shingles.append(mine)
        else:
            repeats[row] = alike
        left[group] -= 1
        if not left[group]:
            del kept[group]
        advance(1)


def _texts_at(texts: Iterable[str], rows: Int64Array) -> Iterator[tuple[int, str]]:
    wanted = iter(rows.tolist())
    target = next(wanted, None)
    for row, text in enumerate(texts):
        if row == target:
            yield row, text
            target = next(wanted, None)
            if target is None:
                return
    if target is not None:
        raise _changed(target)


def _digests(runs: list[str]) -> Digests:
    """64 bits of blake2b a shingle, sorted, each once."""
    digests = [hashlib.blake2b(run.encode("utf-8"), digest_size=8).digest() for run in runs]
    return np.unique(np.frombuffer(b"".join(digests), np.uint64))


def _changed(row: int) -> BadData:
    return BadData(
        f"text {row} reads differently the second time; expected texts that stay as they are: run "
        f"again when nothing writes to them"
    )

"""Training pairs: a query, a passage that answers it, passages that do not, a teacher's scores.

The one format that every source of pairs writes and every recipe reads: JSON lines
``{"query", "positive", "negatives", "scores"}``, the last two left out where they are empty.
"""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from ...core.corpus.flaws import Flaw, Tally, shown
from ...core.corpus.jsonlines import json_object
from ...core.corpus.lines import text_lines
from ...core.corpus.validation import has_lone_surrogate
from ...core.durable import replacing
from ...core.errors import BadArguments, BadData, MissingResource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_KEYS = ("query", "positive", "negatives", "scores")
_EXPECTED = (
    'one JSON object a line, {"query": text, "positive": text, "negatives": [texts], '
    "\"scores\": [numbers: the positive's, then each negative's]}, the last two if you have them"
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Texts as an encoder is to read them. No text is blank, and none is half a surrogate pair.

    ``scores`` are a teacher's, of the positive and then of each negative, finite; empty when there
    is no teacher. BadData for anything else.
    """

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for what, text in self._named():
            if not text or text.isspace():
                raise BadData(f"the {what} is {text!r}; expected a text")
            if not text.isascii() and has_lone_surrogate(text):
                raise BadData(f"the {what} {shown(text)} holds half a surrogate pair")
        if self.scores and len(self.scores) != 1 + len(self.negatives):
            raise BadData(
                f"{len(self.scores)} scores for 1 positive and {len(self.negatives)} negatives; "
                f"expected {1 + len(self.negatives)}, or none"
            )
        if not all(map(math.isfinite, self.scores)):
            raise BadData(f"the scores are {shown(self.scores)}; expected finite numbers")

    def _named(self) -> list[tuple[str, str]]:
        named = [("query", self.query), ("positive", self.positive)]
        return named + [("negative", text) for text in self.negatives]


def write_pairs(path: Path, pairs: Iterable[Pair]) -> int:
    """How many were written. The file is whole or not there; ``.gz`` in its name packs it.

    The same pairs give the same bytes.
    """
    count = 0
    with replacing(path, "wb") as out:
        if path.name.endswith(".gz"):
            with gzip.GzipFile("", "wb", fileobj=out, mtime=0) as packed:
                count = _write_lines(cast("IO[bytes]", packed), pairs)
        else:
            count = _write_lines(out, pairs)
    return count


def read_pairs(path: Path) -> list[Pair]:
    """Every pair, in the order of the file; ``.gz`` is unpacked.

    BadData names every line that is no pair at once, a key not known among them, or that there is
    none; MissingResource, BadArguments for a folder.
    """
    if path.is_dir():
        raise BadArguments(f"{path} is a folder; expected a file of pairs: {_EXPECTED}")
    if not path.exists():
        raise MissingResource(f"{path} is not there; expected a file of pairs: {_EXPECTED}")
    tally = Tally()
    pairs: list[Pair] = []
    for place, line in text_lines(path, path.name):
        found = line if isinstance(line, Flaw) else _pair(place, line)
        if isinstance(found, Flaw):
            tally.add(found)
        else:
            pairs.append(found)
    if not pairs and not tally.total:
        tally.add(Flaw("empty", str(path), "not one pair"))
    if tally.total:
        tally.refuse(str(path), _EXPECTED)
    return pairs


def _write_lines(out: IO[bytes], pairs: Iterable[Pair]) -> int:
    count = 0
    for pair in pairs:
        record: dict[str, object] = {"query": pair.query, "positive": pair.positive}
        if pair.negatives:
            record["negatives"] = pair.negatives
        if pair.scores:
            record["scores"] = pair.scores
        out.write(json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n")
        count += 1
    return count


def _pair(place: str, line: str) -> Pair | Flaw:
    record = json_object(line)
    if isinstance(record, str):
        return Flaw("malformed", place, record)
    wrong = _wrong(record)
    if wrong:
        return Flaw("malformed", place, wrong)
    negatives, scores = record.get("negatives", []), record.get("scores", [])
    try:
        return Pair(
            cast("str", record["query"]),
            cast("str", record["positive"]),
            tuple(cast("list[str]", negatives)),
            tuple(float(score) for score in cast("list[float]", scores)),
        )
    except (BadData, OverflowError) as failure:
        return Flaw("malformed", place, str(failure))


def _wrong(record: dict[str, object]) -> str:
    """What is wrong with the keys of a line and the types of its values; "" when nothing is."""
    unknown = sorted(record.keys() - set(_KEYS))
    if unknown:
        return f"the key {unknown[0]!r} is not known; known: {', '.join(_KEYS)}"
    for key in _KEYS[:2]:
        if not isinstance(record.get(key), str):
            return f"{key!r} is {shown(record.get(key))}; expected a text"
    for key, kinds, expected in (
        ("negatives", (str,), "a list of texts"),
        ("scores", (int, float), "a list of numbers"),
    ):
        value = record.get(key, [])
        if not isinstance(value, list) or not all(type(item) in kinds for item in value):
            return f"{key!r} is {shown(value)}; expected {expected}"
    return ""

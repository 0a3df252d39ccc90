"""Pairs of passages and of questions that differ by a negation: NevIR's form, and its files."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import BadArguments, BadData, MissingResource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_KEYS = ("q1", "q2", "doc1", "doc2")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class NegationPair:
    """The first question is answered by the first passage alone, the second by the second.

    ``rule`` says how one became the other; "" where nobody told.
    """

    id: str
    queries: tuple[str, str]
    passages: tuple[str, str]
    rule: str = ""


def read_pairs(path: Path) -> list[NegationPair]:
    """NevIR's files (Weller et al. 2024, arXiv 2305.07614), or any of the same form.

    JSON lines, or TSV or CSV with a head line, ``.gz`` if the name says so; the keys ``q1``,
    ``q2``, ``doc1`` and ``doc2``, and ``id`` and ``rule`` if they are there. Raises
    MissingResource, BadArguments for another ending, BadData naming the lines that lack something.
    """
    if not path.is_file():
        raise MissingResource(f"{path} is not there; expected a file of negation pairs")
    pairs, flaws = [], []
    for place, row in enumerate(_rows(path), 1):
        values = [row.get(key) for key in _KEYS]
        texts = [value for value in values if isinstance(value, str) and value.strip()]
        if len(texts) < len(_KEYS):
            lacking = [key for key, value in zip(_KEYS, values, strict=True) if value not in texts]
            flaws.append(f"pair {place} has no text in {', '.join(lacking)}")
            continue
        name, rule = str(row.get("id") or place), str(row.get("rule") or "")
        pairs.append(NegationPair(name, (texts[0], texts[1]), (texts[2], texts[3]), rule))
    if flaws or not pairs:
        told = "; ".join(flaws[:_SHOWN]) or "it holds no pair"
        more = f"; and {len(flaws) - _SHOWN} more" if len(flaws) > _SHOWN else ""
        raise BadData(f"{path}: {told}{more}; expected {', '.join(_KEYS)} in every pair")
    return pairs


def _rows(path: Path) -> Iterator[Mapping[str, object]]:
    plain = path.name.lower().removesuffix(".gz")
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as lines:
            if plain.endswith((".jsonl", ".ndjson", ".json")):
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield _object(line, f"{path}:{number}")
            elif plain.endswith((".tsv", ".csv")):
                yield from csv.DictReader(lines, delimiter="\t" if "tsv" in plain[-4:] else ",")
            else:
                raise BadArguments(f"{path}: expected .jsonl, .tsv or .csv, each also as .gz")
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError) as failure:
        raise BadData(f"{path} cannot be read as text: {failure}") from None


def _object(line: str, place: str) -> Mapping[str, object]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as failure:
        raise BadData(f"{place} is no JSON: {failure}") from None
    if not isinstance(found, dict):
        raise BadData(f"{place} is {type(found).__name__}, expected an object")
    return found

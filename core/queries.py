"""Query files: TSV, BEIR JSON lines, irds:ID."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .corpus.flaws import Flaw, Tally, shown
from .corpus.irds import PREFIX, records
from .corpus.jsonlines import Keys, choose_keys, id_text, json_object
from .corpus.lines import text_lines
from .corpus.tsv import wrong_columns
from .corpus.validation import has_lone_surrogate, id_flaw
from .errors import BadArguments, MissingResource
from .records import Query

if TYPE_CHECKING:
    from collections.abc import Iterator

ID_KEYS = ("_id", "id", "qid", "query_id", "query-id")
TEXT_KEYS = ("text", "query", "title")

JSON_LINES = (".jsonl", ".ndjson", ".json")
TSV = (".tsv", ".txt")
FORMATS = (
    "id, tab, text (.tsv, .txt), BEIR JSON lines (.jsonl, .ndjson, .json), each also as .gz, "
    "a BEIR folder (queries.jsonl or queries.jsonl.gz), or irds:ID"
)


def read_queries(source: str | Path) -> list[Query]:
    """Every query, in the order of the file.

    Raises BadData naming all malformed lines, blank or repeated ids, ids with white space and
    empty texts at once, or that there is no query; MissingResource, BadArguments.
    """
    name = str(source)
    tally = Tally()
    queries: list[Query] = []
    places: dict[str, str] = {}
    for place, item in _located(name):
        flaw = item if isinstance(item, Flaw) else _flaw(place, item, places)
        if flaw is not None:
            tally.add(flaw)
        elif isinstance(item, Query):
            places[item.id] = place
            queries.append(item)
    if not queries and not tally.total:
        tally.add(Flaw("empty", name, "not one query"))
    if tally.total:
        tally.refuse(name, "an id without white space, once, and a text for every query")
    return queries


def _flaw(place: str, query: Query, places: dict[str, str]) -> Flaw | None:
    """What is wrong with a query, given the places of the ids before it; None when it is good."""
    if query.id.split() != [query.id]:
        return id_flaw(place, query.id)
    if query.id in places:
        message = f"the id {shown(query.id)} was given at {places[query.id]} already"
        return Flaw("duplicate id", place, message)
    if not query.text.strip():
        return Flaw("empty", place, f"query {shown(query.id)} has no text")
    if has_lone_surrogate(query.id) or has_lone_surrogate(query.text):
        return Flaw("malformed", place, f"query {shown(query.id)} holds half a surrogate pair")
    return None


def _located(source: str) -> Iterator[tuple[str, Query | Flaw]]:
    if source.startswith(PREFIX):
        for number, record in enumerate(records(source, "queries"), 1):
            yield f"{source}:{number}", Query(str(record.query_id), str(record.default_text()))
        return
    path = _file(Path(source))
    plain = path.name.lower().removesuffix(".gz")
    if plain.endswith(JSON_LINES):
        yield from _json_lines(path)
    elif plain.endswith(TSV):
        yield from _tsv(path)
    else:
        raise BadArguments(f"{path} is no query file that can be recognised; expected {FORMATS}")


def _file(path: Path) -> Path:
    """The path itself, or the query file of a BEIR folder."""
    if path.is_dir():
        for name in ("queries.jsonl", "queries.jsonl.gz"):
            if (path / name).is_file():
                return path / name
        raise BadArguments(f"{path} holds no queries.jsonl; expected {FORMATS}")
    if not path.exists():
        raise MissingResource(f"{path} is not there; expected queries as {FORMATS}")
    return path


def _tsv(path: Path) -> Iterator[tuple[str, Query | Flaw]]:
    for place, line in text_lines(path, path.name):
        if isinstance(line, Flaw):
            yield place, line
            continue
        columns = line.split("\t")
        if len(columns) == 2:
            yield place, Query(columns[0], columns[1])
        else:
            yield place, Flaw("malformed", place, wrong_columns(line, len(columns)))


def _json_lines(path: Path) -> Iterator[tuple[str, Query | Flaw]]:
    keys = choose_keys(path, ID_KEYS, TEXT_KEYS)
    for place, line in text_lines(path, path.name):
        if isinstance(line, Flaw):
            yield place, line
            continue
        record = json_object(line)
        if isinstance(record, str):
            yield place, Flaw("malformed", place, record)
        else:
            yield place, _from_record(place, record, keys)


def _from_record(place: str, record: dict[str, object], keys: Keys) -> Query | Flaw:
    for key, accepted in ((keys.id, ID_KEYS), (keys.text, TEXT_KEYS)):
        if key is None or key not in record:
            return Flaw("malformed", place, f"no key {key or ' or '.join(accepted)}")
    id_ = id_text(record[keys.id or ""])
    text = record[keys.text or ""]
    if id_ is None:
        seen = shown(record[keys.id or ""])
        return Flaw("malformed", place, f"the id is {seen}; expected a string or a whole number")
    if not isinstance(text, str):
        return Flaw("malformed", place, f"the text is {shown(text)}; expected a string")
    return Query(id_, text)

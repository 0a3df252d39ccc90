"""A comparison as a TOML file (docs/compare.md), read with every mistake told at once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....core.corpus.irds import PREFIX
from ....core.errors import BadData
from ....eval.equivalence import ALPHA, MARGIN
from ...cascade_file import cascade_of
from ...table_reader import TableReader, read_toml
from .spec import (
    EXAMPLES,
    MEASURES,
    OWN_INDEX,
    SAMPLE,
    CollectionSpec,
    CompareSpec,
    EquivalenceSpec,
    IndexSpec,
    SystemSpec,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TOP = (
    "baseline",
    "collection",
    "costs",
    "equivalence",
    "examples",
    "index",
    "measures",
    "system",
    "title",
)
COLLECTION = ("corpus", "dev", "index", "queries", "test")
SYSTEM = ("cascade", "first", "index", "k", "name", "rerank", "run")
BUILD: Mapping[str, type] = {
    "encoder": str,
    "query_encoder": str,
    "lexical": str,
    "k1": float,
    "b": float,
    "ann": str,
    "quality": str,
    "keep": float,
    "min_quality": float,
    "near_duplicates": float,
    "cold": bool,
    "adapt": int,
    "token_vectors": int,
}
"""Options of a build that an index may have here."""

_PATHS = ("encoder", "query_encoder", "quality")


def read_spec(path: Path | str) -> CompareSpec:
    """The comparison of a file; relative paths start at the file's own folder.

    Raises MissingResource, BadData for what is no TOML and, all mistakes at once, for keys that
    nobody knows, values of a wrong kind and tables that lack something. Whether files are there and
    whether the values make sense together is not looked at here (see ``checking``).
    """
    path = Path(path)
    body = read_toml(path, "a comparison")
    reader = _Reader(path)
    spec = reader.spec(body)
    if reader.problems:
        told = "".join(f"\n  - {problem}" for problem in reader.problems)
        raise BadData(f"{path} is no comparison:{told}")
    return spec


class _Reader(TableReader):
    def __init__(self, source: Path) -> None:
        super().__init__(source.parent)
        self._source = source

    def spec(self, body: Mapping[str, Any]) -> CompareSpec:
        self.known(body, TOP, "the file")
        systems = self._systems(body.get("system"))
        indexes = self._indexes(body, implied=any(system.cascade for system in systems))
        baseline = self.get(body, "baseline", str, "", "the file")
        if not baseline and systems:
            baseline = systems[0].name
        costs = self.get(body, "costs", dict, {}, "the file")
        self.known(costs, ("queries",), "[costs]")
        return CompareSpec(
            source=self._source,
            collection=self._collection(body),
            indexes={index.name: index for index in indexes},
            systems=[
                _with_only_index(system, indexes) if system.cascade else system
                for system in systems
            ],
            baseline=baseline,
            measures=tuple(self._texts(body, "measures", MEASURES, "the file")),
            equivalence=self._equivalence(body),
            sample=self._at_least(costs, "queries", SAMPLE, 1, "[costs]"),
            examples=self._at_least(body, "examples", EXAMPLES, 0, "the file"),
            title=self.get(body, "title", str, "", "the file"),
        )

    def _collection(self, body: Mapping[str, Any]) -> CollectionSpec:
        where = "[collection]"
        if "collection" not in body:
            self.problems.append(
                "it has no [collection]: give corpus (or index and queries) and test"
            )
        table = self.get(body, "collection", dict, {}, "the file")
        self.known(table, COLLECTION, where)
        corpus = self.get(table, "corpus", str, None, where)
        index = self.get(table, "index", str, None, where)
        if "collection" in body and (corpus is None) == (index is None):
            told = "both corpus and index" if corpus else "neither corpus nor index"
            self.problems.append(f"{where} has {told}; expected one of the two")
        folder = None if corpus is None else self._located(corpus)
        queries = tuple(map(self._located, self._texts(table, "queries", (), where)))
        if not queries and folder is not None and _beir(folder):
            queries = (folder,)
        if "collection" in body and not queries:
            self.problems.append(f"{where} has no queries: name a file of queries, or several")
        if "collection" in body and "test" not in table:
            self.problems.append(
                f"{where} has no test, the judgments to report on: a file, or, of a BEIR folder, "
                f"the name of a split"
            )
        splits = {
            name: self._split(self.get(table, name, str, None, where), folder)
            for name in ("test", "dev")
        }
        return CollectionSpec(
            corpus=folder,
            index=None if index is None else self._located(index),
            queries=queries,
            test=splits["test"] or "",
            dev=splits["dev"],
        )

    def _split(self, given: str | None, folder: str | None) -> str | None:
        """A file of judgments; a bare name is a split of the BEIR folder."""
        if given is None or given.startswith(PREFIX):
            return given
        if folder is not None and (named := Path(folder) / "qrels" / f"{given}.tsv").is_file():
            return str(named)
        return self._located(given)

    def _indexes(self, body: Mapping[str, Any], *, implied: bool) -> list[IndexSpec]:
        """``implied``: where none is declared, one there is: the collection's, or built plainly."""
        tables = self.get(body, "index", dict, {}, "the file")
        found = []
        for name, table in tables.items():
            where = f"[index.{name}]"
            if not isinstance(table, dict):
                self.problems.append(f"{where} is {table!r}; expected a table: path, or options")
                continue
            self.known(table, ("path", *BUILD), where)
            path = self.get(table, "path", str, None, where)
            given = {key: table[key] for key in BUILD if key in table}
            if path is not None and given:
                self.problems.append(
                    f"{where} has a path and the build's {', '.join(given)}; expected one of the "
                    f"two: an index that is there, or how to build it"
                )
            options = {key: self.get(table, key, BUILD[key], None, where) for key in given}
            for key in _PATHS:
                if isinstance(options.get(key), str):
                    options[key] = self.beside(options[key])
            found.append(IndexSpec(name, None if path is None else self._located(path), options))
        collection = body.get("collection")
        if not found and implied and isinstance(collection, dict):
            own = collection.get("index")
            found = [IndexSpec(OWN_INDEX, self._located(own) if isinstance(own, str) else None)]
        return found

    def _systems(self, tables: object) -> list[SystemSpec]:
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            self.problems.append("it has no systems; write each under [[system]]")
            return []
        found = [self._system(table, place) for place, table in enumerate(tables, 1)]
        names = [each.name for each in found if each.name]
        for twice in sorted({name for name in names if names.count(name) > 1}):
            self.problems.append(f"two systems are called {twice!r}; give each a name of its own")
        return found

    def _system(self, table: Mapping[str, Any], place: int) -> SystemSpec:
        name = self.get(table, "name", str, "", f"[[system]] {place}")
        where = f"system {name!r}" if name else f"[[system]] {place}"
        if not name.strip():
            self.problems.append(f"{where} has no name")
        self.known(table, SYSTEM, where)
        ways = [key for key in ("run", "cascade", "first") if key in table]
        if len(ways) != 1:
            told = " and ".join(ways) or "neither a cascade nor a run"
            self.problems.append(
                f"{where} has {told}; expected one of run (a TREC file), cascade (a TOML file) and "
                f"first (its first stages, with rerank and k beside it)"
            )
            return SystemSpec(name)
        if ways == ["run"]:
            self._alone(table, where, "run", ("index", "k", "rerank"))
            return SystemSpec(name, run=self._located(self.get(table, "run", str, "", where)))
        index = self.get(table, "index", str, OWN_INDEX, where)
        if ways == ["cascade"]:
            self._alone(table, where, "cascade", ("k", "rerank"))
            return self._of_file(name, index, self.get(table, "cascade", str, "", where), where)
        own = {key: table[key] for key in ("first", "k", "rerank") if key in table}
        cascade, wrong = cascade_of(own, self.folder)
        self.problems += [f"{where}: {each}" for each in wrong]
        return SystemSpec(name, index, cascade)

    def _of_file(self, name: str, index: str, file: str, where: str) -> SystemSpec:
        path = Path(self._located(file))
        try:
            body = tomllib.loads(path.read_text("utf-8"))
        except (ValueError, OSError) as failure:
            self.problems.append(f"{where}: {path} is no cascade that can be read: {failure}")
            return SystemSpec(name, index)
        cascade, wrong = cascade_of(body, path.parent)
        self.problems += [f"{where}, {path.name}: {each}" for each in wrong]
        return SystemSpec(name, index, cascade)

    def _equivalence(self, body: Mapping[str, Any]) -> EquivalenceSpec | None:
        if "equivalence" not in body:
            return None
        where = "[equivalence]"
        table = self.get(body, "equivalence", dict, {}, "the file")
        self.known(table, ("alpha", "margin"), where)
        margin = self.get(table, "margin", float, MARGIN, where)
        alpha = self.get(table, "alpha", float, ALPHA, where)
        if not 0 < margin < 1:
            self.problems.append(
                f"margin in {where} is {margin}; expected a share such as {MARGIN}"
            )
        if not 0 < alpha < 0.5:
            self.problems.append(f"alpha in {where} is {alpha}; expected above 0 and below .5")
        return EquivalenceSpec(margin, alpha)

    def _alone(self, table: Mapping[str, Any], where: str, way: str, others: Iterable[str]) -> None:
        if doubled := [key for key in others if key in table]:
            self.problems.append(
                f"{where} has a {way}, so {', '.join(doubled)} cannot be beside it"
            )

    def _texts(
        self, table: Mapping[str, Any], name: str, default: Iterable[str], where: str
    ) -> list[str]:
        """A text or a list of texts."""
        value = table.get(name, list(default))
        if isinstance(value, str):
            return [value]
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self.problems.append(f"{name} in {where} is {value!r}; expected texts")
            return list(default)
        return value

    def _at_least(
        self, table: Mapping[str, Any], name: str, default: int, least: int, where: str
    ) -> int:
        value: int = self.get(table, name, int, default, where)
        if value < least:
            self.problems.append(f"{name} in {where} is {value}; expected {least} or more")
        return value

    def _located(self, name: str) -> str:
        """A path as it is from anywhere; ``irds:ID`` as it stands."""
        return name if name.startswith(PREFIX) else str((self.folder / name).resolve())


def _with_only_index(system: SystemSpec, indexes: list[IndexSpec]) -> SystemSpec:
    """A system that names no index has the only one there is, whatever it is called."""
    if system.index == OWN_INDEX and len(indexes) == 1:
        return SystemSpec(system.name, indexes[0].name, system.cascade)
    return system


def _beir(folder: str) -> bool:
    names = ("queries.jsonl", "queries.jsonl.gz")
    return any((Path(folder) / name).is_file() for name in names)

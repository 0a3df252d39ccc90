"""A cascade as a TOML file: read with every mistake told at once, written so that people read it.

k = 10                       # answers; leave it out to keep all that the last stage leaves

[first]
dense = 1000                 # depth; leave a line out and that stage is not asked
lexical = 1000
fuse = "rrf"                 # or minmax, zscore
weights = { dense = 0.6, lexical = 0.4 }
cold = "auto"                # or always, never: when pruned passages are searched, if there are any

[[rerank]]
name = "lambdamart"          # a registered name, or a path or org/name of a cross-encoder
keep = 100
model = "model.txt"          # this and other keys are the reranker's own options

[rerank.exit]                # written by tamis calibrate
margin = "lead"
threshold = 0.25
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..core import registry
from ..core.durable import replacing
from ..core.errors import BadData
from .cascade import DEPTH, Cascade, RerankStage
from .early_exit import DEFAULT_MARGIN, EarlyExit
from .table_reader import TableReader, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Kind = TypeVar("Kind")

_TOP = ("first", "k", "rerank")
_FIRST = ("cold", "dense", "fuse", "lexical", "weights")
_EXIT = ("calibration", "margin", "threshold")


def read_cascade(path: Path | str) -> Cascade:
    """The cascade of a file; a model's relative path starts at the file's own folder.

    Raises MissingResource, BadData for what is no TOML and, all mistakes at once, for keys that
    nobody knows and values of a wrong kind. What the values mean together is not looked at here.
    """
    path = Path(path)
    body = read_toml(path, "a cascade")
    cascade, problems = cascade_of(body, path.parent)
    if problems:
        told = "".join(f"\n  - {problem}" for problem in problems)
        raise BadData(f"{path} is no cascade:{told}")
    return cascade


def cascade_of(body: Mapping[str, Any], folder: Path) -> tuple[Cascade, list[str]]:
    """The cascade of a table that was read, and all that is wrong with the table.

    Relative paths start at ``folder``. With anything wrong the cascade is not to be used.
    """
    reader = _Reader(folder)
    cascade = reader.cascade(body)
    return cascade, reader.problems


def write_cascade(cascade: Cascade, path: Path | str) -> None:
    """A file that reads back as the same cascade, whole or not at all."""
    with replacing(Path(path)) as out:
        out.write(to_toml(cascade))


def to_toml(cascade: Cascade) -> str:
    """The text of the file; options have to be values that JSON and TOML share."""
    return "\n".join(_lines(cascade)) + "\n"


def _lines(cascade: Cascade) -> Iterator[str]:
    if cascade.k is not None:
        yield from (f"k = {cascade.k}", "")
    yield "[first]"
    for name, depth in (("dense", cascade.dense), ("lexical", cascade.lexical)):
        if depth is not None:
            yield f"{name} = {depth}"
    yield f"fuse = {_value(cascade.fuse)}"
    if cascade.weights:
        yield f"weights = {_value(dict(cascade.weights))}"
    yield f"cold = {_value(cascade.cold)}"
    for stage in cascade.rerank:
        yield from ("", "[[rerank]]", f"name = {_value(stage.name)}", f"keep = {stage.keep}")
        yield from (f"{_key(name)} = {_value(value)}" for name, value in stage.options.items())
        if stage.exit is not None:
            yield from ("", "[rerank.exit]", f"margin = {_value(stage.exit.margin)}")
            yield f"threshold = {_value(float(stage.exit.threshold))}"
            if stage.exit.calibration:
                yield from ("", "[rerank.exit.calibration]")
                told = stage.exit.calibration.items()
                yield from (f"{_key(name)} = {_value(value)}" for name, value in told)


def _value(value: object) -> str:
    """A value as TOML; a JSON string is a TOML string once DEL is escaped."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(str(name))} = {_value(each)}" for name, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Path):
        return _value(str(value))
    return repr(value)  # int, float: also inf, -inf and nan are spelled alike


def _key(name: str) -> str:
    bare = name and all(
        letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name
    )
    return name if bare else _value(name)


class _Reader(TableReader):
    def cascade(self, body: Mapping[str, Any]) -> Cascade:
        self.known(body, _TOP, "the file")
        first = self.get(body, "first", dict, {}, "the file")
        self.known(first, _FIRST, "[first]")
        weights = self.get(first, "weights", dict, {}, "[first]")
        stages = body.get("rerank", [])
        if not isinstance(stages, list) or not all(isinstance(each, dict) for each in stages):
            self.problems.append("rerank is no list of stages; write each under [[rerank]]")
            stages = []
        return Cascade(
            dense=self.get(first, "dense", int, None, "[first]"),
            lexical=self.get(first, "lexical", int, None, "[first]"),
            fuse=self.get(first, "fuse", str, "rrf", "[first]"),
            weights={name: self.get(weights, name, float, 1.0, "weights") for name in weights}
            or None,
            rerank=tuple(self._stage(each, place) for place, each in enumerate(stages, 1)),
            k=self.get(body, "k", int, None, "the file"),
            cold=self.get(first, "cold", str, "auto", "[first]"),
        )

    def _stage(self, table: Mapping[str, Any], place: int) -> RerankStage:
        where = f"[[rerank]] {place}"
        if "name" not in table:
            keys = ", ".join(map(repr, table)) or "none"
            self.problems.append(f"{where} has no name, the reranker's; its keys: {keys}")
        leaving = self.get(table, "exit", dict, None, where)
        options = {
            name: value for name, value in table.items() if name not in ("name", "keep", "exit")
        }
        if isinstance(options.get("model"), str):
            options["model"] = self.beside(options["model"])
        name = self.get(table, "name", str, "", where)
        return RerankStage(
            name=name if name in registry.names("reranker") else self.beside(name),
            keep=self.get(table, "keep", int, DEPTH, where),
            options=options,
            exit=None if leaving is None else self._exit(leaving, f"{where} exit"),
        )

    def _exit(self, table: Mapping[str, Any], where: str) -> EarlyExit:
        self.known(table, _EXIT, where)
        if "threshold" not in table:
            self.problems.append(f"{where} has no threshold")
        return EarlyExit(
            threshold=self.get(table, "threshold", float, 0.0, where),
            margin=self.get(table, "margin", str, DEFAULT_MARGIN, where),
            calibration=self.get(table, "calibration", dict, {}, where),
        )

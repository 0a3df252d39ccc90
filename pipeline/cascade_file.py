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
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..core import registry
from ..core.durable import replacing
from ..core.errors import BadData, MissingResource
from ..core.near import near
from .cascade import DEPTH, Cascade, RerankStage
from .early_exit import DEFAULT_MARGIN, EarlyExit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Kind = TypeVar("Kind")

_TOP = ("first", "k", "rerank")
_FIRST = ("cold", "dense", "fuse", "lexical", "weights")
_EXIT = ("calibration", "margin", "threshold")
_KINDS = {int: "a whole number", str: "a text", dict: "a table", float: "a number"}


def read_cascade(path: Path | str) -> Cascade:
    """The cascade of a file; a model's relative path starts at the file's own folder.

    Raises MissingResource, BadData for what is no TOML and, all mistakes at once, for keys that
    nobody knows and values of a wrong kind. What the values mean together is not looked at here.
    """
    path = Path(path)
    try:
        body = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise MissingResource(f"{path} is not there; expected a cascade in TOML") from None
    except (ValueError, OSError) as failure:
        raise BadData(f"{path} is no TOML file: {failure}") from None
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


class _Reader:
    """Collects what is wrong while it reads on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.problems: list[str] = []

    def cascade(self, body: Mapping[str, Any]) -> Cascade:
        self._known(body, _TOP, "the file")
        first = self._get(body, "first", dict, {}, "the file")
        self._known(first, _FIRST, "[first]")
        weights = self._get(first, "weights", dict, {}, "[first]")
        stages = body.get("rerank", [])
        if not isinstance(stages, list) or not all(isinstance(each, dict) for each in stages):
            self.problems.append("rerank is no list of stages; write each under [[rerank]]")
            stages = []
        return Cascade(
            dense=self._get(first, "dense", int, None, "[first]"),
            lexical=self._get(first, "lexical", int, None, "[first]"),
            fuse=self._get(first, "fuse", str, "rrf", "[first]"),
            weights={name: self._get(weights, name, float, 1.0, "weights") for name in weights}
            or None,
            rerank=tuple(self._stage(each, place) for place, each in enumerate(stages, 1)),
            k=self._get(body, "k", int, None, "the file"),
            cold=self._get(first, "cold", str, "auto", "[first]"),
        )

    def _stage(self, table: Mapping[str, Any], place: int) -> RerankStage:
        where = f"[[rerank]] {place}"
        if "name" not in table:
            keys = ", ".join(map(repr, table)) or "none"
            self.problems.append(f"{where} has no name, the reranker's; its keys: {keys}")
        leaving = self._get(table, "exit", dict, None, where)
        options = {
            name: value for name, value in table.items() if name not in ("name", "keep", "exit")
        }
        if isinstance(options.get("model"), str):
            options["model"] = self._located(options["model"])
        name = self._get(table, "name", str, "", where)
        return RerankStage(
            name=name if name in registry.names("reranker") else self._located(name),
            keep=self._get(table, "keep", int, DEPTH, where),
            options=options,
            exit=None if leaving is None else self._exit(leaving, f"{where} exit"),
        )

    def _exit(self, table: Mapping[str, Any], where: str) -> EarlyExit:
        self._known(table, _EXIT, where)
        if "threshold" not in table:
            self.problems.append(f"{where} has no threshold")
        return EarlyExit(
            threshold=self._get(table, "threshold", float, 0.0, where),
            margin=self._get(table, "margin", str, DEFAULT_MARGIN, where),
            calibration=self._get(table, "calibration", dict, {}, where),
        )

    def _located(self, name: str) -> str:
        """A path beside the file as it is from anywhere; any other name as it stands."""
        beside = self._folder / name
        return str(beside.resolve()) if name and beside.exists() else name

    def _known(self, table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
        for name in table:
            if name not in known:
                legal = ", ".join(known)
                self.problems.append(
                    f"{where} holds {name!r}{near(name, known) or ','} known: {legal}"
                )

    def _get(
        self, table: Mapping[str, Any], name: str, kind: type, default: Any, where: str
    ) -> Any:
        """The value of this kind, or the default; a whole number is a number too."""
        value = table.get(name, default)
        if value is default:
            return default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if not isinstance(value, kind) or isinstance(value, bool):
            self.problems.append(f"{name} in {where} is {value!r}; expected {_KINDS[kind]}")
            return default
        return value

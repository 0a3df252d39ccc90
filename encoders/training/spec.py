"""What a training run is, read from TOML: refused as a whole before anything is loaded."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ...core.errors import BadArguments, BadData, MissingResource
from ...core.fingerprints import of_value
from ...core.strict_json import from_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Record = TypeVar("Record")

_TRANSFORMER_RATE = 2e-5


def one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    """BadArguments unless ``value`` is among ``known``."""
    if value not in known:
        raise BadArguments(f"{what} is {value!r}; known: {', '.join(known)}")


def at_least(what: str, value: float, least: float) -> None:
    """BadArguments when ``value`` is smaller."""
    if value < least:
        raise BadArguments(f"{what} is {value}, expected {least} or more")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The student to begin with.

    kind "folded": layers, width and rank of a new folded student whose token table is the
    teacher's vectors of single word pieces, where each piece counts alike (``piece_weights``
    "equal") or the rarer the more, by weights that are learned ("zipf"); "recurrent": a new one
    with ``cell``, pooling and direction; "transformer": a sentence-transformers model, named by
    ``start``. ``start`` also names an encoder of ours to go on with, in place of a new one.
    """

    kind: str = "folded"
    start: str = ""
    layers: int = 2
    width: int = 384
    rank: int = 384
    piece_weights: str = "equal"
    cell: str = "mingru"
    pooling: str = "mean"
    bidirectional: bool = True
    max_length: int = 512

    def __post_init__(self) -> None:
        one_of("[model] kind", self.kind, ("folded", "recurrent", "transformer"))
        one_of("[model] piece_weights", self.piece_weights, ("equal", "zipf"))
        if self.kind == "transformer" and not self.start:
            raise BadArguments('[model] kind "transformer" needs start, the model to begin with')


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """How long and how fast. AdamW; the rate rises over ``warmup`` steps and falls by a cosine.

    epochs: passes over the data; table_rate is for token tables, rate for all else (a transformer
    has rate 2e-5 if none is given, and the same for its tables). batch_tokens bounds the word
    pieces of a batch. evaluate_every and checkpoint_every are in steps, 0 for never; patience:
    evaluations without a better one after which to stop, 0 to go on.
    """

    epochs: float = 1.0
    batch_tokens: int = 8192
    rate: float = 1e-3
    table_rate: float = 2e-3
    warmup: int = 200
    weight_decay: float = 0.0
    clip: float = 1.0
    evaluate_every: int = 0
    checkpoint_every: int = 500
    patience: int = 0

    def __post_init__(self) -> None:
        for name in ("rate", "table_rate", "warmup", "weight_decay", "clip"):
            at_least(f"[schedule] {name}", getattr(self, name), 0)
        for name in ("evaluate_every", "checkpoint_every", "patience"):
            at_least(f"[schedule] {name}", getattr(self, name), 0)
        at_least("[schedule] batch_tokens", self.batch_tokens, 1)
        if self.epochs <= 0:
            raise BadArguments(f"[schedule] epochs is {self.epochs}, expected more than 0")
        if self.patience and not self.evaluate_every:
            raise BadArguments("[schedule] patience needs evaluate_every")


@dataclass(frozen=True, slots=True)
class EvaluationSpec:
    """A collection folder to watch, by ``measure`` (ir-measures) over the queries of ``split``."""

    collection: str
    split: str = "dev"
    measure: str = "nDCG@10"


@dataclass(frozen=True)
class TrainingSpec:
    """A whole spec. ``sections`` are the tables that the recipe itself reads; ``base`` is the
    folder that relative paths start from."""

    recipe: str
    model: ModelSpec
    schedule: ScheduleSpec
    evaluations: tuple[EvaluationSpec, ...]
    seed: int
    device: str
    half: bool
    threads: int
    base: Path
    source: str
    sections: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    def path(self, name: str) -> Path:
        """A path of the spec: absolute, or beside the data."""
        return self.base / name

    def section(self, record: type[Record], name: str, default: Any = None) -> Record:
        """The table ``[name]`` as a record; BadData names file, table, key and value."""
        body = self.sections.get(name, {} if default is None else default)
        return from_json(record, body, f"{self.source} [{name}]")

    def list_of(self, record: type[Record], name: str) -> tuple[Record, ...]:
        """The tables ``[[name]]``."""
        bodies = self.sections.get(name, [])
        if not isinstance(bodies, list):
            raise BadData(f"{self.source}: {name} is written as [[{name}]], once for each")
        return tuple(
            from_json(record, body, f"{self.source} [[{name}]] number {number}")
            for number, body in enumerate(bodies, 1)
        )

    def only(self, *known: str) -> None:
        """BadData for a table that this recipe does not read."""
        for name in self.sections:
            if name not in known:
                raise BadData(
                    f"{self.source} has [{name}], which the recipe {self.recipe!r} does not read; "
                    f"known: {', '.join((*_COMMON, *known))}"
                )


_COMMON = ("recipe", "seed", "device", "half", "threads", "model", "schedule", "evaluate")
_KINDS = {"recipe": str, "seed": int, "device": str, "half": bool, "threads": int}


def read_spec(path: Path, data: Path | None = None) -> TrainingSpec:
    """The spec in a TOML file. Relative paths start at ``data``, by default the file's folder.

    MissingResource without the file; BadData names the file, table, key and value.
    """
    return spec_of(read_toml(path), str(path), data or path.parent)


def read_toml(path: Path) -> dict[str, Any]:
    """The body of any training spec. MissingResource without the file, BadData for no TOML."""
    if not path.is_file():
        raise MissingResource(f"{path} does not exist: a training spec is a TOML file")
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise BadData(f"{path} is not TOML: {failure}") from None


def spec_of(body: Mapping[str, Any], source: str, base: Path) -> TrainingSpec:
    """The same from a value; ``source`` names it in errors."""
    for name, kind in _KINDS.items():
        if name in body and type(body[name]) is not kind:
            raise BadData(f"{source}: {name} is {body[name]!r}, expected {kind.__name__}")
    if body.get("seed", 0) < 0:
        raise BadData(f"{source}: seed is {body['seed']}, expected 0 or more")
    if "recipe" not in body:
        raise BadData(f"{source} names no recipe")
    evaluate = body.get("evaluate", [])
    if not isinstance(evaluate, list):
        raise BadData(f"{source}: evaluate is written as [[evaluate]], once for each collection")
    model = from_json(ModelSpec, body.get("model", {}), f"{source} [model]")
    return TrainingSpec(
        recipe=body["recipe"],
        model=model,
        schedule=_schedule(model, body.get("schedule", {}), f"{source} [schedule]"),
        evaluations=tuple(
            from_json(EvaluationSpec, each, f"{source} [[evaluate]]") for each in evaluate
        ),
        seed=body.get("seed", 0),
        device=body.get("device", "cpu"),
        half=body.get("half", False),
        threads=body.get("threads", 0),
        base=base,
        source=source,
        sections={name: value for name, value in body.items() if name not in _COMMON},
        fingerprint=of_value(dict(body)),
    )


def _schedule(model: ModelSpec, body: Any, source: str) -> ScheduleSpec:
    """A transformer's rate is 2e-5 if not given, of its tables too: others would undo it."""
    given = from_json(ScheduleSpec, body, source)
    if model.kind != "transformer":
        return given
    rate = given.rate if "rate" in body else _TRANSFORMER_RATE
    return replace(given, rate=rate, table_rate=body.get("table_rate", rate))

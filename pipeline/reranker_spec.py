"""A run that trains a reranker, read from TOML and refused before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..core.errors import BadArguments, BadData, MissingResource
from ..core.fingerprints import of_value
from ..core.strict_json import from_json
from ..encoders.training.spec import ScheduleSpec, at_least, one_of, read_toml
from ..eval.measures import parse_measure
from .choices import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

JUDGED = "judged"
CROSS = "cross"
NEURAL = "neural"
_CROSS_RATE = 2e-5
_PASSAGE_PIECES = 256
_KINDS = {"loss": str, "seed": int, "threads": int}
_KNOWN = (*_KINDS, "model", "data", "dev", "schedule")


@dataclass(frozen=True, slots=True)
class ModelTable:
    """``name`` of the model and its ``options``; ``encoder``: whose word pieces and vectors it
    reads, a folded student such as tamis-small. The rest is as in ``NeuralSpec``."""

    name: str
    kind: str = NEURAL
    encoder: str = "tamis-small"
    title: bool = True
    query_pieces: int = 32
    passage_pieces: int = _PASSAGE_PIECES
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CrossTable:
    """A transformer that reads query and passage as one sequence (kind "cross").

    ``start``: the encoder or cross-encoder to begin with, "minilm", a folder in safetensors or
    org/name of the hub; of its layers the first ``layers`` are kept, 0 for all. A query is cut
    after ``query_pieces`` tokens, a passage after ``passage_pieces``.
    """

    kind: str = CROSS
    start: str = "minilm"
    layers: int = 0
    query_pieces: int = 32
    passage_pieces: int = 224

    def __post_init__(self) -> None:
        at_least("[model] layers", self.layers, 0)
        at_least("[model] query_pieces", self.query_pieces, 1)
        at_least("[model] passage_pieces", self.passage_pieces, 1)


@dataclass(frozen=True, slots=True)
class DataTable:
    """``collection``: a BEIR folder; its queries judged in ``split`` are learned from.

    ``candidates`` is "judged" (the judged passages of each query) or an index folder of the same
    corpus, whose first stage ``mode`` gives the best ``depth``. ``teacher``: a reranker by name
    or path, for the loss margin-mse.
    """

    collection: str
    split: str = "train"
    candidates: str = JUDGED
    mode: str = "hybrid"
    depth: int = 100
    teacher: str = ""

    def __post_init__(self) -> None:
        one_of("[data] mode", self.mode, tuple(Mode))
        at_least("[data] depth", self.depth, 1)


@dataclass(frozen=True, slots=True)
class DevTable:
    """``measure`` (ir-measures) over the candidates of the queries of ``split``, "" for none."""

    split: str = "dev"
    measure: str = "nDCG@10"


@dataclass(frozen=True)
class RerankerSpec:
    """A whole spec; ``base`` is the folder that relative paths start from."""

    model: ModelTable | CrossTable
    data: DataTable
    dev: DevTable
    schedule: ScheduleSpec
    loss: str
    seed: int
    threads: int
    base: Path
    source: str
    fingerprint: str

    def path(self, name: str) -> Path:
        return self.base / name

    def path_or_name(self, named: str) -> str:
        """A path where there is one, or else the name of a component."""
        found = self.path(named)
        return str(found) if found.exists() else named

    def judgments(self, split: str) -> Path:
        """The file of a split. MissingResource lists the splits there are."""
        folder = self.path(self.data.collection)
        found = folder / "qrels" / f"{split}.tsv"
        if not found.is_file():
            splits = ", ".join(sorted(each.stem for each in folder.glob("qrels/*.tsv"))) or "none"
            raise MissingResource(f"{self.source}: {found} does not exist; splits there: {splits}")
        return found


def read_reranker_spec(path: Path, data: Path | None = None) -> RerankerSpec:
    """The spec in a TOML file. Relative paths start at ``data``, by default the file's folder.

    MissingResource without the file, BadData or BadArguments naming table, key and value.
    """
    return reranker_spec_of(read_toml(path), str(path), data or path.parent)


def reranker_spec_of(body: Mapping[str, Any], source: str, base: Path) -> RerankerSpec:
    """The same from a value; ``source`` names it in errors."""
    for name, value in body.items():
        if name not in _KNOWN:
            raise BadData(f"{source} has {name!r}; known: {', '.join(_KNOWN)}")
        if name in _KINDS and type(value) is not _KINDS[name]:
            raise BadData(f"{source}: {name} is {value!r}, expected {_KINDS[name].__name__}")
    model = _model_table(body.get("model", {}), f"{source} [model]")
    spec = RerankerSpec(
        model=model,
        data=from_json(DataTable, body.get("data", {}), f"{source} [data]"),
        dev=from_json(DevTable, body.get("dev", {}), f"{source} [dev]"),
        schedule=_schedule(body.get("schedule", {}), source, isinstance(model, CrossTable)),
        loss=body.get("loss", "listwise"),
        seed=body.get("seed", 0),
        threads=body.get("threads", 0),
        base=base,
        source=source,
        fingerprint=of_value(dict(body)),
    )
    _check(spec)
    return spec


def _model_table(body: Any, source: str) -> ModelTable | CrossTable:
    kind = body.get("kind", NEURAL) if isinstance(body, dict) else NEURAL
    one_of(f"{source} kind", kind, (NEURAL, CROSS))
    if kind == CROSS:
        return from_json(CrossTable, body, source)
    return from_json(ModelTable, body, source)


def _schedule(body: Any, source: str, transformer: bool) -> ScheduleSpec:
    """A transformer that has learned before moves slowly unless a rate is given."""
    given = from_json(ScheduleSpec, body, f"{source} [schedule]")
    if not transformer:
        return given
    rate = given.rate if "rate" in body else _CROSS_RATE
    return replace(given, rate=rate, table_rate=body.get("table_rate", rate))


def _check(spec: RerankerSpec) -> None:
    """What one table says against another, and whether the files are there."""
    from ..rerank.hypencoder.kind import KIND as HYPENCODER
    from ..rerank.hypencoder.spec import read_options as read_hypencoder_options
    from ..rerank.neural.spec import MODELS, read_options
    from ..rerank.training.losses import LOSSES, MARGIN_MSE

    if isinstance(spec.model, ModelTable):
        table, where = spec.model, f"{spec.source} [model.options]"
        one_of(f"{spec.source} [model] name", table.name, (*MODELS, HYPENCODER))
        if table.name == HYPENCODER:
            read_hypencoder_options(table.options, where)
            _check_whole_passages(table, spec.source)
        else:
            read_options(table.name, table.options, where)
    one_of(f"{spec.source}: loss", spec.loss, (*LOSSES, MARGIN_MSE))
    at_least(f"{spec.source}: seed", spec.seed, 0)
    if (spec.loss == MARGIN_MSE) != bool(spec.data.teacher):
        raise BadArguments(
            f"{spec.source}: loss is {spec.loss!r} and [data] teacher {spec.data.teacher!r}; "
            f"{MARGIN_MSE} needs a teacher, and no other loss asks one"
        )
    if spec.schedule.patience and not spec.dev.split:
        raise BadArguments(f"{spec.source}: [schedule] patience needs a split in [dev]")
    for split in filter(None, (spec.data.split, spec.dev.split)):
        spec.judgments(split)
    parse_measure(spec.dev.measure)
    if spec.data.candidates != JUDGED and not spec.path(spec.data.candidates).is_dir():
        raise MissingResource(
            f"{spec.source} [data]: {spec.path(spec.data.candidates)} is no index folder; build "
            f"one with tamis build, or write candidates = {JUDGED!r}"
        )


def _check_whole_passages(table: ModelTable, source: str) -> None:
    """A hypencoder reads the vectors that an index keeps, of title and text."""
    if not table.title or table.passage_pieces != _PASSAGE_PIECES:
        raise BadArguments(
            f"{source} [model]: {table.name} reads the vectors of whole passages, as an "
            f"index keeps them; leave title and passage_pieces out"
        )

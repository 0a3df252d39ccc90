"""``tamis.json``: what an index folder holds, written last, with its own hash."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .durable import replacing
from .errors import BadData, CorruptFile, Mismatch
from .fingerprints import of_value
from .protocols import EncoderCard

if TYPE_CHECKING:
    from pathlib import Path

NAME = "tamis.json"
FORMAT = 1
JOINED = "title, one space, text"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file's size in bytes and the sha256 of each of its 4 MiB blocks."""

    bytes: int
    blocks: list[str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that could spoil a search without an error. No times, no machine: builds compare.

    ``passage_batches`` lists the record batches of ``passages.arrow`` as [first row, first byte,
    end byte], so that a batch can be verified before it is read. ``counts`` holds ``corpus``,
    ``indexed``, ``skipped``, ``truncated_passages`` and ``truncated_tokens``. ``adaptation`` says
    how the passages' encoder was tuned to this corpus, where it was. ``pruning``, where passages
    were scored, holds the quality ``model`` {name, fingerprint}, the fingerprint of the ``corpus``
    (its texts in order), ``keep`` or ``min_quality`` as asked (else None), how many passages were
    ``protected``, ``scored`` and ``kept``, the ``threshold`` (the lowest score kept without
    protection, None if there is none) and ``samples`` of the cut {id, score, text}.
    ``near_duplicates``, where they were left out before anything was scored, holds the
    ``threshold``, how many were ``dropped``, ``samples`` of them {id, repeats, text}, the
    fingerprint of the ``corpus`` and that of all that the answer hangs on, ``made_from``.
    ``cold``, where the pruned passages are an index of their own in ``cold/``, holds how many
    ``passages`` that has and, by search mode, the ``thresholds`` below which it is searched
    {signal, threshold (None: never), share of queries below, queries it was learned from, source}.
    ``tokens``, where token vectors are kept for late interaction, holds ``bits`` a dimension,
    ``dim`` and the ``count`` of tokens; they are the passage encoder's.
    """

    passage_encoder: EncoderCard
    query_encoder: EncoderCard
    counts: dict[str, int]
    corpus: dict[str, str]
    ann: dict[str, Any]
    lexical: dict[str, Any] | None
    passage_batches: list[list[int]]
    files: dict[str, FileRecord]
    pruning: dict[str, Any] | None = None
    adaptation: dict[str, Any] | None = None
    near_duplicates: dict[str, Any] | None = None
    cold: dict[str, Any] | None = None
    tokens: dict[str, int] | None = None
    joined: str = JOINED
    vectors_per_passage: int = 1
    segments: list[str] = field(default_factory=lambda: ["."])
    format: int = FORMAT

    @property
    def space(self) -> str:
        """The fingerprint of the space's teacher; a query encoder must have the same."""
        return self.passage_encoder.space

    @property
    def fingerprint(self) -> str:
        """Equal for equal passages, encoder and recipes, wherever the corpus came from."""
        return of_value({name: asdict(record) for name, record in self.files.items()})

    def to_json(self) -> dict[str, Any]:
        body = {**asdict(self), "space": self.space}
        for younger in ("adaptation", "near_duplicates", "cold", "tokens"):
            if body[younger] is None:
                del body[younger]  # as indexes have it that are older than the field
        return {**body, "sha256": of_value(body)}

    def text(self) -> str:
        """The file, to the byte: spaces and line ends lie outside its own hash."""
        body = json.dumps(self.to_json(), indent=1, sort_keys=True, ensure_ascii=False)
        return body + "\n"

    def write(self, folder: Path) -> None:
        with replacing(folder / NAME) as out:
            out.write(self.text())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an index folder, its own hash checked first.

    Raises CorruptFile when it is cut or changed, Mismatch when a newer tamis wrote it.
    """
    path = folder / NAME
    try:
        body = json.loads(path.read_bytes())
        promised = body.pop("sha256")
        found = of_value(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as failure:
        raise CorruptFile(
            f"{path} is not a whole manifest ({failure}): rebuild the index"
        ) from None
    if body.get("format", FORMAT) != FORMAT:
        raise Mismatch(
            f"{path} has format {body['format']}, this tamis reads format {FORMAT}: "
            f"use the tamis that wrote it, or rebuild"
        )
    if found != promised:
        raise CorruptFile(f"{path} was changed after it was written: rebuild the index")
    return _from_json(path, body)


def _from_json(path: Path, body: dict[str, Any]) -> Manifest:
    try:
        body.pop("space")
        return Manifest(
            **{
                **body,
                "passage_encoder": EncoderCard(**body["passage_encoder"]),
                "query_encoder": EncoderCard(**body["query_encoder"]),
                "files": {name: FileRecord(**record) for name, record in body["files"].items()},
            }
        )
    except (KeyError, TypeError) as failure:
        raise BadData(f"{path} lacks or repeats a field: {failure}") from failure

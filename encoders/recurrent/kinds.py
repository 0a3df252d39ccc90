"""Which model folders are ours: by the key "kind" of their ``config.json``. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...core.errors import BadData, CorruptFile, MissingResource

if TYPE_CHECKING:
    from pathlib import Path

    from ...core.protocols import Encoder
    from .text_model import TextModel, TextSpec

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Kind:
    """What makes a kind, each as module:name, imported when it is needed.

    ``spec`` is a ``TextSpec``, ``model`` a ``TextModel`` made as ``model(spec)``, and
    ``encoder(folder, device=..., name=...)`` loads a folder as an Encoder.
    """

    spec: str
    model: str
    encoder: str


KINDS = {
    "recurrent": Kind(
        spec="tamis.encoders.recurrent.spec:RecurrentSpec",
        model="tamis.encoders.recurrent.model:RecurrentModel",
        encoder="tamis.encoders.recurrent.encoder_folder:load",
    ),
    "folded": Kind(
        spec="tamis.encoders.folded.spec:FoldedSpec",
        model="tamis.encoders.folded.model:FoldedModel",
        encoder="tamis.encoders.folded.encoder:load_folded",
    ),
}


def kind_of(folder: Path) -> str | None:
    """The kind of our own models that a folder holds; None for anything else."""
    try:
        settings = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    kind = settings.get("kind") if isinstance(settings, dict) else None
    return kind if isinstance(kind, str) and kind in KINDS else None


def read_spec(folder: Path) -> TextSpec:
    """The spec of a folder of ours. MissingResource, CorruptFile, or BadData naming the key."""
    path = folder / CONFIG
    try:
        body = json.loads(path.read_bytes())
    except OSError as failure:
        raise not_whole(path) from failure
    except (ValueError, RecursionError) as failure:
        raise CorruptFile(f"{path} is not JSON: {failure}") from None
    kind = body.get("kind") if isinstance(body, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadData(f"{path}: 'kind' is {kind!r}; known: {', '.join(KINDS)}")
    spec: TextSpec = _named(KINDS[kind].spec).from_json(body, str(path))
    return spec


def build(spec: TextSpec) -> TextModel:
    """The spec's model; where weights are random, torch's global generator draws them."""
    model: TextModel = _named(KINDS[spec.kind].model)(spec)
    return model


def load_encoder(folder: Path, *, device: str = "cpu", name: str | None = None) -> Encoder:
    """The encoder of a folder that ``kind_of`` knows."""
    load = _named(KINDS[read_spec(folder).kind].encoder)
    encoder: Encoder = load(folder, device=device, name=name)
    return encoder


def not_whole(path: Path) -> MissingResource:
    """The error for a file that a model folder must have and that cannot be read."""
    return MissingResource(f"{path} cannot be read: the model folder is not whole")


def _named(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)

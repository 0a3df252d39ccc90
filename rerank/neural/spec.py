"""What a neural ranker is beside its weights: the ``config.json`` of its folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.errors import BadArguments, BadData
from ...core.strict_json import from_json
from .kind import KIND

if TYPE_CHECKING:
    from torch import nn

MODELS = {
    "conv-knrm": "conv_knrm:ConvKnrm",
    "drmm": "drmm:Drmm",
    "knrm": "knrm:Knrm",
    "mv-lstm": "mv_lstm:MvLstm",
    "recurrent": "recurrent:Recurrent",
    "tk": "tk:Tk",
    "tkl": "tkl:Tkl",
}
"""Name -> module:Class beside this file; the class's options are ``ClassOptions`` there."""

_MOST = 65_536


@dataclass(frozen=True)
class NeuralSpec:
    """``model`` is one of MODELS, ``options`` what its options record takes; ``vocabulary`` and
    ``dim`` are those of the word vectors. At most ``query_pieces`` and ``passage_pieces`` are
    read of a text; ``title``: read the passage's title before its text. ``words_of`` names the
    encoder that the word vectors came from, for people. Raises BadArguments or BadData.
    """

    kind: ClassVar[str] = KIND

    model: str
    vocabulary: int
    dim: int
    query_pieces: int = 32
    passage_pieces: int = 256
    title: bool = True
    words_of: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise BadArguments(f"model is {self.model!r}; known: {', '.join(MODELS)}")
        for name in ("dim", "query_pieces", "passage_pieces"):
            if not 1 <= getattr(self, name) <= _MOST:
                raise BadArguments(f"{name} is {getattr(self, name)}, expected 1 to {_MOST}")
        if not 1 <= self.vocabulary < 2**31:
            raise BadArguments(f"vocabulary is {self.vocabulary}, expected 1 or more")
        read_options(self.model, self.options, "options")

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, body: object, source: str) -> NeuralSpec:
        """What ``to_json`` wrote, and nothing else: BadData names the key and its value."""
        if isinstance(body, dict):
            if body.get("kind") != cls.kind:
                raise BadData(f"{source}: 'kind' is {body.get('kind')!r}, expected {cls.kind!r}")
            body = {key: value for key, value in body.items() if key != "kind"}
        return from_json(cls, body, source)


def read_options(model: str, options: object, source: str) -> Any:
    """The options record of a model; BadData names what is wrong in ``source``."""
    module, name = _module_of(model)
    return from_json(getattr(module, f"{name}Options"), options, source)


def build(spec: NeuralSpec) -> nn.Module:
    """The model, its weights drawn from torch's global generator."""
    module, name = _module_of(spec.model)
    made: nn.Module = getattr(module, name)(
        spec.dim, read_options(spec.model, spec.options, "options")
    )
    return made


def _module_of(model: str) -> tuple[Any, str]:
    file, _, name = MODELS[model].partition(":")
    return import_module(f".{file}", __package__), name

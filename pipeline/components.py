"""A component by name: the registry first, then a path, then ``org/name`` on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core import registry
from ..core.errors import UnknownComponent
from ..encoders.recurrent.kinds import kind_of
from ..encoders.recurrent.kinds import load_encoder as load_own
from ..rerank.neural.kind import is_neural

if TYPE_CHECKING:
    from ..core.protocols import Encoder, QualityModel, QualityRecipe, Reranker


def encoder(name: str, *, device: str = "cpu") -> Encoder:
    """An encoder, loaded. Raises UnknownComponent, MissingDependency or MissingResource.

    A path is kept absolute in the encoder's card, so that its index opens from any folder. Raises
    BadData for a folder of ours whose files contradict each other.
    """
    if name in registry.names("encoder"):
        loaded: Encoder = registry.load("encoder", name)(device=device)
        return loaded
    if Path(name).is_dir():
        return _from_folder(Path(name).resolve(), device)
    _hub_name("encoder", name)
    from ..encoders.transformer import TransformerEncoder

    return TransformerEncoder(name, device=device)


def query_encoder(name: str, *, device: str = "cpu") -> Encoder:
    """As ``encoder``, for queries alone: minilm on the CPU comes without torch, with its card."""
    if name == "minilm" and device == "cpu":
        from ..encoders.minilm_numpy import MiniLMNumpy

        return MiniLMNumpy()
    return encoder(name, device=device)


def _from_folder(folder: Path, device: str) -> Encoder:
    if kind_of(folder) is not None:
        return load_own(folder, device=device)
    from ..encoders.transformer import TransformerEncoder

    return TransformerEncoder(folder, device=device)


def quality(name: str) -> QualityModel | QualityRecipe:
    """A quality model, or the recipe of one that has to read its corpus first.

    ``name`` is registered, or the path of a stored feature model. Raises UnknownComponent.
    """
    if name in registry.names("quality"):
        loaded: QualityModel | QualityRecipe = registry.load("quality", name)()
        return loaded
    if Path(name).is_file():
        from ..encoders.quality.regression import load_features

        return load_features(name)
    known = ", ".join(registry.names("quality")) or "none"
    raise UnknownComponent(f"no quality model is called {name!r}, and no file; known: {known}")


def reranker(
    name: str, *, keep: int = 100, model: str | None = None, device: str = "cpu"
) -> Reranker:
    """A reranker, ready to score the best ``keep`` candidates of each query.

    ``name`` is a registered kind, the folder of a ranker that ``tamis train reranker`` made, or a
    path or hub name of a cross-encoder.
    """
    if name not in registry.names("reranker") and model is None and is_neural(Path(name)):
        from ..encoders.word_pieces import WordPieces
        from ..rerank.neural.reranker import NeuralReranker

        return NeuralReranker.load(name, WordPieces, keep=keep, device=device)
    if name not in registry.names("reranker"):
        if not Path(name).is_dir():
            _hub_name("reranker", name)
        name, model = "cross", name
    options = {} if model is None else {"model": model}
    loaded: Reranker = registry.load("reranker", name)(keep=keep, device=device, **options)
    return loaded


def _hub_name(kind: str, name: str) -> None:
    """Refuse what cannot be a hub name: a wrong name is never guessed into a download."""
    organisation, slash, model = name.partition("/")
    if slash and organisation not in ("", ".", "..") and model and "/" not in model:
        return
    known = ", ".join(registry.names(kind)) or "none"
    raise UnknownComponent(
        f"no {kind} is called {name!r}, and no folder either; known: {known}; "
        f"a model of the hub is written org/name"
    )

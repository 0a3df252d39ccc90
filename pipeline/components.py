"""A component by name: the registry first, then a path, then ``org/name`` on the hub."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import registry
from ..core.errors import BadArguments, UnknownComponent
from ..core.protocols import TokenEncoder
from ..encoders.recurrent.kinds import kind_of
from ..encoders.recurrent.kinds import load_encoder as load_own

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.protocols import Encoder, QualityModel, QualityRecipe, Reranker


LATE_ENCODER = "tamis-small"
"""Whose token vectors are compared when nobody names an encoder."""


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


def token_encoder(name: str, *, device: str = "cpu") -> TokenEncoder:
    """As ``encoder``; BadArguments for one that has no vectors of single tokens."""
    found = encoder(name, device=device)
    if not isinstance(found, TokenEncoder):
        raise BadArguments(
            f"{name} gives no vectors of single tokens; expected tamis-small, tamis-tiny, minilm, "
            f"a recurrent model folder or a sentence-transformers model"
        )
    return found


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
    name: str, *, keep: int = 100, device: str = "cpu", model: str | None = None, **options: Any
) -> Reranker:
    """A reranker, ready to score the best ``keep`` candidates of each query.

    ``name`` is a registered kind, or a path or hub name of a cross-encoder. ``options`` are the
    kind's own; see ``reranker_options``. Where the kind compares token vectors, ``model`` names
    their encoder.
    """
    factory = reranker_factory(name)
    if name not in registry.names("reranker"):
        model = name
    if "encoder" in inspect.signature(factory).parameters:
        options["encoder"] = token_encoder(model or LATE_ENCODER, device=device)
    elif model is not None:
        options["model"] = model
    loaded: Reranker = factory(keep=keep, device=device, **options)
    return loaded


def reranker_factory(name: str) -> Callable[..., Reranker]:
    """What makes the reranker of this name; for a path or a hub name, the cross-encoder.

    Raises UnknownComponent, or MissingDependency where the kind cannot be imported.
    """
    if name in registry.names("reranker"):
        factory: Callable[..., Reranker] = registry.load("reranker", name)
        return factory
    if not Path(name).is_dir():
        _hub_name("reranker", name)
    cross: Callable[..., Reranker] = registry.load("reranker", "cross")
    return cross


def reranker_options(factory: Callable[..., Reranker]) -> set[str]:
    """The names of a reranker's own options: what its factory takes beside depth and device."""
    names = set(inspect.signature(factory).parameters) - {"keep", "device"}
    return {"model" if name == "encoder" else name for name in names}


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

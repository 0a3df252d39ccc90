"""A component by name: the registry first, then a path, then ``org/name`` on the hub."""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..core import registry
from ..core.errors import BadArguments, MissingResource, UnknownComponent
from ..core.protocols import TokenEncoder
from ..encoders.recurrent.kinds import kind_of
from ..encoders.recurrent.kinds import load_encoder as load_own
from ..rerank.hypencoder.kind import is_hypencoder
from ..rerank.neural.kind import is_neural

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.protocols import Encoder, QualityModel, QualityRecipe, Reranker
    from ..rerank.hypencoder.scorer import BothEncoder


LATE_ENCODER = "tamis-small"
"""Whose token vectors are compared when nobody names an encoder."""
SECOND_ENCODER = "minilm"
"""Whose whole vectors give a second opinion when nobody names an encoder."""

_HANDED_IN = ("encoder", "whole_encoder", "language")
"""What a reranker is given loaded, by the name of a model."""


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


def _both_encoder(name: str) -> BothEncoder:
    """As ``token_encoder``: whoever has vectors of tokens has vectors of texts."""
    return cast("BothEncoder", token_encoder(name))


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


def quality(name: str, *, device: str = "cpu") -> QualityModel | QualityRecipe:
    """A quality model, or the recipe of one that has to read its corpus first.

    ``name`` is registered; or NAME:MODEL, a registered name and what it is to work with (a folder,
    org/name of the hub, or for ``magnitude`` an encoder's name); or the path of a model that was
    stored, or of a trained model's folder. Raises UnknownComponent, BadArguments for a MODEL too
    many or missing, and what loading raises.
    """
    known = registry.names("quality")
    kind, _, model = (name, "", "") if name in known else name.partition(":")
    if kind in known:
        loaded: QualityModel | QualityRecipe = _made(kind, model, device)
        return loaded
    if Path(name).is_file():
        from ..encoders.quality.stored import load_stored

        return load_stored(name)
    if Path(name).is_dir():
        from ..encoders.quality.recurrent import load_recurrent

        return load_recurrent(name)
    raise UnknownComponent(
        f"no quality model is called {name!r}, and no file or folder; "
        f"known: {', '.join(known) or 'none'}; one that works with another model is written "
        f"NAME:MODEL, as qualt5:org/name"
    )


def _made(kind: str, model: str, device: str) -> Any:
    """What a registered factory makes: its parameters say what it takes, which is an ``encoder``
    (loaded here, and never to be left out), the name of a ``model``, or neither; and a ``device``.
    """
    factory = registry.load("quality", kind)
    takes = inspect.signature(factory).parameters
    wanted = next((name for name in ("encoder", "model") if name in takes), None)
    if wanted is None and model:
        raise BadArguments(
            f"the quality model {kind!r} takes no other model, and {model!r} is given: write {kind}"
        )
    needed = wanted is not None and takes[wanted].default is inspect.Parameter.empty
    if needed and not model:
        example = "org/name" if wanted == "model" else "ENCODER"
        raise BadArguments(
            f"the quality model {kind!r} needs {'an' if wanted == 'encoder' else 'a'} {wanted} to "
            f"work with: write {kind}:{example}"
        )
    if wanted == "model" and model and not Path(model).exists() and not _may_be_of_the_hub(model):
        raise MissingResource(
            f"{model!r} is no file and no folder, for the quality model {kind!r} to work with; "
            f"a model of the hub is written org/name"
        )
    given: dict[str, Any] = {"device": device} if "device" in takes else {}
    if wanted is not None and model:
        given[wanted] = encoder(model, device=device) if wanted == "encoder" else model
    return factory(**given)


def reranker(
    name: str, *, keep: int = 100, device: str = "cpu", model: str | None = None, **options: Any
) -> Reranker:
    """A reranker, ready to score the best ``keep`` candidates of each query.

    ``name`` is a registered kind, the folder of a ranker that ``tamis train reranker`` made, or a
    path or hub name of a cross-encoder. ``options`` are the kind's own; see ``reranker_options``.
    Where the kind compares vectors, ``model`` names their encoder; where it asks a language model,
    that model, without a default. BadArguments for a ``model`` beside a name that is one already.
    """
    factory = reranker_factory(name)
    takes = reranker_options(factory)
    if model is not None and "model" not in takes:
        raise BadArguments(f"{name} takes no other model, and {str(model)!r} is given")
    if name not in registry.names("reranker") and "model" in takes:
        if model is not None:
            raise BadArguments(f"{name} is a model already, and {str(model)!r} is given")
        model = name
    wanted = inspect.signature(factory).parameters
    if "encoder" in wanted:
        options["encoder"] = token_encoder(model or LATE_ENCODER, device=device)
    elif "whole_encoder" in wanted:
        options["whole_encoder"] = encoder(model or SECOND_ENCODER, device=device)
    elif "language" in wanted:
        options["language"] = _language_model(name, model, device)
    elif model is not None:
        options["model"] = model
    loaded: Reranker = factory(keep=keep, device=device, **options)
    return loaded


def reranker_factory(name: str) -> Callable[..., Reranker]:
    """What makes the reranker of this name; for a path or a hub name, the cross-encoder, unless
    ``tamis train reranker`` made the folder.

    Raises UnknownComponent, or MissingDependency where the kind cannot be imported.
    """
    if name in registry.names("reranker"):
        factory: Callable[..., Reranker] = registry.load("reranker", name)
        return factory
    if is_neural(Path(name)):
        from ..encoders.word_pieces import WordPieces
        from ..rerank.neural.reranker import NeuralReranker

        return partial(NeuralReranker.load, name, WordPieces)
    if is_hypencoder(Path(name)):
        from ..rerank.hypencoder.reranker import HypencoderReranker

        return partial(HypencoderReranker.load, name, _both_encoder)
    if not Path(name).is_dir():
        _hub_name("reranker", name)
    cross: Callable[..., Reranker] = registry.load("reranker", "cross")
    return cross


def reranker_options(factory: Callable[..., Reranker]) -> set[str]:
    """The names of a reranker's own options: what its factory takes beside depth and device."""
    names = set(inspect.signature(factory).parameters) - {"keep", "device"}
    return {"model" if name in _HANDED_IN else name for name in names}


def _language_model(name: str, model: str | None, device: str) -> Any:
    if model is None:
        raise BadArguments(
            f"{name} needs a language model to ask; name one: --rerank {name}=FOLDER, or org/name"
        )
    from ..encoders.quality.language_model import load_language_model

    return load_language_model(name, model, device, lambda _model, _config: None)


def _may_be_of_the_hub(name: str) -> bool:
    organisation, slash, model = name.partition("/")
    return bool(slash and organisation not in ("", ".", "..") and model and "/" not in model)


def _hub_name(kind: str, name: str) -> None:
    """Refuse what cannot be a hub name: a wrong name is never guessed into a download."""
    if _may_be_of_the_hub(name):
        return
    known = ", ".join(registry.names(kind)) or "none"
    raise UnknownComponent(
        f"no {kind} is called {name!r}, and no folder either; known: {known}; "
        f"a model of the hub is written org/name"
    )

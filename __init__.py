"""tamis: a passage search engine that embeds, searches, reranks and measures.

``import tamis`` is instant: every name below is imported the first time it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.corpus import open_corpus as open_corpus
    from .core.errors import TamisError as TamisError
    from .core.queries import read_queries as read_queries
    from .core.records import Passage as Passage
    from .core.records import Query as Query
    from .core.records import Ranking as Ranking
    from .encoders.folded.untrained import folded as folded
    from .encoders.recurrent.as_sentence_transformer import (
        sentence_transformer as sentence_transformer,
    )
    from .encoders.recurrent.untrained import recurrent as recurrent
    from .pipeline.build import build as build
    from .pipeline.comparing.prune_curve import prune_curve as prune_curve
    from .pipeline.comparing.systems.side_by_side import compare_systems as compare_systems
    from .pipeline.components import encoder as encoder
    from .pipeline.components import reranker as reranker
    from .pipeline.opening import open_index as open_index
    from .pipeline.search import Search as Search

__version__ = "0.1.0"

_HOMES = {
    "Passage": ".core.records",
    "Query": ".core.records",
    "Ranking": ".core.records",
    "Search": ".pipeline.search",
    "TamisError": ".core.errors",
    "build": ".pipeline.build",
    "compare_systems": ".pipeline.comparing.systems.side_by_side",
    "encoder": ".pipeline.components",
    "folded": ".encoders.folded.untrained",
    "open_corpus": ".core.corpus",
    "open_index": ".pipeline.opening",
    "prune_curve": ".pipeline.comparing.prune_curve",
    "read_queries": ".core.queries",
    "recurrent": ".encoders.recurrent.untrained",
    "reranker": ".pipeline.components",
    "sentence_transformer": ".encoders.recurrent.as_sentence_transformer",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the names are the keys of the table above


def __getattr__(name: str) -> Any:
    """The public name, imported now from the module that holds it (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tamis' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Models by hub name: the local cache first, then the network, without its chatter."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .errors import MissingResource

if TYPE_CHECKING:
    from collections.abc import Callable

Model = TypeVar("Model")
log = logging.getLogger(__name__)


def load_model(kind: str, model: str, load: Callable[[bool], Model], way_out: str) -> Model:
    """``load(local_files_only)`` of a local folder or of a hub name.

    What is in the cache is used as it is, so that an index keeps its encoder and a machine
    without a network keeps working; only what is not is asked of the network. A model that
    cannot be had is a MissingResource that ends with ``way_out``.
    """
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # a line for every retry
    try:
        return load(True)
    except (OSError, ValueError) as failure:
        if Path(model).is_dir():
            raise _cannot(kind, model, failure, way_out) from failure
    log.warning("%s is not in the local cache: asking the hub", model)
    try:
        return load(False)
    except (OSError, ValueError) as failure:
        raise _cannot(kind, model, failure, way_out) from failure


def _cannot(kind: str, model: str, failure: Exception, way_out: str) -> MissingResource:
    said = str(failure).strip().partition("\n")[0].rstrip(".")
    return MissingResource(f"the {kind} {model!r} cannot be loaded: {said}; {way_out}")

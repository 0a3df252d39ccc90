"""Collections that ir_datasets knows by name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..errors import BadArguments, MissingResource, TamisError
from ..optional import need
from .flaws import Flaw, shown
from .validation import passage_or_flaw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..records import Passage
    from .stream import Located

PREFIX = "irds:"


def load_irds(source: str, part: str) -> Any:
    """The ir_datasets collection behind "irds:ID"; it must have ``part`` (docs, queries, qrels)."""
    name = source.removeprefix(PREFIX)
    ir_datasets = need("ir_datasets", f"reading {source}")
    try:
        dataset = ir_datasets.load(name)
    except KeyError as missing:
        raise BadArguments(
            f"ir_datasets knows no collection {name!r}; see https://ir-datasets.com for the names"
        ) from missing
    if not dataset.has(part):
        raise BadArguments(f"{source} has no {part}; name a collection that has them")
    return dataset


def records(source: str, part: str) -> Iterator[Any]:
    """Records of a collection; MissingResource when its data are neither here nor to be had."""
    dataset = load_irds(source, part)
    try:
        yield from getattr(dataset, f"{part}_iter")()
    except TamisError:
        raise
    except Exception as failure:  # each collection's reader raises its own kinds
        logging.getLogger(__name__).debug("reading %s", source, exc_info=True)
        cause = f"{type(failure).__name__}: {str(failure)[:200]}"
        raise MissingResource(
            f"the {part} of {source} cannot be had ({cause}); "
            f"fetch them once with network access, or set IR_DATASETS_HOME to a folder with them"
        ) from failure


def read_irds(source: str) -> Iterator[Located]:
    """Every document: title and text where it has both, else the text its collection defines."""
    for number, document in enumerate(records(source, "docs"), 1):
        place = f"{source}:{number}"
        yield place, _passage(place, document)


def _passage(place: str, document: Any) -> Passage | Flaw:
    title = getattr(document, "title", None)
    text = getattr(document, "text", None)
    if not isinstance(text, str):
        title, text = None, document.default_text()
    if not isinstance(text, str):
        return Flaw("malformed", place, f"the text is {shown(text)}; expected a string")
    return passage_or_flaw(
        place, str(document.doc_id), text, title if isinstance(title, str) else ""
    )

"""Encoded queries in Pyserini's form: the door for encoders that Pyserini cannot load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.durable import replacing
from ...core.errors import BadArguments
from ...core.optional import need
from .folder import new_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ...core.protocols import Encoder
    from ...core.records import Query

_JAVA_BLANKS = "".join(map(chr, range(33)))
"""What Java's ``trim`` takes off both ends: everything up to the space."""


def export_queries(queries: Sequence[Query], folder: Path, encoder: Encoder) -> None:
    """Write ``embedding.pkl`` for Pyserini, ``embedding.npy`` [n, dim] and ``queries.tsv`` besides.

    Row i of all three is query i. Pyserini finds a vector by the exact text of its topic, so the
    text is written as Pyserini will read it from ``queries.tsv``. The pickle is for Pyserini
    alone: tamis never reads one. Raises BadArguments when the folder exists, or is named so that
    Pyserini would take it for binary codes; MissingDependency without pandas.
    """
    if "bpr" in str(folder):
        raise BadArguments(
            f"{folder} has 'bpr' in it, by which Pyserini knows binary codes; choose another name"
        )
    pandas = need("pandas", "Pyserini's embedding.pkl")
    texts = [as_topic(query.text) for query in queries]
    vectors = encoder.encode_queries([query.text for query in queries])
    columns = {
        "id": [query.id for query in queries],
        "text": texts,
        "embedding": list(vectors),
    }
    # object and protocol 4: pandas 2 cannot unpickle the string columns of pandas 3
    frame = pandas.DataFrame(columns, dtype=object)
    frame.columns = frame.columns.astype(object)
    with new_folder(folder) as draft:
        np.save(draft / "embedding.npy", vectors, allow_pickle=False)
        frame.to_pickle(draft / "embedding.pkl", protocol=4)
        with replacing(draft / "queries.tsv") as out:
            rows = zip(columns["id"], texts, strict=True)
            out.writelines(f"{query_id}\t{text}\n" for query_id, text in rows)


def as_topic(text: str) -> str:
    """A text as Anserini reads it back from a line of a TSV file: no tab, no line end, trimmed."""
    for blank in "\t\n\r":
        text = text.replace(blank, " ")
    return text.strip(_JAVA_BLANKS)

"""An exact FAISS index written as a stream, so that no more than a block is ever in memory."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from ...core.errors import FailedWhileRunning
from ...core.optional import need

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...core.records import Float32Array


def write_flat(out: IO[Any], blocks: Iterable[Float32Array], n: int, dim: int) -> None:
    """Write what ``faiss.write_index`` would write for an ``IndexFlatIP`` of these n vectors.

    ``out`` is a named binary file, empty. The header is FAISS's own for an empty index, with the
    two counts filled in: a flat file is a header and the numbers, row by row. FAISS then reads the
    file back (memory-mapped); FailedWhileRunning when it sees anything else than n vectors.
    """
    faiss = need("faiss", "building a dense index")
    out.write(_header(n, dim))
    for block in blocks:
        out.write(block.data)
    out.flush()
    written = faiss.read_index(out.name, faiss.IO_FLAG_MMAP_IFC)
    if written.ntotal != n or written.codes.size() != n * dim * 4:
        raise FailedWhileRunning(
            f"FAISS {faiss.__version__} reads {written.ntotal} of the {n} vectors written: it has "
            f"changed its file format; use faiss 1.15 and report this"
        )


def _header(n: int, dim: int) -> bytes:
    """Tag (4 bytes), dimension (4), rows (8), ..., how many numbers follow (8)."""
    faiss = need("faiss", "building a dense index")
    header = bytearray(faiss.serialize_index(faiss.IndexFlatIP(dim)))
    header[8:16] = n.to_bytes(8, "little")
    header[-8:] = (n * dim).to_bytes(8, "little")
    return bytes(header)

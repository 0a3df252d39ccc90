"""Fitted quality models on disk: one safetensors file each, words and counts, no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.durable import replacing
from ...core.errors import BadData, CorruptFile, MissingResource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from ...core.protocols import QualityModel

    Arrays = dict[str, NDArray[Any]]

_ABOUT = "tamis"
_HEADER = 100_000_000  # bytes; safetensors' own limit


def save_counts(
    path: str | Path, form: str, fingerprint: str, words: Iterable[str], **arrays: NDArray[Any]
) -> None:
    """Words (of letters, digits and underscores alone) and int64 arrays; equal to the byte for
    equal models.
    """
    from safetensors.numpy import save

    listed = "\n".join(words).encode("utf-8", "surrogatepass")
    tensors = {name: np.ascontiguousarray(array, "<i8") for name, array in arrays.items()}
    tensors["words"] = np.frombuffer(listed, np.uint8)
    # one entry: safetensors writes several in any order
    about = json.dumps({"format": form, "fingerprint": fingerprint}, sort_keys=True)
    with replacing(Path(path), "wb") as out:
        out.write(save(tensors, {_ABOUT: about}))


def read_counts(
    path: str | Path, form: str, names: tuple[str, ...]
) -> tuple[str, list[str], Arrays]:
    """(the fingerprint it should have, the words, the int64 arrays of these names).

    Raises MissingResource, CorruptFile when it is cut or lacks a part, BadData when it holds
    something else.
    """
    found, promised, raw = _read(path)
    if found != form:
        raise BadData(f"{path} holds a {found!r}; expected a {form!r}")
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(raw)
        listed = arrays.pop("words").tobytes().decode("utf-8", "surrogatepass")
    except (SafetensorError, KeyError, ValueError) as failure:
        raise damaged(path, str(failure)) from None
    if set(arrays) != set(names) or any(
        a.dtype != np.int64 or a.ndim != 1 for a in arrays.values()
    ):
        raise damaged(path, f"it holds {sorted(arrays)}, expected int64 {sorted(names)}")
    return promised, listed.split("\n") if listed else [], arrays


def load_stored(path: str | Path) -> QualityModel:
    """Any quality model that was stored in one file, whatever its kind.

    Raises MissingResource, BadData and CorruptFile as the kinds do.
    """
    if not _is_safetensors(path):
        from .regression import load_features

        return load_features(path)
    from .cdd import FORMAT as CDD
    from .cdd import load_cdd
    from .perplexity import FORMAT as PERPLEXITY
    from .perplexity import load_perplexity

    known: dict[str, Callable[[str | Path], QualityModel]] = {
        CDD: load_cdd,
        PERPLEXITY: load_perplexity,
    }
    form = _read(path)[0]
    if form not in known:
        raise BadData(f"{path} holds a {form!r}; expected one of {', '.join(map(repr, known))}")
    return known[form](path)


def damaged(path: str | Path, why: str) -> CorruptFile:
    return CorruptFile(f"{path} is damaged ({why}): fit and store the model again")


def _is_safetensors(path: str | Path) -> bool:
    """By its content, the length of a header before the header; what is not there is none."""
    try:
        with Path(path).open("rb") as file:
            begin = file.read(9)
    except OSError:
        return False
    return begin[4:] == b"\0\0\0\0{"


def _read(path: str | Path) -> tuple[str, str, bytes]:
    """(format, fingerprint, all bytes) of a file of ours."""
    try:
        raw = Path(path).read_bytes()
    except OSError as failure:
        raise MissingResource(
            f"{path} cannot be read ({failure.strerror}); expected a stored quality model"
        ) from None
    size = int.from_bytes(raw[:8], "little")
    try:
        about = json.loads(json.loads(raw[8 : 8 + min(size, _HEADER)])["__metadata__"][_ABOUT])
        return str(about["format"]), str(about["fingerprint"]), raw
    except (ValueError, KeyError, TypeError, RecursionError) as failure:
        raise BadData(
            f"{path} is no quality model of tamis ({type(failure).__name__} in its header), or is "
            f"cut short; fit and store it again"
        ) from None

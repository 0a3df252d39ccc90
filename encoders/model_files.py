"""Which files make a model what it is, and their fingerprint."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import MissingResource
from ..core.fingerprints import of_file, of_value

_WEIGHTS = ".safetensors"
_SETTINGS = {".json", ".txt", ".model"}


def fingerprint_of_model(model: str) -> tuple[str, str]:
    """(fingerprint of weights, tokenizer and settings; fingerprint of the weights alone).

    ``model`` is a local folder or a hub name whose snapshot is in the local cache. Read from the
    files, not from the loaded model, so that a newer library does not change it.
    """
    folder = Path(model) if Path(model).is_dir() else _snapshot(model)
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and (path.suffix == _WEIGHTS or path.suffix in _SETTINGS)
    )
    hashes = {path.relative_to(folder).as_posix(): of_file(path) for path in files}
    weights = {name: value for name, value in hashes.items() if name.endswith(_WEIGHTS)}
    return of_value(hashes), of_value(weights)


def _snapshot(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except LocalEntryNotFoundError as failure:
        raise MissingResource(
            f"the files of model {name!r} are not in the local cache"
        ) from failure

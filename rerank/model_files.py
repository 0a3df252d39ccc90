"""The files of a transformers model: where they lie, and their fingerprint."""

from __future__ import annotations

from pathlib import Path

from ..core.fingerprints import of_file, of_value

_READ = {".safetensors", ".json", ".txt", ".model"}


def model_folder(model: str, *, local: bool) -> Path:
    """A folder as it is, or the snapshot of a hub name without pickled weights and code.

    ``local`` asks the cache alone. OSError or ValueError when it cannot be had.
    """
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    wanted = [f"*{suffix}" for suffix in sorted(_READ)]
    return Path(snapshot_download(model, local_files_only=local, allow_patterns=wanted))


def of_model(model: str) -> str:
    """The fingerprint of a model's weights, tokenizer and settings, all of which are read."""
    folder = model_folder(model, local=True)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in _READ)
    return of_value({path.relative_to(folder).as_posix(): of_file(path) for path in files})

"""Which files make a model what it is, and their fingerprint."""

from __future__ import annotations

from pathlib import Path

from ..core.fingerprints import of_file, of_value

_WEIGHTS = ".safetensors"
_SETTINGS = {".json", ".txt", ".model"}


def model_folder(model: str, *, local: bool, code: bool) -> Path:
    """The folder of a model: itself, or the snapshot of a hub name, without pickled weights.

    ``local`` asks the cache alone; ``code`` takes the model's own Python files too. OSError or
    ValueError when it cannot be had.
    """
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    wanted = [f"*{suffix}" for suffix in (_WEIGHTS, *sorted(_SETTINGS), *([".py"] * code))]
    return Path(snapshot_download(model, local_files_only=local, allow_patterns=wanted))


def fingerprint_of_model(folder: Path) -> tuple[str, str]:
    """(fingerprint of weights, tokenizer and settings; fingerprint of the weights alone).

    Read from the files, not from the loaded model, so that a newer library does not change it.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and (path.suffix == _WEIGHTS or path.suffix in _SETTINGS)
    )
    hashes = {path.relative_to(folder).as_posix(): of_file(path) for path in files}
    weights = {name: value for name, value in hashes.items() if name.endswith(_WEIGHTS)}
    return of_value(hashes), of_value(weights)

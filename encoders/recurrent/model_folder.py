"""A model folder that is ours and sentence-transformers' at once, written whole or not at all."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.durable import new_folder, replacing
from ...core.errors import BadData, CorruptFile
from ...core.fingerprints import of_value
from .kinds import WEIGHTS
from .model_card import model_card

if TYPE_CHECKING:
    from .text_model import TextSpec

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
_MODULE = "tamis.encoders.recurrent.sentence_transformers_module.TamisModule"
_NORMALIZE = ("1_Normalize", "sentence_transformers.models.Normalize")
_DOCUMENT = ("document", "passage", "corpus")  # sentence-transformers takes the first it finds


def write_folder(
    folder: Path | str, spec: TextSpec, files: dict[str, bytes], trained_on: str, licence: str
) -> None:
    """A new folder of a model's three files, what sentence-transformers reads, and ``README.md``.

    ``trained_on`` is a sentence for the model card; "" says that the weights are random. Raises
    BadArguments when something stands at ``folder``, FailedWhileRunning when it cannot be written.
    """
    card = model_card(spec, Path(folder).absolute().name, trained_on, licence)
    publish_folder(
        Path(folder),
        {**_all_files(spec, files), "README.md": card.encode("utf-8")},
        (_NORMALIZE[0],),
    )


def publish_folder(
    folder: Path, files: dict[str, bytes], empty_folders: tuple[str, ...] = ()
) -> None:
    """A new folder with these files, whole or not at all. Raises as ``write_folder``."""
    with new_folder(folder) as draft:
        for name in empty_folders:
            (draft / name).mkdir()
        write_files(draft, files)


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        with replacing(folder / name, "wb") as out:
            out.write(content)


def fingerprint_in_memory(spec: TextSpec, files: dict[str, bytes]) -> tuple[str, str]:
    """What ``fingerprint_of_model`` will say of the folder that ``write_folder`` would write."""
    hashes = {
        name: sha256(content).hexdigest() for name, content in _all_files(spec, files).items()
    }
    return of_value(hashes), of_value({WEIGHTS: hashes[WEIGHTS]})


def json_bytes(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def prompts(spec: TextSpec) -> dict[str, str]:
    """The prefixes, as sentence-transformers names them."""
    return {"query": spec.query_prefix, "document": spec.passage_prefix}


def check_prompts(folder: Path, spec: TextSpec) -> None:
    """Both programs must put the same words before a text, or their vectors would differ.

    BadData when the stored prompts are not the spec's prefixes, CorruptFile when they cannot be
    read; a folder without sentence-transformers' settings is fine.
    """
    path = folder / SETTINGS
    if not path.is_file():
        return
    try:
        stored = dict(json.loads(path.read_bytes()).get("prompts") or {})
    except (ValueError, TypeError, AttributeError, RecursionError) as failure:
        raise CorruptFile(f"{path} holds no settings: {failure}") from None
    document = next((stored[key] for key in _DOCUMENT if key in stored), "")
    for role, found, expected in (
        ("query", stored.get("query") or "", spec.query_prefix),
        ("passage", document or "", spec.passage_prefix),
    ):
        if found != expected:
            raise BadData(
                f"{path} puts {found!r} before a {role}, config.json {expected!r}: make "
                f"{role}_prefix and the prompt the same"
            )


def _all_files(spec: TextSpec, files: dict[str, bytes]) -> dict[str, bytes]:
    """Every file by which vectors are what they are.

    No library's version is among the settings: the same model is the same bytes everywhere.
    """
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": _MODULE},
        {"idx": 1, "name": "1", "path": _NORMALIZE[0], "type": _NORMALIZE[1]},
    ]
    settings = {
        "model_type": "SentenceTransformer",
        "prompts": prompts(spec),
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }
    return {**files, MODULES: json_bytes(modules), SETTINGS: json_bytes(settings)}

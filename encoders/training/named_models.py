"""Which model a spec means by a name: one that is at hand, a folder, or a name of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import MissingResource

if TYPE_CHECKING:
    from .spec import TrainingSpec

MINILM = "minilm"
_PACKAGED = Path(__file__).parent.parent / "models"


def check_model_name(what: str, name: str, spec: TrainingSpec) -> None:
    """MissingResource for what is neither "minilm" nor a folder nor could be a hub name.

    Nothing is loaded; ``what`` names table and key.
    """
    if name == MINILM or spec.path(name).is_dir():
        return
    organisation, slash, model = name.partition("/")
    if slash and organisation not in ("", ".", "..", "~") and model and "/" not in model:
        return
    raise MissingResource(
        f"{spec.source}: {what} is {name!r}, and there is no folder {spec.path(name)}; known: "
        f"{MINILM}, a folder (relative paths start at {spec.base}), or org/name on the hub"
    )


def model_of(name: str, spec: TrainingSpec) -> str:
    """What a sentence-transformers model is loaded by: a folder where there is one."""
    if name == MINILM:
        from ..minilm import minilm_folder

        return str(minilm_folder())
    folder = spec.path(name)
    return str(folder) if Path(folder).is_dir() else name


def start_folder(spec: TrainingSpec) -> Path:
    """Where the encoder of ours lies that ``[model] start`` names: beside the data, or else among
    those that come with the package. Nothing may be there."""
    name = spec.model.start
    folder, packaged = spec.path(name), _PACKAGED / name
    known = packaged.parent == _PACKAGED and packaged.is_dir()
    return packaged if known and not folder.is_dir() else folder

"""A neural ranker's folder: config, weights, tokenizer and card, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.durable import new_folder, replacing
from ...core.errors import BadData
from ..stored_model import CONFIG, WEIGHTS, fill, read_settings, read_tensors
from .model_card import model_card
from .scorer import Scorer
from .spec import NeuralSpec, build
from .words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from .words import Pieces

TOKENIZER, CARD = "tokenizer.json", "README.md"
_DIRECTIONS, _LENGTHS, _MODEL = "words.directions", "words.weights", "model."


def save(
    scorer: Scorer, folder: Path | str, *, trained_on: str, extra: Mapping[str, str] | None = None
) -> None:
    """A new folder. ``trained_on`` is a sentence for the card; ``extra``: further text files.

    BadArguments when something stands there, FailedWhileRunning when it cannot be written.
    """
    from safetensors.torch import save as to_bytes

    goal, words = Path(folder), scorer.words
    import torch

    tensors = {
        _DIRECTIONS: torch.from_numpy(words.directions),
        _LENGTHS: torch.from_numpy(words.weights),
    }
    for name, value in scorer.model.state_dict().items():
        tensors[_MODEL + name] = value.detach().cpu().contiguous()
    files = {
        CONFIG: _text(scorer.spec.to_json()),
        WEIGHTS: to_bytes(tensors, metadata={"format": "pt"}),
        TOKENIZER: words.pieces.to_json().encode("utf-8"),
        CARD: model_card(scorer.spec, goal.name, trained_on).encode("utf-8"),
        **{name: text.encode("utf-8") for name, text in (extra or {}).items()},
    }
    with new_folder(goal) as draft:
        for name, content in files.items():
            with replacing(draft / name, "wb") as out:
                out.write(content)


def load(folder: Path | str, pieces: Callable[[Path], Pieces], *, device: str = "cpu") -> Scorer:
    """The ranker that ``save`` wrote. ``pieces`` opens a ``tokenizer.json``.

    MissingResource for a file that is not there, CorruptFile for one that is damaged, BadData for
    one that says something else than ``config.json``.
    """
    folder = Path(folder)
    spec = read_config(folder / CONFIG)
    found = read_tensors(folder / WEIGHTS)
    _check_words(found, spec, folder / WEIGHTS)
    directions, weights = found.pop(_DIRECTIONS), found.pop(_LENGTHS)
    words = Words(pieces(folder / TOKENIZER), directions, weights)
    model = build(spec)
    own = {name.removeprefix(_MODEL): array for name, array in found.items()}
    fill(model, own, folder / WEIGHTS)
    return Scorer(model.eval(), words, spec, device)


def read_config(path: Path) -> NeuralSpec:
    """MissingResource, CorruptFile, or BadData naming the key."""
    return NeuralSpec.from_json(read_settings(path), str(path))


def _check_words(found: Mapping[str, np.ndarray], spec: NeuralSpec, path: Path) -> None:
    expected = {_DIRECTIONS: (spec.vocabulary, spec.dim), _LENGTHS: (spec.vocabulary,)}
    for name, shape in expected.items():
        if name not in found or found[name].shape != shape:
            seen = found[name].shape if name in found else "not there"
            raise BadData(f"{path}: {name} is {seen}, expected {shape} as config.json says")


def _text(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8")

"""A neural ranker's folder: config, weights, tokenizer and card, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.durable import new_folder, replacing
from ...core.errors import BadData, CorruptFile, MissingResource
from .kind import CONFIG
from .model_card import model_card
from .scorer import Scorer
from .spec import NeuralSpec, build
from .words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from .words import Pieces

WEIGHTS, TOKENIZER, CARD = "model.safetensors", "tokenizer.json", "README.md"
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
    found = _read_weights(folder / WEIGHTS, spec)
    directions, weights = found.pop(_DIRECTIONS), found.pop(_LENGTHS)
    words = Words(pieces(folder / TOKENIZER), directions, weights)
    model = build(spec)
    _fill(model, found, folder / WEIGHTS)
    return Scorer(model.eval(), words, spec, device)


def read_config(path: Path) -> NeuralSpec:
    """MissingResource, CorruptFile, or BadData naming the key."""
    try:
        body = json.loads(path.read_bytes())
    except OSError as failure:
        raise MissingResource(f"{path} cannot be read: the model folder is not whole") from failure
    except (ValueError, RecursionError) as failure:
        raise CorruptFile(f"{path} is not JSON: {failure}") from None
    return NeuralSpec.from_json(body, str(path))


def _read_weights(path: Path, spec: NeuralSpec) -> dict[str, np.ndarray]:
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise MissingResource(f"{path} cannot be read: the model folder is not whole")
    try:
        found: dict[str, np.ndarray] = load_file(path)
    except (SafetensorError, OSError, KeyError) as failure:
        raise CorruptFile(f"{path} cannot be read: {failure}") from None
    expected = {_DIRECTIONS: (spec.vocabulary, spec.dim), _LENGTHS: (spec.vocabulary,)}
    for name, shape in expected.items():
        if name not in found or found[name].shape != shape:
            seen = found[name].shape if name in found else "not there"
            raise BadData(f"{path}: {name} is {seen}, expected {shape} as config.json says")
    for name, array in found.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadData(f"{path}: {name!r} holds values that are not finite")
    return found


def _fill(model: Any, found: dict[str, np.ndarray], path: Path) -> None:
    """Every parameter of the model from its tensor; no other tensor is there."""
    import torch

    state = {name.removeprefix(_MODEL): torch.from_numpy(x) for name, x in found.items()}
    wanted = model.state_dict()
    odd = sorted(wanted.keys() ^ state.keys())
    odd += [name for name in wanted if name in state and wanted[name].shape != state[name].shape]
    if odd:
        raise BadData(f"{path} and its config.json disagree about {', '.join(odd[:5])}")
    model.load_state_dict(state)


def _text(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8")

"""A hypencoder's folder: config, weights and card, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.durable import new_folder, replacing
from ...core.errors import Mismatch
from ..stored_model import CONFIG, WEIGHTS, fill, read_settings, read_tensors
from .network import Hypencoder
from .scorer import HypencoderScorer
from .spec import HypencoderSpec, read_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .scorer import BothEncoder

CARD = "README.md"

_CARD = """# {name}

A hypencoder: a query becomes a small network that scores the vectors of passages. {trained}

```
tamis search INDEX "a question" --rerank {name}:200
```

It reads vectors of the encoder `{encoder}`; over an index of that encoder it takes the stored ones.
Weights are read from `model.safetensors` only; this folder holds no code.
"""


def build(spec: HypencoderSpec) -> Hypencoder:
    """The model, its weights drawn from torch's global generator."""
    return Hypencoder(spec.dim, read_options(spec.options, "options"))


def save(
    scorer: HypencoderScorer,
    folder: Path | str,
    *,
    trained_on: str,
    extra: Mapping[str, str] | None = None,
) -> None:
    """A new folder. ``trained_on`` is a sentence for the card; ``extra``: further text files.

    BadArguments when something stands there, FailedWhileRunning when it cannot be written.
    """
    from safetensors.torch import save as to_bytes

    goal = Path(folder)
    tensors = {name: x.detach().cpu().contiguous() for name, x in scorer.model.state_dict().items()}
    settings = json.dumps(scorer.spec.to_json(), indent=2, ensure_ascii=False) + "\n"
    card = _CARD.format(name=goal.name, trained=trained_on, encoder=scorer.spec.encoder)
    files = {
        CONFIG: settings.encode("utf-8"),
        WEIGHTS: to_bytes(tensors, metadata={"format": "pt"}),
        CARD: card.encode("utf-8"),
        **{name: text.encode("utf-8") for name, text in (extra or {}).items()},
    }
    with new_folder(goal) as draft:
        for name, content in files.items():
            with replacing(draft / name, "wb") as out:
                out.write(content)


def load(
    folder: Path | str, encoder: Callable[[str], BothEncoder], *, device: str = "cpu"
) -> HypencoderScorer:
    """What ``save`` wrote; ``encoder`` loads an encoder by name.

    MissingResource for a file that is not there, CorruptFile for a damaged one, BadData for one
    that says something else than ``config.json``, Mismatch when the encoder is another one now.
    """
    folder = Path(folder)
    spec = read_config(folder / CONFIG)
    model = build(spec)
    fill(model, read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    found = encoder(spec.encoder)
    if found.card.fingerprint != spec.fingerprint:
        raise Mismatch(
            f"{folder} reads vectors of {spec.encoder} ({spec.fingerprint[:12]}…), which is "
            f"another encoder now ({found.card.fingerprint[:12]}…): train it again"
        )
    return HypencoderScorer(model.eval(), found, spec, device)


def read_config(path: Path) -> HypencoderSpec:
    """MissingResource, CorruptFile, or BadData naming the key."""
    return HypencoderSpec.from_json(read_settings(path), str(path))

"""A hypencoder's folder: config, weights and card, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.durable import new_folder, replacing
from ...core.errors import BadData, CorruptFile, Mismatch, MissingResource
from .kind import CONFIG
from .network import Hypencoder
from .scorer import HypencoderScorer
from .spec import HypencoderSpec, read_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from .scorer import BothEncoder

WEIGHTS, CARD = "model.safetensors", "README.md"

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
    _fill(model, _read(folder / WEIGHTS), folder / WEIGHTS)
    found = encoder(spec.encoder)
    if found.card.fingerprint != spec.fingerprint:
        raise Mismatch(
            f"{folder} reads vectors of {spec.encoder} ({spec.fingerprint[:12]}…), which is "
            f"another encoder now ({found.card.fingerprint[:12]}…): train it again"
        )
    return HypencoderScorer(model.eval(), found, spec, device)


def read_config(path: Path) -> HypencoderSpec:
    """MissingResource, CorruptFile, or BadData naming the key."""
    try:
        body = json.loads(path.read_bytes())
    except OSError as failure:
        raise MissingResource(f"{path} cannot be read: the model folder is not whole") from failure
    except (ValueError, RecursionError) as failure:
        raise CorruptFile(f"{path} is not JSON: {failure}") from None
    return HypencoderSpec.from_json(body, str(path))


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise MissingResource(f"{path} cannot be read: the model folder is not whole")
    try:
        found: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, KeyError) as failure:
        raise CorruptFile(f"{path} cannot be read: {failure}") from None
    for name, x in found.items():
        if not x.isfinite().all():
            raise BadData(f"{path}: {name!r} holds values that are not finite")
    return found


def _fill(model: Hypencoder, found: dict[str, Tensor], path: Path) -> None:
    """Every parameter of the model from its tensor; no other tensor is there."""
    wanted = model.state_dict()
    odd = sorted(wanted.keys() ^ found.keys())
    odd += [name for name in wanted if name in found and wanted[name].shape != found[name].shape]
    if odd:
        raise BadData(f"{path} and its config.json disagree about {', '.join(odd[:5])}")
    model.load_state_dict(found)

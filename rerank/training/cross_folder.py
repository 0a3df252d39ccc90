"""The folder of a trained cross-encoder: sentence-transformers' own, with a card."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...core.durable import new_folder, replacing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .cross_scorer import CrossScorer

_CARD = """---
library_name: sentence-transformers
pipeline_tag: text-ranking
---
# {name}

A cross-encoder of {layers} layers that reads query and passage as one sequence of at most {room}
tokens and gives one logit, higher is better. {trained}

```
tamis search INDEX "a question" --rerank {name}:100
```

```python
reranker = tamis.reranker("{name}", keep=100)
scores = sentence_transformers.CrossEncoder("{name}").predict([(query, passage)])
```
"""


def save_cross(
    scorer: CrossScorer,
    folder: Path | str,
    *,
    trained_on: str,
    extra: Mapping[str, str] | None = None,
) -> None:
    """A new folder in safetensors, which ``CrossReranker`` and sentence-transformers read, each
    pair cut at the length it was trained with. ``trained_on``: a sentence for the card; ``extra``:
    further text files.

    BadArguments when something stands there, FailedWhileRunning when it cannot be written.
    """
    from sentence_transformers import CrossEncoder

    goal = Path(folder)
    model: Any = scorer.model
    card = _CARD.format(
        name=goal.name,
        layers=getattr(model.config, "num_hidden_layers", "its"),
        room=scorer.room,
        trained=trained_on,
    )
    with new_folder(goal) as draft, TemporaryDirectory(dir=draft) as plain:
        model.save_pretrained(plain)
        scorer.tokenizer.model_max_length = scorer.room
        scorer.tokenizer.save_pretrained(plain)
        CrossEncoder(plain, device="cpu").save_pretrained(str(draft), create_model_card=False)
        for name, text in {**(extra or {}), "README.md": card}.items():
            with replacing(draft / name) as out:
                out.write(text)

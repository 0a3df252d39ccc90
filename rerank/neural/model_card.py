"""The README of a neural ranker's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .spec import NeuralSpec

_CARD = """# {name}

A `{model}` reranker of passages: query and passage to one score, higher is better. {trained}

```
tamis search INDEX "a question" --rerank {name}:100
```

```python
reranker = tamis.reranker("{name}", keep=100)
```

| key | value |
|---|---|
{table}

The vectors of the word pieces are those of `{words}`, frozen, in float16. Weights are read from
`model.safetensors` only; this folder holds no code.
"""


def model_card(spec: NeuralSpec, name: str, trained_on: str) -> str:
    """``trained_on`` is one sentence; "" says that the weights are random."""
    rows = [f"| {key} | `{value}` |" for key, value in spec.to_json().items()]
    return _CARD.format(
        name=name,
        model=spec.model,
        trained=trained_on or "It is untrained: its weights are random.",
        table="\n".join(rows),
        words=spec.words_of or "an encoder without a name",
    )

"""The README of a model folder: what the model is, how to load it, what it was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .text_model import TextSpec

_CARD = """---
license: {licence}
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [tamis, sentence-transformers, feature-extraction]
---

# {name}

An encoder of passages and queries ({title}): text to {dim} float32 numbers of unit length,
compared by cosine. {trained}

## Use

With tamis:

```python
import tamis

encoder = tamis.encoder("{name}")
vectors = encoder.encode_passages(["A flea lives two to three months."])
```

```
tamis build corpus.jsonl -o index --encoder {name}
```

With sentence-transformers, where tamis is installed too (below version 6 without the flag):

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{name}", trust_remote_code=True)
vectors = model.encode_document(["A flea lives two to three months."])
```

The flag lets sentence-transformers import the installed tamis: this folder holds no code.
`tamis.sentence_transformer("{name}")` gives the same model without it.

## Spec

| key | value |
|---|---|
{table}

Weights are read from `model.safetensors` only. Licence: {licence}.
"""


def model_card(spec: TextSpec, name: str, trained_on: str, licence: str) -> str:
    """``trained_on`` is one sentence; "" says that the weights are random."""
    rows = [f"| {key} | {_cell(value)} |" for key, value in spec.to_json().items()]
    trained = trained_on or "It is untrained: its weights are random."
    return _CARD.format(
        name=name,
        title=spec.title,
        dim=spec.dim,
        trained=trained,
        licence=licence,
        table="\n".join(rows),
    )


def _cell(value: object) -> str:
    text = str(value).replace("|", "\\|").replace("\n", "\\n")
    return f"`{text}`" if isinstance(value, str) and value else text

"""tamis convert: pickled weights of a transformers model to safetensors."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer


def convert(
    model: Annotated[Path, typer.Argument(help="A folder with pytorch_model.bin.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new model folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Turn a model's pickled weights into safetensors, the only weights that tamis reads.

    Nothing that the pickle names is run; code in the folder is left behind.
    """
    import json

    from ..converting import convert as converted

    tensors = converted(model, output)
    if as_json:
        print(json.dumps({"output": str(output), "tensors": tensors}))
    else:
        print(f"{output}: {tensors} tensors")

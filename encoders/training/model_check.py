"""What can be wrong with ``[model]``, found before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BadArguments, BadData, TamisError
from ..recurrent.kinds import kind_of
from .named_models import check_model_name, start_folder

if TYPE_CHECKING:
    from .spec import ModelSpec, TrainingSpec

_DIM = 32  # a teacher's, which is not known yet: any will do


def check_model(spec: TrainingSpec) -> None:
    """BadArguments, BadData, UnknownComponent or MissingResource naming ``[model]``'s wrong key.

    Files are looked at, not read; no weights are made.
    """
    _check_device(spec.device)
    if spec.model.start:
        _check_start(spec)
        return
    try:
        _check_new(spec.model)
    except TamisError as wrong:
        raise type(wrong)(f"{spec.source} [model]: {wrong}") from None


def check_states(spec: TrainingSpec, weight: float, run: int) -> None:
    """BadArguments when token states are to be learnt by a student that is not folded."""
    if weight and run and spec.model.kind != "folded":
        raise BadArguments(
            f"{spec.source}: states are learnt by folded students only, and [model] kind is "
            f"{spec.model.kind!r}: set states = 0 in [distillation]"
        )


def _check_device(device: str) -> None:
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadArguments(f'device is {device!r}: this torch sees no CUDA device; use "cpu"')


def _check_start(spec: TrainingSpec) -> None:
    own, folder = spec.model, start_folder(spec)
    found = kind_of(folder)
    if found is None and own.kind == "transformer":
        check_model_name("[model] start", own.start, spec)
        return
    if found is None:
        raise BadData(
            f"{spec.source} [model]: start is {own.start!r}, and {folder} holds no encoder of "
            f'tamis; for a sentence-transformers model set kind = "transformer"'
        )
    if found != own.kind:
        raise BadData(
            f"{spec.source} [model]: kind is {own.kind!r}, and {folder} holds a {found} one: set "
            f"kind = {found!r}"
        )


def _check_new(own: ModelSpec) -> None:
    import torch

    from ..folded.spec import FoldedSpec
    from ..recurrent.model import RecurrentModel
    from .students import recurrent_spec

    if own.kind == "recurrent":
        with torch.device("meta"):
            RecurrentModel(recurrent_spec(own, 1, _DIM, ""))
    else:
        FoldedSpec(own.layers, own.width if own.layers else 0, own.rank, _DIM, 1, own.max_length)

"""The encoder that a run begins with, as it was: what a student is to stay near."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BadArguments
from ..recurrent.kinds import load_encoder
from ..transformer import TransformerEncoder
from .named_models import model_of, start_folder
from .teacher import vectors_alone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.protocols import Encoder, EncoderCard, Role
    from .spec import TrainingSpec
    from .teacher import Targets


class FrozenStart:
    """An encoder in a teacher's place. It tells nothing of a text's parts."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def card(self) -> EncoderCard:
        return self._encoder.card

    def targets(self, texts: Sequence[str], role: Role, run: int) -> Targets:
        """BadArguments when runs of tokens are asked for."""
        if run:
            raise BadArguments(f"{self.card.name} tells vectors of whole texts only, not of runs")
        return vectors_alone(self._encoder, texts, role)


def frozen_start(spec: TrainingSpec) -> FrozenStart:
    """``[model] start``, loaded once more."""
    own = spec.model
    if own.kind == "transformer":
        model = model_of(own.start, spec)
        return FrozenStart(TransformerEncoder(model, name=own.start, device=spec.device))
    folder = start_folder(spec)
    return FrozenStart(load_encoder(folder, device=spec.device, name=own.start))

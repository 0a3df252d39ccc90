"""The parts of a folded or recurrent model that a recipe reaches into, beside its vectors."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import BadArguments
from ..folded.model import FoldedModel
from ..recurrent.kinds import read_spec
from ..recurrent.model import RecurrentModel, is_whole_body
from ..recurrent.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from ..recurrent.text_model import TextModel
    from .spec import TrainingSpec
    from .trainee import PackedTrainee

MASK = "[MASK]"


@dataclass(frozen=True, slots=True)
class TokenStates:
    """The ``part`` of a model that says the states of single tokens, [tokens, width], last."""

    part: nn.Module
    width: int


def token_table(model: TextModel) -> Tensor:
    """[vocabulary, rank]: what each word piece begins as, the parameter itself."""
    if isinstance(model, FoldedModel):
        return model.embedding
    assert isinstance(model, RecurrentModel), "there are two kinds"
    return model.embedding.weight


def check_token_states(spec: TrainingSpec, otherwise: str) -> None:
    """BadArguments when the model of ``[model]`` will have no states of single tokens, ending with
    what to do ``otherwise``; nothing is loaded."""
    described: Any = read_spec(spec.path(spec.model.start)) if spec.model.start else spec.model
    if described.kind == "folded" and not described.layers:
        missing = "a student without layers"
    elif described.kind == "recurrent" and is_whole_body(described.cell):
        missing = f"{described.cell!r}, which pools unseen"
    else:
        return
    raise BadArguments(
        f"{spec.source}: [model] is {missing}, and has no states of single tokens; {otherwise}"
    )


def token_states(model: TextModel) -> TokenStates | None:
    """None for a student without layers, and for a cell that is a whole body and pools unseen."""
    if isinstance(model, FoldedModel) and model.spec.layers:
        return TokenStates(model.layers[-1], model.spec.width)
    if isinstance(model, RecurrentModel) and isinstance(model.body, Stack):
        return TokenStates(model.body.norm, model.embedding.embedding_dim)
    return None


@contextmanager
def heard(part: nn.Module) -> Iterator[list[Tensor]]:
    """What a part of a model gives, each time that it runs meanwhile."""
    said: list[Tensor] = []
    handle = part.register_forward_hook(lambda _part, _given, out: said.append(out))
    try:
        yield said
    finally:
        handle.remove()


def mask_piece(trainee: PackedTrainee) -> int:
    """The id of [MASK]. BadArguments when the word pieces hold none."""
    from tokenizers import Tokenizer

    described = trainee._pieces.to_json()
    found: int | None = Tokenizer.from_str(described).token_to_id(MASK)
    if found is None:
        raise BadArguments(f'the model has no word piece {MASK}; set noise = "unigram"')
    return found

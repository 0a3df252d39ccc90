"""What the training loop asks of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn

    from .trainee import Trainee


class Learner(Protocol):
    """What is trained."""

    @property
    def module(self) -> nn.Module: ...


class Lessons(Protocol):
    """Data and losses, for a model of any kind. Batches are a function of the spec and the step
    alone: a run that is killed and resumed at step n asks for ``batches(n)`` and sees what it
    would have seen."""

    @property
    def trainee(self) -> Learner: ...

    @property
    def steps(self) -> int:
        """Of the whole run."""
        ...

    def batches(self, start: int) -> Iterator[Any]:
        """Those of steps ``start`` to ``steps`` - 1; made in a thread, so without gradients."""
        ...

    def losses(self, batch: Any) -> Mapping[str, Tensor]:
        """Each term, weighted: what is minimised is their sum."""
        ...

    def watch(self) -> Mapping[str, float]:
        """Numbers about held-out data, for the log; empty when the recipe has none. "mean" is
        what early stopping goes by where the loop is given nothing else to evaluate."""
        ...


class Recipe(Lessons, Protocol):
    """The lessons of an encoder."""

    @property
    def trainee(self) -> Trainee: ...

    @property
    def trained_on(self) -> str:
        """A sentence for the model card."""
        ...

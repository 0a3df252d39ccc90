"""How long work tells its caller how far it is."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    Advance = Callable[[int], None]


class Progress(Protocol):
    """Opens one stage after another; what it yields is called with the items done since."""

    def stage(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        """``total`` is in items, None when it is not known yet."""
        ...

    def note(self, words: str) -> None:
        """How the stage that is open fares, beside how far it is."""
        ...


class Silent:
    """Progress that nobody watches."""

    def stage(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        del name, total
        return nullcontext(lambda _done: None)

    def note(self, words: str) -> None:
        del words

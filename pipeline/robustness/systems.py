"""A system in one word: first stages, an encoder if it is another one, and rerankers.

lexical, dense, hybrid       the first stages, over an encoder that the caller chooses
dense=minilm                 the same over an encoder of its own
hybrid+lambdamart:100+MODEL  and rerankers, each as --rerank writes it
cascade.toml                 a cascade's file (docs/cascade.md)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import BadArguments
from ...core.near import near
from ..cascade import Cascade, parse_stage
from ..cascade_file import read_cascade
from ..choices import Mode
from ..opening import FIRST_STAGE

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class System:
    """``name`` as it was given; ``encoder`` is None where the caller's is meant."""

    name: str
    cascade: Cascade
    encoder: str | None = None


def read_system(text: str) -> System:
    """The system that ``text`` names; nothing is loaded.

    BadArguments for first stages that nobody knows, and what reading a cascade's file raises.
    """
    if text.endswith(".toml"):
        return System(text, read_cascade(Path(text)))
    first, *stages = text.split("+")
    name, equals, encoder = first.partition("=")
    if name not in set(Mode) or (equals and (not encoder or name == Mode.lexical)):
        known = ", ".join(Mode)
        raise BadArguments(
            f"the system {text!r} begins with {first!r}{near(name, Mode)}; expected one of "
            f"{known}, with =ENCODER behind the last two if need be, then +RERANKER for each "
            f"stage; or a cascade's file, which ends in .toml"
        )
    cascade = Cascade(
        dense=None if name == Mode.lexical else FIRST_STAGE,
        lexical=None if name == Mode.dense else FIRST_STAGE,
        rerank=tuple(parse_stage(stage) for stage in stages),
    )
    return System(text, cascade, encoder or None)


def read_systems(texts: Sequence[str]) -> list[System]:
    """All of them, each wrong value found before any work; BadArguments for a name given twice."""
    if twice := [text for text in texts if list(texts).count(text) > 1]:
        raise BadArguments(f"the system {twice[0]!r} is given twice; give every system once")
    systems = [read_system(text) for text in texts]
    wrong = [(each.name, problem) for each in systems for problem in each.cascade.problems()]
    if wrong:
        told = "".join(f"\n  - {name}: {problem}" for name, problem in wrong)
        kinds = {type(problem) for _, problem in wrong}
        kind = kinds.pop() if len(kinds) == 1 else BadArguments
        raise kind(f"these systems cannot run:{told}")
    return systems


def at_depth(cascade: Cascade, first: int, keep: int) -> Cascade:
    """The same stages, each first stage ``first`` deep and no reranker deeper than ``keep``.

    Early exits and the cold tier are left out: they save time, and here every candidate counts.
    """
    stages = tuple(
        replace(stage, keep=min(stage.keep, keep), exit=None) for stage in cascade.rerank
    )
    return replace(
        cascade,
        dense=None if cascade.dense is None else first,
        lexical=None if cascade.lexical is None else first,
        rerank=stages,
        k=None,
        cold="never",
    )

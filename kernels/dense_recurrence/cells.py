"""Which cells there are: their gates, in the order of the weights, and their states."""

from __future__ import annotations

from typing import Literal, TypeAlias

Cell: TypeAlias = Literal["gru", "lstm", "slstm"]

GATES: dict[str, tuple[str, ...]] = {
    "gru": ("reset", "update", "new"),
    "lstm": ("input", "forget", "cell", "output"),
    "slstm": ("input", "forget", "cell", "output"),
}
# h is the output; c the memory; n its normaliser; m the largest exponent so far
STATES: dict[str, tuple[str, ...]] = {
    "gru": ("h",),
    "lstm": ("h", "c"),
    "slstm": ("h", "c", "n", "m"),
}

"""A matrix for a memory: keys write values into it, queries read them, gates let it fade."""

from .op import matrix_state as matrix_state
from .pairs import Direction as Direction
from .stabiliser import stabilised as stabilised

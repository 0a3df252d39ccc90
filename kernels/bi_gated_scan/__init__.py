"""Gated recurrences, one state per channel, over both directions of a pack: seven cells, one op."""

from .cells import Cell as Cell
from .op import bi_gated_scan as bi_gated_scan

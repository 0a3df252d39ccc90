"""Passages of different lengths laid end to end: no padding is stored, none is computed."""

from .packed import Packed as Packed
from .packed import pack_lengths as pack_lengths

"""Passages of different lengths laid end to end: no padding is stored, none is computed."""

from .one_device import on_one_device as on_one_device
from .packed import Packed as Packed
from .packed import pack_lengths as pack_lengths

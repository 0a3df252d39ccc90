"""One vector for each segment of a pack: mean, maximum, first or last token."""

from .op import segment_pool as segment_pool

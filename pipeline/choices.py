"""Fixed choices of the command line, as the library spells them too."""

from __future__ import annotations

from enum import StrEnum

DEFAULT_ENCODER = "tamis-small"
"""What passages are encoded with when nobody names an encoder."""

DEFAULT_QUALITY = "recurrent"
"""What passages are scored with when nobody names a quality model."""


class Lexical(StrEnum):
    bm25s = "bm25s"
    lucene = "lucene"
    none = "none"


class OnError(StrEnum):
    fail = "fail"
    skip = "skip"


class Device(StrEnum):
    cpu = "cpu"
    cuda = "cuda"


class Mode(StrEnum):
    dense = "dense"
    lexical = "lexical"
    hybrid = "hybrid"


class Cold(StrEnum):
    auto = "auto"
    always = "always"
    never = "never"


class Fuse(StrEnum):
    rrf = "rrf"
    minmax = "minmax"
    zscore = "zscore"


class Percentile(StrEnum):
    p50 = "p50"
    p95 = "p95"

"""BM25, row-aligned with the index: bm25s by default, Lucene on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ...core.errors import BadArguments
from ...core.optional import need
from .settings import Engine as Engine
from .settings import LexicalSettings as LexicalSettings  # noqa: TC001 - handed on, as Engine is

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from ...core.records import Query, Ranking


class LexicalIndex(Protocol):
    """A finished BM25 index. Row i is the i-th text that it was built from."""

    def __len__(self) -> int:
        """How many rows there are, those without any indexable token included."""
        ...

    def retrieve(self, queries: Sequence[Query], k: int) -> list[Ranking]:
        """One ranking a query, in the order of the queries: the best k rows that score above 0.

        A query whose words are all unknown or stop words gets an empty ranking. Memory holds the
        scores of one query (Lucene: of one per core) at a time. Raises BadArguments when k < 1.
        """
        ...

    def close(self) -> None:
        """Let go of files and memory; the index answers nothing afterwards."""
        ...


def check_engine(settings: LexicalSettings) -> None:
    """MissingDependency when the engine is not installed: asked before hours are spent."""
    if settings.engine == "lucene":
        from .jvm import check_installed

        check_installed()
    else:
        need("bm25s", "the bm25s index")


def build_lexical(
    settings: LexicalSettings,
    texts: Iterable[str],
    folder: Path,
    *,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Index the texts (``Passage.full_text``) as rows 0, 1, ... into a folder, which is created.

    The texts are read once and not kept. ``progress`` is called now and then with the number of
    texts taken in since its last call. bm25s writes the same bytes for the same texts; Lucene
    does not. Raises BadData when there is no text at all, MissingDependency, FailedWhileRunning.
    """
    if settings.engine == "lucene":
        from .lucene import build_lucene

        build_lucene(texts, folder, progress or _ignore)
    else:
        from .bm25s import build_bm25s

        build_bm25s(settings, texts, folder, progress or _ignore)


def check_tiers(settings: LexicalSettings) -> None:
    """BadArguments when the engine cannot give two indexes the statistics of one."""
    if settings.engine == "lucene":
        raise BadArguments(
            "Lucene counts the words of each index for itself, so BM25 scores of a hot and a cold "
            "tier would not compare: build with --lexical bm25s or none, or without --cold"
        )


def build_lexical_tiers(
    settings: LexicalSettings,
    tiers: Sequence[tuple[Iterable[str], Path]],
    *,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Indexes over parts of a collection that score as one index over all of it would.

    ``tiers`` are (texts, folder); row i of a folder is the i-th of its own texts. Document
    frequencies, average length and number of passages are those of all tiers together. Raises
    what ``build_lexical`` raises, and BadArguments for Lucene.
    """
    check_tiers(settings)
    from .bm25s import build_bm25s_tiers

    build_bm25s_tiers(settings, tiers, progress or _ignore)


def open_lexical(settings: LexicalSettings, folder: Path) -> LexicalIndex:
    """The index that ``build_lexical`` wrote with these settings.

    Raises MissingResource when the folder holds none, BadData when it cannot be read, Mismatch
    when bm25s built it with another k1 or b (Lucene takes them at search), MissingDependency.
    """
    if settings.engine == "lucene":
        from .lucene import LuceneIndex

        return LuceneIndex(settings, folder)
    from .bm25s import Bm25sIndex

    return Bm25sIndex(settings, folder)


def _ignore(_: int) -> None:
    """Progress that nobody watches."""

"""The steps of a build that a hot and a cold tier share: vectors, BM25, counts, hashes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..core.durable import no_room
from ..core.fingerprints import of_blocks
from ..core.manifest import FileRecord
from ..index.building.vectors_to_faiss import write_faiss
from ..index.building.workplace import sync_files
from ..index.folder import INDEX, LEXICAL
from ..index.lexical import build_lexical, build_lexical_tiers
from ..index.word_counts import NAME as WORDS
from .counting import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ..core.progress import Advance, Progress
    from ..index.building.shards import VectorShards
    from ..index.building.vectors_to_faiss import AnnReport
    from ..index.lexical import LexicalSettings
    from ..index.passages import PassageTable
    from ..index.recipes import AnnRecipe


def index_vectors(
    recipe: AnnRecipe,
    shards: VectorShards,
    dim: int,
    folder: Path,
    device: str,
    progress: Progress,
    told: str = "index",
) -> AnnReport:
    """Write the FAISS file of one tier; ``told`` is what the stage is called."""
    with progress.stage(f"{told} ({recipe.kind})", len(shards)) as advance:
        return write_faiss(
            recipe,
            shards.blocks,
            len(shards),
            dim,
            folder / INDEX,
            progress=_steps(advance),
            device=device,
        )


def index_words(
    settings: LexicalSettings, tiers: Sequence[tuple[PassageTable, Path]], progress: Progress
) -> None:
    """Write the BM25 index of a table into its folder; of two tiers, with shared statistics.

    Beside it, in the first folder, the counts of all tiers' words, which rerankers read.
    """
    rows = sum(len(table) for table, _ in tiers)
    parts = [
        ((passage.full_text for passage in table.stream()), folder / LEXICAL)
        for table, folder in tiers
    ]
    with progress.stage(f"bm25 ({settings.engine})", rows) as advance, _disk(tiers[0][1]):
        if len(parts) == 1:
            build_lexical(settings, *parts[0], progress=advance)
        else:
            build_lexical_tiers(settings, parts, progress=advance)
    with progress.stage("words", rows) as advance, _disk(tiers[0][1]):
        everything = (passage for table, _ in tiers for passage in table.stream())
        counted(everything, advance).write(tiers[0][1] / WORDS)


def counts_of(shards: VectorShards) -> dict[str, int]:
    """What the manifest counts of a tier that is encoded."""
    passages, tokens = shards.truncated
    return {
        "indexed": len(shards),
        "truncated_passages": passages,
        "truncated_tokens": tokens,
    }


def records_of(folder: Path) -> dict[str, FileRecord]:
    """Every file of the folder, flushed to disk, with the hashes of its blocks."""
    return {
        name: FileRecord((folder / name).stat().st_size, of_blocks(folder / name))
        for name in sync_files(folder)
    }


def _steps(advance: Advance) -> Callable[[int, int], None]:
    """Turn (done so far, total) into steps."""
    before = 0

    def step(done: int, _total: int) -> None:
        nonlocal before
        advance(done - before)
        before = done

    return step


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """A library that meets a full disk says so in our words."""
    try:
        yield
    except OSError as failure:
        raise no_room(folder, failure) from failure

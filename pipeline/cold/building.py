"""``tamis build --cold``: what is pruned becomes an index folder of its own inside the index."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...core.durable import no_room
from ...index.building.cold_sketch import write_term_sketch, write_vector_sketch
from ...index.building.shards import VectorShards
from ...index.cold_sketch import TERMS, VECTORS, ColdSketch
from ...index.dense import DenseIndex
from ...index.folder import COLD, ENCODER, INDEX, LEXICAL
from ...index.lexical import LexicalSettings, open_lexical
from ...index.lexical.bm25s import Bm25sIndex
from ...index.passages import NAME as PASSAGES
from ...index.passages import PassageTable
from ..index_parts import counts_of, index_vectors, records_of
from ..retrievers import DenseRetriever, LexicalRetriever
from .thresholds import sample_questions, thresholds_by_share
from .tier import LastQueries, best_below

if TYPE_CHECKING:
    from pathlib import Path

    from ...core.manifest import Manifest
    from ...core.progress import Progress
    from ...core.protocols import Encoder
    from ...index.building.vectors_to_faiss import AnnReport
    from ...index.building.workplace import Workplace
    from ...index.recipes import AnnRecipe
    from ..pruning import Pruned
    from ..retrievers import FirstStage

SOURCE = "questions by templates"
"""Where thresholds come from until somebody tunes them."""


class ColdBuild:
    """The cold tier of one build, from its table to its manifest.

    Made before hours are spent: BadArguments when the recipe does not fit so few passages.
    """

    def __init__(self, pruned: Pruned, place: Workplace, recipe: AnnRecipe, dim: int) -> None:
        assert pruned.cold is not None, "ColdBuild.of asks"
        recipe.resolved(pruned.cold.rows, dim)
        self.folder: Path = place.draft / COLD
        self.table = PassageTable(
            self.folder / PASSAGES, pruned.cold.batches, pruned.cold.rows, None
        )
        self._pruned, self._place, self._recipe = pruned, place, recipe
        self._batches = pruned.cold.batches
        self._shards: VectorShards | None = None
        self._report: AnnReport | None = None

    @classmethod
    def of(
        cls, pruned: Pruned | None, place: Workplace, recipe: AnnRecipe, dim: int
    ) -> ColdBuild | None:
        """None where nothing was pruned or what was is not kept."""
        if pruned is None or pruned.cold is None:
            return None
        return cls(pruned, place, recipe, dim)

    def add_vectors(
        self, encoder: Encoder, shard_rows: int, device: str, progress: Progress
    ) -> None:
        """Encode what is missing, and write the FAISS file and, for the hot tier, the sketch of it;
        killed, it resumes shard by shard."""
        tokens = self._pruned.tokens_for(encoder, cold=True)
        shards = VectorShards(
            self._place.cold_vectors, encoder, len(self.table), shard_rows, tokens
        )
        with progress.stage("encode (cold)", len(self.table)) as advance:
            shards.complete(
                lambda a, z: [p.full_text for p in self.table.stream(a, z)],
                advance,
                self._pruned.cold_known(encoder.card),
            )
        self._report = index_vectors(
            self._recipe, shards, encoder.card.dim, self.folder, device, progress, "index cold"
        )
        self._shards = shards
        sketch = self._place.draft / VECTORS
        sketch.parent.mkdir()
        with progress.stage("sketch cold", len(shards)) as advance:
            write_vector_sketch(shards.blocks, len(shards), encoder.card.dim, sketch)
            advance(len(shards))

    def described(
        self, hot: Manifest, hot_table: PassageTable, queries: Encoder, progress: Progress
    ) -> Manifest:
        """Write the tier's manifest, its last file; the index's own, which then speaks of it.

        The sketch of its words is made here, and thresholds are learned from questions to a sample
        of all passages.
        """
        assert self._shards is not None, "its vectors come first"
        assert self._report is not None, "its vectors come first"
        if (self._place.draft / ENCODER).is_dir():
            try:
                shutil.copytree(self._place.draft / ENCODER, self.folder / ENCODER)
            except OSError as failure:
                raise no_room(self.folder / ENCODER, failure) from failure
        replace(
            hot,
            counts={**hot.counts, **counts_of(self._shards)},
            ann=self._report.to_json(),
            passage_batches=self._batches,
            files=records_of(self.folder),
            pruning=None,
            tokens=None,
        ).write(self.folder)
        lexical = None if hot.lexical is None else LexicalSettings.from_json(hot.lexical)
        if lexical is not None:
            words = open_lexical(lexical, self.folder / LEXICAL)
            assert isinstance(words, Bm25sIndex), "no other engine has tiers"
            write_term_sketch(words.highest(), self._place.draft / TERMS)
            words.close()
        thresholds = self._thresholds(lexical, hot_table, queries, progress)
        return replace(hot, cold={"passages": len(self.table), "thresholds": thresholds})

    def _thresholds(
        self,
        lexical: LexicalSettings | None,
        hot_table: PassageTable,
        queries: Encoder,
        progress: Progress,
    ) -> dict[str, Any]:
        questions = sample_questions(hot_table, self.table)
        draft = self._place.draft
        asking = LastQueries(queries)
        with progress.stage("cold threshold", len(questions)) as advance:
            dense = DenseIndex.open(draft / INDEX)
            stages: list[FirstStage] = [DenseRetriever(dense, asking, hot_table, 1)]
            if lexical is not None:
                words = open_lexical(lexical, draft / LEXICAL)
                stages.append(LexicalRetriever(words, hot_table, 1))
            found = {stage.name: stage.retrieve(questions) for stage in stages}
            sketch = ColdSketch(lambda name: draft / name)
            below = best_below(sketch, stages, questions)
            if lexical is not None:
                words.close()
            advance(len(questions))
        return thresholds_by_share(found, below, SOURCE)

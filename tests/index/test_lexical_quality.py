"""BM25 on real collections is as good as BM25 is known to be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ir_measures
import pytest
from ir_measures import nDCG

from tamis.core.corpus import open_corpus
from tamis.core.errors import MissingDependency
from tamis.core.qrels import read_qrels
from tamis.core.queries import read_queries
from tamis.core.records import Passage
from tamis.index.lexical import LexicalSettings, build_lexical, open_lexical
from tamis.index.lexical.jvm import load as load_java

if TYPE_CHECKING:
    from pathlib import Path

BARS = [
    ("bm25s", "msmarco-dl19-pool", 0.4534, 0.001),
    ("bm25s", "scifact", 0.676, 0.001),
    pytest.param("lucene", "msmarco-dl19-pool", 0.464, 0.01, marks=pytest.mark.lucene),
    pytest.param("lucene", "scifact", 0.679, 0.01, marks=pytest.mark.lucene),
]
"""Engine, collection, nDCG@10 (all judgments, k1 0.9, b 0.4), how far from it is still right."""


@pytest.mark.shared
@pytest.mark.parametrize(("engine", "name", "expected", "within"), BARS)
def test_ndcg_is_what_is_known(
    engine: str, name: str, expected: float, within: float, shared_data: Path, tmp_path: Path
) -> None:
    if engine == "lucene":
        try:
            load_java()
        except MissingDependency as missing:
            pytest.skip(str(missing))
    root = shared_data / "collections" / name
    wanted = LexicalSettings(engine)
    passages = [item for item in open_corpus(root) if isinstance(item, Passage)]
    judgments = read_qrels(root / "qrels" / "test.tsv").judgments
    queries = [query for query in read_queries(root / "queries.jsonl") if query.id in judgments]
    build_lexical(wanted, (passage.full_text for passage in passages), tmp_path / "lexical")
    index = open_lexical(wanted, tmp_path / "lexical")
    run = {
        ranking.query.id: {
            passages[row].id: score
            for row, score in zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True)
        }
        for ranking in index.retrieve(queries, 20)
    }
    index.close()
    measured = ir_measures.calc_aggregate([nDCG @ 10], judgments, run)[nDCG @ 10]
    assert measured == pytest.approx(expected, abs=within)

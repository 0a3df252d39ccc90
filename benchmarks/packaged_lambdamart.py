"""The program that makes rerank/models/lambdamart.txt, and any other model like it.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/packaged_lambdamart.py COLLECTIONS WORK MODEL.txt
        [--encoder tamis-small]

COLLECTIONS holds the BEIR folders of SciFact (its train split), SQuAD 2.0 (half of its development
set, 1,200 questions) and MedQuAD (an eighth of its train split, 1,000 questions): text whose
licences allow weights that ship. Candidates are the best 100 of hybrid search (reciprocal rank
fusion of dense and BM25, 1,000 each), and for half of the queries each also those of dense and of
BM25 search alone, so that the model is used to either. The same call gives the same bytes. WORK
keeps the indexes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import hardware

import tamis
from tamis.core.durable import replacing
from tamis.core.qrels import read_qrels
from tamis.core.records import Query, Ranking
from tamis.pipeline.candidates import candidates
from tamis.pipeline.progress import Bars
from tamis.rerank.training.lambdamart import train_lambdamart

if TYPE_CHECKING:
    from tamis.core.protocols import Candidates
    from tamis.core.records import Judgments

DEPTH = 100


def part_of_medquad(source: Path, part: Path) -> Path:
    """An eighth of MedQuAD: the passages of every page whose title's md5 begins below 32."""
    (part / "qrels").mkdir(parents=True, exist_ok=True)
    with gzip.open(source / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        kept = [line for line in lines if _in_part(json.loads(line)["title"])]
    (part / "corpus.jsonl").write_text("".join(kept), "utf-8")
    ids = {json.loads(line)["_id"] for line in kept}
    judged = read_qrels(source / "qrels" / "train.tsv").judgments
    judged = {query: grades for query, grades in judged.items() if set(grades) <= ids}
    rows = [f"{q}\t{p}\t{grade}\n" for q, grades in judged.items() for p, grade in grades.items()]
    (part / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    queries = (source / "queries.jsonl").read_text("utf-8").splitlines(keepends=True)
    mine = [line for line in queries if json.loads(line)["_id"] in judged]
    (part / "queries.jsonl").write_text("".join(mine), "utf-8")
    return part


def _in_part(title: str) -> bool:
    return hashlib.md5(title.encode(), usedforsecurity=False).digest()[0] < 32


def rankings(
    folder: Path, data: Path, split: str, limit: int, encoder: str
) -> tuple[list[Candidates], Judgments]:
    """The candidates of at most ``limit`` queries; ids get the folder's name, to be unique."""
    if folder.exists():
        index = tamis.open_index(folder)
    else:
        index = tamis.build(data, folder, encoder=encoder, progress=Bars())
    judged = read_qrels(data / "qrels" / f"{split}.tsv").judgments
    queries = [query for query in tamis.read_queries(data) if query.id in judged]
    random.Random(0).shuffle(queries)  # noqa: S311 - a sample, and no secret
    queries = [Query(f"{folder.name}:{query.id}", query.text) for query in queries[:limit]]
    hybrid = tamis.Search(dense=index.dense(1000), lexical=index.lexical(1000))
    views = {
        "hybrid": hybrid.run(queries, progress=Bars()),
        "dense": tamis.Search(dense=index.dense(DEPTH)).run(queries[::2]),
        "lexical": tamis.Search(lexical=index.lexical(DEPTH)).run(queries[1::2]),
    }
    found: list[Candidates] = []
    for view, run in views.items():
        tops = [ranking.top(DEPTH) for ranking in run]
        if view != "hybrid":
            tops = [Ranking(top.query, top.rows, top.scores, {view: top.scores}) for top in tops]
        found += candidates(index.passages, tops)
    return found, {query.id: judged[query.id.partition(":")[2]] for query in queries}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("collections", type=Path)
    options.add_argument("work", type=Path)
    options.add_argument("model", type=Path)
    options.add_argument("--encoder", default="tamis-small")
    chosen = options.parse_args()
    collections, work = chosen.collections, chosen.work
    medquad = part_of_medquad(collections / "medquad", work / "medquad-part-data")
    everything: list[Candidates] = []
    judgments: dict[str, dict[str, int]] = {}
    for name, data, split, limit in (
        ("squad2-dev-part", collections / "squad2-dev-part", "test", 1200),
        ("scifact", collections / "scifact", "train", 809),
        ("medquad-part", medquad, "train", 1000),
    ):
        found, judged = rankings(work / name, data, split, limit, chosen.encoder)
        everything += found
        judgments |= judged
    trained = train_lambdamart(everything, judgments, threads=1)
    with replacing(chosen.model) as out:
        out.write(trained.text)
    total = sum(trained.gains.values())
    best = {name: round(gain / total, 3) for name, gain in list(trained.gains.items())[:10]}
    print(f"{trained.trees} trees, {trained.queries} queries, {trained.dev_queries} to stop on")
    print(f"nDCG@10 there {trained.dev_ndcg:.4f}; gains {best}")
    print(f"sha256 {hashlib.sha256(trained.text.encode()).hexdigest()}; {hardware()}")


if __name__ == "__main__":
    main()

"""Why a quality model has the area it has: by query, by what was judged and what was retrieved.

    .venv/bin/python benchmarks/quality_by_query.py COLLECTION [--split test] [--json FILE]
        [--quality recurrent perplexity length]

COLLECTION is a BEIR folder; ``runs/*.tsv.gz`` in it (query, passage, ...), if there, say which
passages systems retrieved for the queries that are judged. Relevant is grade 1 and above. Printed
for each quality: the area under the ROC curve of "relevant to some query" among all passages,
among those that were retrieved or judged for one of the queries, and among those that were judged;
the mean and the deviation over queries of the area among the passages judged for one query (only
where there are 5 of either kind); and of the relevant passages the share in the lowest quarter of
the collection, over all and for the queries one by one. Intervals are a bootstrap over queries.
``perplexity of the other half``, which always stands there, is the perplexity of a passage under
the bigrams of the passages that stand at even places, for those at odd ones, and the reverse: what
``perplexity`` says without a passage's having been seen itself.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from measuring import hardware

from tamis.core.corpus import Flaw, open_corpus
from tamis.core.protocols import QualityRecipe
from tamis.core.qrels import read_qrels
from tamis.encoders.quality.perplexity import Perplexity
from tamis.eval.discrimination import area_under_roc, clustered_interval
from tamis.pipeline.components import quality

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

QUICK = "pipeline/demo_collection"
OTHERS = "perplexity of the other half"
_LEAST = 5  # passages of either kind, for an area within a query
_LOWEST = 0.25


class Judged:
    """texts [n]; relevant, judged, retrieved [n]: for some query; queries: row -> relevant."""

    def __init__(self, folder: Path, split: str) -> None:
        passages = [item for item in open_corpus(folder) if not isinstance(item, Flaw)]
        row = {passage.id: number for number, passage in enumerate(passages)}
        self.texts = [passage.full_text for passage in passages]
        self.queries: dict[str, dict[int, bool]] = {}
        for query, grades in read_qrels(folder / "qrels" / f"{split}.tsv").judgments.items():
            own = {row[id_]: grade > 0 for id_, grade in grades.items() if id_ in row}
            if own:
                self.queries[query] = own
        self.by: list[list[str]] = [[] for _ in passages]
        self.relevant = np.zeros(len(passages), np.bool_)
        for query, own in self.queries.items():
            for place, yes in own.items():
                self.by[place].append(query)
                self.relevant[place] |= yes
        self.judged = np.array([bool(own) for own in self.by])
        self.retrieved = self.judged | _retrieved(folder, self.queries, row)

    def told(self) -> dict[str, Any]:
        """What the collection is like, whatever the score."""
        rates = np.array([np.mean(list(own.values())) for own in self.queries.values()])
        sizes = np.array([len(own) for own in self.queries.values()])
        wanted = np.sort([sum(own.values()) for own in self.queries.values()])[::-1]
        mean = float(np.average(rates, weights=sizes))
        spread = float(np.average(np.square(rates - mean), weights=sizes))
        return {
            "passages": len(self.texts),
            "retrieved or judged": int(self.retrieved.sum()),
            "judged": int(self.judged.sum()),
            "judged for several queries": sum(len(own) > 1 for own in self.by),
            "relevant": int(self.relevant.sum()),
            "queries": len(self.queries),
            "relevant of the judged, by query": [float(rates.min()), float(rates.max())],
            "variance that the query explains": spread / max(mean * (1 - mean), 1e-9),
            "relevant of the ten richest queries": float(wanted[:10].sum() / wanted.sum()),
        }


def _retrieved(folder: Path, queries: dict[str, Any], row: dict[str, int]) -> NDArray[np.bool_]:
    """[n]: whether some run of the folder has the passage for one of these queries."""
    found = np.zeros(len(row), np.bool_)
    for path in sorted(folder.glob("runs/*.tsv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for query, id_, *_ in (line.rstrip("\n").split("\t") for line in lines):
                if query in queries and id_ in row:
                    found[row[id_]] = True
    return found


def scored(name: str, texts: Sequence[str]) -> NDArray[Any]:
    """[n], by the quality model of this name, fitted if need be."""
    if name == OTHERS:
        scores = np.empty(len(texts), np.float32)
        for half in (0, 1):
            scores[half::2] = Perplexity().fit(texts[1 - half :: 2]).score(texts[half::2])
        return scores
    found = quality(name)
    return (found.fit(texts) if isinstance(found, QualityRecipe) else found).score(texts)


def measured(found: Judged, scores: NDArray[Any]) -> dict[str, Any]:
    """The areas and the losses of one score."""
    everything = np.ones(len(scores), np.bool_)
    parts = {"all": everything, "retrieved": found.retrieved, "judged": found.judged}
    told: dict[str, Any] = {}
    for part, among in parts.items():
        rows = np.flatnonzero(among)
        if found.relevant[rows].all():
            continue  # nothing judged is not relevant
        queries = [found.by[place] for place in rows]
        area = clustered_interval(scores[rows], found.relevant[rows], queries)
        told[part] = [area.value, area.low, area.high]
    within = []
    for own in found.queries.values():
        wanted = np.array(list(own.values()))
        if _LEAST <= wanted.sum() <= len(wanted) - _LEAST:
            within.append(area_under_roc(scores[list(own)], wanted))
    if len(within) > 1:
        told["within a query"] = [float(np.mean(within)), float(np.std(within, ddof=1))]
        told["queries with both"] = len(within)
    low = np.argsort(np.argsort(scores, kind="stable")) < _LOWEST * len(scores)
    lost = [
        float(np.mean([low[place] for place, yes in own.items() if yes]))
        for own in found.queries.values()
        if any(own.values())
    ]
    told["lost"] = float(low[found.relevant].mean())
    told["lost, by query"] = [min(lost), max(lost)]
    told["queries that lose more than a quarter"] = sum(each > _LOWEST for each in lost)
    return told


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_shown(each) for each in value) + "]"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--quality", nargs="+", default=["recurrent", "perplexity", "length"])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = Judged(asked.collection, asked.split)
    body: dict[str, Any] = {"hardware": hardware(), "collection": found.told(), "qualities": {}}
    for what, value in body["collection"].items():
        print(f"{what}: {_shown(value)}")
    for name in [*asked.quality, OTHERS]:
        line = measured(found, scored(name, found.texts))
        body["qualities"][name] = line
        print(name, *(f"  {what}: {_shown(value)}" for what, value in line.items()), sep="\n")
    if asked.json:
        asked.json.write_text(json.dumps(body, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

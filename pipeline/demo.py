"""Seven systems on the collection that the package carries: tuned on dev, measured on test."""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import MissingDependency
from ..core.progress import Silent
from ..core.qrels import read_qrels
from ..core.queries import read_queries
from ..eval.equivalence import equivalence_in
from ..eval.evaluate import evaluate
from ..eval.ties import settle_ties
from .build import build
from .choices import DEFAULT_ENCODER, DEFAULT_QUALITY
from .components import reranker as load_reranker
from .evaluation import evaluate_runs
from .fusion import tune_dense_weight
from .opening import FIRST_STAGE
from .search import Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..core.progress import Progress
    from ..core.protocols import Encoder, Reranker
    from ..core.records import Judgments, Passage, Query, Ranking, RunScores
    from ..eval.equivalence import Equivalence
    from .evaluation import Comparison
    from .opening import Index
    from .search import Search

COLLECTION = Path(__file__).parent / "demo_collection"
MEASURES = ("nDCG@10", "RR@10", "R@100")
DEPTH = 100
BASELINE = "bm25"
TUNED = ("minmax", "zscore")
RERANKER = "lambdamart"
"""What the row ``reranked`` does to all the answers of ``rrf``."""
NEAR_DUPLICATES, KEEP = 0.8, 0.75
"""How alike two passages are when the later one is left out of the pruned index, and the share of
the others that stays."""
SAMPLES = ("q089", "q083", "q046")
"""Dev queries: BM25 takes a word in another sense; dense takes a neighbour for the answer; BM25
takes a list of keywords. Samples never come from the split that is reported."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a system asks of a machine: median milliseconds a query, bytes of index beside texts."""

    milliseconds: float
    index_bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The first passage that these systems give; None when they find nothing or nobody judged."""

    systems: tuple[str, ...]
    passage: Passage | None
    grade: int | None


@dataclass(frozen=True, slots=True)
class Sample:
    query: Query
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Pruning:
    """The pruned index beside the whole one, and what its answers are worth.

    ``near_duplicates`` were left out first, then ``cut`` by ``quality``; ``passages`` stayed, of
    which ``junk`` are labelled other than good (``junk_before``: of the whole collection).
    ``equivalence`` is that of ``pruned`` with ``rrf`` in nDCG@10, over the test queries.
    """

    quality: str
    near_duplicates: int
    cut: int
    passages: int
    passage_bytes: int
    junk: int
    junk_before: int
    equivalence: Equivalence

    def to_json(self) -> dict[str, Any]:
        """The fields, and the settings of the build."""
        return {
            **asdict(self),
            "settings": {"near_duplicates": NEAR_DUPLICATES, "keep": KEEP},
            "equivalence": {"with": "rrf", "measure": "nDCG@10", **self.equivalence.to_json()},
        }


@dataclass(frozen=True, slots=True)
class Demo:
    """All that the demo found. Systems are keyed by name, in the order of the table.

    ``junk`` is the mean share of the ten best passages that are labelled other than good.
    ``encoder`` is that of the passages. ``left_out``: a system that could not run here, and why.
    """

    comparison: Comparison
    costs: Mapping[str, Cost]
    junk: Mapping[str, float]
    dense_weights: Mapping[str, float]
    pruning: Pruning
    left_out: Mapping[str, str]
    samples: tuple[Sample, ...]
    encoder: str
    query_encoder: str
    passages: int
    passage_bytes: int
    dev_queries: int
    cpu: str
    threads: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """What ``tamis eval --json`` answers, with costs beside each run and the samples."""
        body = self.comparison.to_json()
        for run in body["runs"]:
            name = run["run"]
            run["dense_weight"] = self.dense_weights.get(name)
            run["junk@10"] = self.junk[name]
            run["milliseconds_per_query"] = self.costs[name].milliseconds
            run["index_bytes"] = self.costs[name].index_bytes
        return {
            "collection": "tamis demo",
            "split": "test",
            "passages": self.passages,
            "passage_bytes": self.passage_bytes,
            "encoder": self.encoder,
            "query_encoder": self.query_encoder,
            "tuned_on": {"split": "dev", "queries": self.dev_queries},
            "reranker": None if "reranked" in self.left_out else RERANKER,
            "pruning": self.pruning.to_json(),
            "left_out": dict(self.left_out),
            "cpu": self.cpu,
            "threads": self.threads,
            "seconds": self.seconds,
            **body,
            "judgments": "qrels/test.tsv",
            "samples": [asdict(sample) for sample in self.samples],
        }


def run_demo(
    folder: Path,
    *,
    encoder: str | Encoder = DEFAULT_ENCODER,
    progress: Progress | None = None,
) -> Demo:
    """Index the collection in ``folder``, ask it the test queries six ways, and once more pruned.

    ``folder`` must not exist yet; the index of the whole collection stays there. The pruned one is
    temporary. Without the extra ``ltr`` nothing is reranked. Raises what ``build`` raises.
    """
    start = time.perf_counter()
    watched = progress or Silent()
    reranker, left_out = _reranker()
    index = build(COLLECTION, folder, encoder=encoder, progress=watched)
    queries = read_queries(COLLECTION / "queries.jsonl")
    dev, test = _judgments("dev"), _judgments("test")
    weights = _tuned(index, [query for query in queries if query.id in dev], dev, watched)
    with tempfile.TemporaryDirectory(prefix="tamis-demo-") as temporary:
        pruned = _pruned(Path(temporary) / "pruned", encoder, index.encoder, watched)
        systems = _systems(index, weights, reranker, pruned)
        asked = [query for query in queries if query.id in test]
        runs, milliseconds = _asked(systems, asked, watched)
        samples = _samples(systems, {query.id: query for query in queries}, dev)
    comparison = evaluate_runs(runs, test, MEASURES, baseline=BASELINE)
    whole = _sizes(index)
    sizes = dict.fromkeys(systems, whole) | {"pruned": _sizes(pruned)}
    cpu, threads = _machine()
    manifest = index.folder.manifest
    assert manifest is not None, "it was built a moment ago"
    return Demo(
        comparison=comparison,
        costs={name: Cost(milliseconds[name], _bytes_of(name, sizes[name])) for name in systems},
        junk={name: _junk_share(run) for name, run in runs.items()},
        dense_weights=weights,
        pruning=_pruning(pruned, sizes["pruned"]["passages"], comparison),
        left_out=left_out,
        samples=samples,
        encoder=manifest.passage_encoder.name,
        query_encoder=manifest.query_encoder.name,
        passages=len(index),
        passage_bytes=whole["passages"],
        dev_queries=len(dev),
        cpu=cpu,
        threads=threads,
        seconds=time.perf_counter() - start,
    )


def labels() -> dict[str, str]:
    """Passage id -> kind: good, or one of seven sorts of junk."""
    lines = (COLLECTION / "labels.tsv").read_text("utf-8").splitlines()[1:]
    return dict(line.split("\t") for line in lines)


def _judgments(split: str) -> Judgments:
    return read_qrels(COLLECTION / "qrels" / f"{split}.tsv").judgments


def _reranker() -> tuple[Reranker | None, dict[str, str]]:
    """The reranker that comes with the package; or none, and why its system is left out."""
    try:
        return load_reranker(RERANKER, keep=DEPTH), {}
    except MissingDependency as missing:
        return None, {"reranked": str(missing)}


def _pruned(
    folder: Path, encoder: str | Encoder, query_encoder: Encoder, progress: Progress
) -> Index:
    return build(
        COLLECTION,
        folder,
        encoder=encoder,
        query_encoder=query_encoder,
        quality=DEFAULT_QUALITY,
        keep=KEEP,
        near_duplicates=NEAR_DUPLICATES,
        progress=progress,
    )


def _pruning(pruned: Index, passage_bytes: int, comparison: Comparison) -> Pruning:
    kinds = labels()
    manifest = pruned.folder.manifest
    assert manifest is not None, "it was built a moment ago"
    assert manifest.pruning is not None, "it was pruned"
    ids = pruned.passages.ids(np.arange(len(pruned)))
    both = (comparison.evaluations[name] for name in ("pruned", "rrf"))
    return Pruning(
        quality=manifest.pruning["model"]["name"],
        near_duplicates=len(kinds) - manifest.pruning["scored"],
        cut=manifest.pruning["scored"] - len(ids),
        passages=len(ids),
        passage_bytes=passage_bytes,
        junk=sum(kinds[id_] != "good" for id_ in ids),
        junk_before=sum(kind != "good" for kind in kinds.values()),
        equivalence=equivalence_in("nDCG@10", *both),
    )


def _tuned(
    index: Index, queries: Sequence[Query], judgments: Judgments, progress: Progress
) -> dict[str, float]:
    """Method -> weight of dense with the highest nDCG@10 on these queries."""

    def quality(rankings: Sequence[Ranking]) -> float:
        run = Run([ranking.top(DEPTH) for ranking in rankings], index.passages, {})
        return evaluate(run.scores(), judgments, ["nDCG@10"]).value("nDCG@10")

    found = {}
    with progress.stage("tune on dev", len(TUNED) * len(queries)) as advance:
        dense = index.dense(FIRST_STAGE).retrieve(queries)
        lexical = index.lexical(FIRST_STAGE).retrieve(queries)
        for method in TUNED:
            found[method] = tune_dense_weight(method, dense, lexical, quality)
            advance(len(queries))
    return found


def _systems(
    index: Index,
    dense_weights: Mapping[str, float],
    reranker: Reranker | None,
    pruned: Index,
) -> dict[str, Search]:
    systems = {
        "bm25": index.searcher(DEPTH, mode="lexical"),
        "dense": index.searcher(DEPTH, mode="dense"),
        "rrf": index.searcher(DEPTH, mode="hybrid", fuse="rrf"),
    }
    for method, weight in dense_weights.items():
        weights = {"dense": weight, "lexical": 1 - weight}
        systems[method] = index.searcher(DEPTH, mode="hybrid", fuse=method, weights=weights)
    if reranker is not None:
        systems["reranked"] = index.searcher(DEPTH, mode="hybrid", fuse="rrf", rerank=[reranker])
    systems["pruned"] = pruned.searcher(DEPTH, mode="hybrid", fuse="rrf")
    return systems


def _asked(
    systems: Mapping[str, Search], queries: Sequence[Query], progress: Progress
) -> tuple[dict[str, RunScores], dict[str, float]]:
    """What each system finds, asked one query at a time, and the median milliseconds of one."""
    runs: dict[str, RunScores] = {}
    milliseconds = {}
    for name, search in systems.items():
        with progress.stage(f"ask {name}", len(queries)) as advance:
            search.run(queries[:1])  # the first search loads what the others find ready
            singles = [_timed(search, query, advance) for query in queries]
        runs[name] = {id_: scores for run, _ in singles for id_, scores in run.scores().items()}
        milliseconds[name] = 1000 * statistics.median(seconds for _, seconds in singles)
    return runs, milliseconds


def _timed(search: Search, query: Query, advance: Any) -> tuple[Run, float]:
    start = time.perf_counter()
    run = search.run([query])
    seconds = time.perf_counter() - start
    advance(1)
    return run, seconds


def _sizes(index: Index) -> dict[str, int]:
    """Bytes on disk of the vectors, of BM25 and of the passages."""
    found = {"dense": 0, "lexical": 0, "passages": 0}
    for name, size in index.folder.describe()["bytes"].items():
        part = {"index": "dense", "lexical": "lexical"}.get(name.partition("/")[0], "passages")
        found[part] += size
    return found


def _bytes_of(system: str, sizes: Mapping[str, int]) -> int:
    dense = sizes["dense"] if system != "bm25" else 0
    return dense + (sizes["lexical"] if system != "dense" else 0)


def _junk_share(run: RunScores) -> float:
    """Mean over queries of the share of the ten best that are not good; 0 where none is found.

    Ties are settled as for the measures, so that all columns look at one ranking.
    """
    kinds = labels()
    shares = []
    for scores in settle_ties(run).values():
        best = list(scores)[:10]
        shares.append(sum(kinds[id_] != "good" for id_ in best) / max(len(best), 1))
    return statistics.fmean(shares)


def _samples(
    systems: Mapping[str, Search], queries: Mapping[str, Query], judgments: Judgments
) -> tuple[Sample, ...]:
    found = []
    for id_ in SAMPLES:
        together: dict[Passage | None, list[str]] = {}
        for name, search in systems.items():
            hits = search.run([queries[id_]]).hits(0)
            together.setdefault(hits[0].passage if hits else None, []).append(name)
        answers = tuple(
            Answer(tuple(names), passage, judgments[id_].get(passage.id) if passage else None)
            for passage, names in together.items()
        )
        found.append(Sample(queries[id_], answers))
    return tuple(found)


def _machine() -> tuple[str, int]:
    """The processor as people know it, and how many threads the encoder (or FAISS) uses."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", "replace").splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = named[0] if named else platform.processor() or platform.machine()
    if "torch" in sys.modules:
        return cpu, int(sys.modules["torch"].get_num_threads())
    import faiss

    return cpu, int(faiss.omp_get_max_threads())

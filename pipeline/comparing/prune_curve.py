"""``tamis compare --prune-curve``: what every share pruned costs, in every pipeline, with proof."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import BadArguments
from ...core.progress import Silent
from ...eval.equivalence import ALPHA, MARGIN
from ...eval.pruning_curve import Curve, Settings, curves_of
from ...index.lexical import LexicalSettings
from ..asymmetric import OWN, choose_query_encoder
from ..cascade import reranker_of
from ..choices import DEFAULT_ENCODER, DEFAULT_QUALITY
from ..components import encoder as load_encoder
from .areas import Areas, areas_of
from .collection import Collection, read_collection
from .cuts import Bench, Cuts
from .desk import Desk
from .measuring import Measures
from .pipelines import CASCADE, DENSE, MODES
from .qualities import MODEL, Qualities
from .vectors import KnownQueries, encoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...core.progress import Progress
    from ...core.protocols import Encoder, QualityModel, QualityRecipe, Reranker
    from .costs import Cost
    from .qualities import Column
    from .vectors import Encoding

SHARES = tuple(share / 100 for share in range(5, 75, 5))
SEEDS = 10


@dataclass(frozen=True)
class PruneCurve:
    """All that was measured. ``costs`` are along the curve of the quality ``costs_of``, its first
    point unpruned; ``tokens_pruned``: quality -> share of tokens pruned at each share;
    ``query_milliseconds``: the median of encoding one question; ``rerank_milliseconds``:
    reranker -> a question's candidates, unpruned."""

    collection: Collection
    settings: Settings
    pipelines: Sequence[str]
    encoders: Mapping[str, str]
    rerankers: Sequence[str]
    qualities: Sequence[str]
    curves: Sequence[Curve]
    areas: Areas
    costs: Sequence[Cost]
    costs_of: str
    tokens_pruned: Mapping[str, Sequence[float]]
    rerank_milliseconds: Mapping[str, float]
    query_milliseconds: float
    timed_passages: int
    reused: int
    encoding: Encoding | None = None

    def write(self, folder: str | Path, *, command: str = "") -> list[Path]:
        """``write_report`` of this curve: report.md, report.json and a figure."""
        from .curve_report import write_report

        return write_report(self, folder, command=command)


def prune_curve(
    corpus: str | Path,
    report: str | Path,
    *,
    queries: str,
    qrels: str,
    encoder: str | Encoder = DEFAULT_ENCODER,
    query_encoder: str | Encoder | None = None,
    qualities: Sequence[str | Path | QualityModel | QualityRecipe] = (DEFAULT_QUALITY,),
    shares: Sequence[float] = SHARES,
    modes: Sequence[str] = MODES,
    rerank: Sequence[str | Reranker] = (),
    seeds: int = SEEDS,
    measures: Sequence[str] = ("nDCG@10",),
    area_qrels: Sequence[str] = (),
    margin: float = MARGIN,
    alpha: float = ALPHA,
    k1: float = 0.9,
    b: float = 0.4,
    device: str = "cpu",
    progress: Progress | None = None,
) -> PruneCurve:
    """Measure every share of ``shares`` pruned by each quality, by length, by chance (``seeds``
    times) and by an oracle, in dense retrieval, BM25, their fusion, and with ``rerank`` over the
    fusion too; test each against nothing pruned.

    Passages are encoded once. A cut is not built but for its cost: dense rankings are filtered,
    BM25 is computed with the statistics of what is kept, to the bit what an index of it would say.
    Works in ``REPORT/work``; killed, the same call goes on, and a changed one computes what is
    new. ``write_report`` puts the result on paper. ``qualities``, ``encoder`` and
    ``query_encoder`` are as in ``build``; a reranker is one, or "NAME[=MODEL][:DEPTH]" as ``tamis
    search`` reads it. Relevant to some query, for the ROC areas, is what ``qrels`` or the files
    ``area_qrels`` call relevant.

    Raises BadArguments for shares, modes, seeds or measures that cannot be meant, before any
    work; BadData, Mismatch, MissingResource and MissingDependency as a build and ``tamis eval``.
    """
    settings = Settings(margin, alpha, 0, _shares(shares), Measures.named(measures).names)
    bench = Bench(
        Measures.named(measures),
        _pipelines(modes, bool(rerank)),
        Qualities(qualities, seeds),
        LexicalSettings(k1=k1, b=b),
        [reranker_of(each, device) if isinstance(each, str) else each for each in rerank],
        [each if isinstance(each, str) else f"{each.name}:{each.keep}" for each in rerank],
    )
    bench.check()
    watched = progress or Silent()
    with Desk(Path(report)) as desk:
        loaded = asking = None
        if bench.needs(DENSE):
            loaded = load_encoder(encoder, device=device) if isinstance(encoder, str) else encoder
            asked = OWN if query_encoder == encoder else query_encoder
            asking = choose_query_encoder(asked, loaded, device=device)
        collection = read_collection(corpus, queries, qrels, area_qrels, desk, watched)
        columns = bench.qualities.columns(collection, desk, watched)
        encoding = known = None
        if loaded is not None and asking is not None:
            encoding = encoded(collection, loaded, desk, watched)
            known = KnownQueries(asking, collection.queries, collection, desk)
        cuts = Cuts(bench, collection, desk, encoding, known, watched)
        unpruned, samples = cuts.samples(columns, settings.shares)
        chosen = next((c for c in columns if c.kind == MODEL), columns[0])
        return PruneCurve(
            collection=collection,
            settings=settings,
            pipelines=bench.pipelines,
            encoders=_encoders(loaded, asking),
            rerankers=bench.rerank_names,
            qualities=list(dict.fromkeys(column.name for column in columns)),
            curves=curves_of(samples, unpruned, settings),
            areas=areas_of(columns, collection, desk, watched),
            costs=cuts.costs(chosen, settings.shares),
            costs_of=chosen.name,
            tokens_pruned=_tokens_pruned(columns, settings.shares, encoding),
            rerank_milliseconds=cuts.rerank_milliseconds(),
            query_milliseconds=0.0 if known is None else known.milliseconds,
            timed_passages=0 if encoding is None else encoding.timed_passages,
            reused=desk.reused,
            encoding=encoding,
        )


def _shares(shares: Sequence[float]) -> tuple[float, ...]:
    """Rising, each once."""
    found = tuple(sorted({float(share) for share in shares}))
    wrong = [share for share in found if not 0 < share < 1]
    if wrong or not found:
        raise BadArguments(
            f"the share pruned is {wrong[0] if wrong else 'not given'}; expected shares of the "
            f"passages, above 0 and below 1, such as 0.25"
        )
    return found


def _pipelines(modes: Sequence[str], cascade: bool) -> list[str]:
    if strange := [mode for mode in modes if mode not in MODES]:
        raise BadArguments(f"no mode is called {strange[0]!r}; known: {', '.join(MODES)}")
    found = [mode for mode in MODES if mode in modes]
    if not found and not cascade:
        raise BadArguments(f"no mode is given; expected some of {', '.join(MODES)}")
    return [*found, CASCADE] if cascade else found


def _encoders(passages: Encoder | None, queries: Encoder | None) -> dict[str, str]:
    """Their names, for the report; empty where nothing is encoded."""
    if passages is None or queries is None:
        return {}
    return {"passages": passages.card.name, "queries": queries.card.name}


def _tokens_pruned(
    columns: Sequence[Column], shares: Sequence[float], encoding: Encoding | None
) -> dict[str, list[float]]:
    """Random is its first seed; empty where nothing was encoded."""
    if encoding is None:
        return {}
    tokens = encoding.tokens.astype(np.int64)
    total = max(int(tokens.sum()), 1)
    found: dict[str, list[float]] = {}
    for column in columns:
        if column.name not in found:
            cuts = (column.kept(share) for share in shares)
            found[column.name] = [1 - int(tokens[kept].sum()) / total for kept in cuts]
    return found

"""A pruning curve as Markdown: what may be pruned, point by point, what it saves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...eval.pruning_curve import CLAIMS, spreads, verdicts
from .costs import ROUNDS
from .markdown import percent, table
from .pipelines import MODES, TITLES
from .qualities import ORACLE, RANDOM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...eval.pruning_curve import Claim, Estimate, Verdict
    from .prune_curve import PruneCurve

_SAYS = {
    "equivalence": "equivalent (TOST, both sides)",
    "non-inferiority": "not inferior (one side)",
}

_MARKS = (
    "= equivalent to unpruned, > not inferior and not shown to be equivalent. In brackets: the "
    "unpruned mean plus the 95 % bootstrap interval of the paired difference (BCa, 10,000 "
    "resamples of queries); of random, the lowest and highest seed."
)


def lines_of(found: PruneCurve, made_with: Mapping[str, Any], *, figure: bool) -> list[str]:
    """The whole report, a line each."""
    lines = ["# What pruning costs", "", *_about(found, made_with), ""]
    if figure:
        lines += ["![The curves](figure.svg)", ""]
    lines += [*summary(found), ""]
    for pipeline in found.pipelines:
        for name in found.settings.measures:
            lines += [f"## {TITLES[pipeline]}: {name}", "", *_points(found, pipeline, name), ""]
    lines += [_MARKS, "", "## What it saves", "", *_costs(found)]
    return lines


def summary(found: PruneCurve) -> list[str]:
    """What may be pruned, and how well each quality tells passages apart."""
    lines = []
    for claim in CLAIMS:
        lines += [f"## Largest share pruned: {_SAYS[claim]}", "", *_verdicts(found, claim), ""]
    return [*lines, *_reading(found), "", "## Areas under the ROC curve", "", *_areas(found)]


def _about(found: PruneCurve, made_with: Mapping[str, Any]) -> Iterator[str]:
    collection = found.collection
    yield (
        f"{collection.source}: {len(collection):,} passages, {len(collection.queries):,} judged "
        f"queries of {collection.judged_by}."
    )
    if found.encoders:
        encoders = found.encoders
        asked = (
            ""
            if encoders["queries"] == encoders["passages"]
            else f", queries by {encoders['queries']}"
        )
        yield f"Dense: exact inner products, passages by {encoders['passages']}{asked}."
    yield (
        "BM25 by bm25s over the kept passages alone. Fusion: reciprocal ranks, each stage 1,000 "
        "deep."
    )
    if found.rerankers:
        yield f"Cascade: {' then '.join(found.rerankers)} over the hybrid."
    for warning in collection.warnings:
        yield f"Warning: {warning}."
    yield ""
    yield f"Measured on {made_with['hardware']}, tamis {made_with['versions']['tamis']}."
    if made_with["command"]:
        yield f"Command: `{made_with['command']}`"


def _verdicts(found: PruneCurve, claim: Claim) -> list[str]:
    """A row for each way of pruning in each pipeline."""
    measure, *others = found.settings.measures
    head = ["pipeline", "pruned by", "share", measure, *others, "the next share", "power"]
    rows = [
        [
            TITLES[verdict.pipeline],
            _quality(verdict.quality, verdict.kind),
            _share(verdict),
            *(_change(verdict, name) for name in found.settings.measures),
            _failure(verdict, measure),
            _power(verdict, measure),
        ]
        for verdict in verdicts(found.curves, measure)
        if verdict.claim == claim
    ]
    return table(head, rows)


def _quality(quality: str, kind: str) -> str:
    return {RANDOM: "random, mean over seeds", ORACLE: "oracle (sees the judgments)"}.get(
        kind, quality
    )


def _share(verdict: Verdict) -> str:
    told = f"**{percent(verdict.share)}**"
    if verdict.seeds:
        told += f" ({percent(min(verdict.seeds))} to {percent(max(verdict.seeds))})"
    return told


def _change(verdict: Verdict, name: str) -> str:
    return f"{verdict.values[name]:.4f} ({100 * verdict.relative[name]:+.1f} %)"


def _failure(verdict: Verdict, measure: str) -> str:
    """Why it ends there: the difference with its 90 % interval, in percent of unpruned."""
    if verdict.failure is None:
        return "" if verdict.seeds else "none fails"
    estimate = verdict.failure.estimates[measure]
    test, mean = estimate.test, estimate.test.baseline_mean
    bounds = ""
    if test.low is not None and test.high is not None:
        bounds = f" [{100 * test.low / mean:+.1f}, {100 * test.high / mean:+.1f}]"
    return f"{percent(verdict.failure.share)}: {100 * estimate.relative:+.1f} %{bounds}"


def _power(verdict: Verdict, measure: str) -> str:
    """At the share named, or at the first one where none passes."""
    point = verdict.largest or verdict.failure
    if point is None:
        return ""
    test = point.estimates[measure].test
    if test.detectable_share is None or test.power_if_equal is None:
        return test.reason
    return f"±{100 * test.detectable_share:.1f} %; {test.power_if_equal:.2f}"


def _reading(found: PruneCurve) -> Iterator[str]:
    settings = found.settings
    margin, alpha = 100 * settings.margin, settings.alpha
    yield (
        f"Share: the largest tested at which, and at every smaller one tested, the claim about "
        f"{settings.measures[0]} is shown. Equivalent: two one-sided paired t tests place the "
        f"mean difference to the unpruned index within ±{margin:g} % of the unpruned mean, each "
        f"at alpha = {alpha:g}; not inferior: the lower one alone. The next share: the difference "
        f"there with its {100 * (1 - 2 * alpha):g} % interval. Power: the smallest true difference "
        f"that this many queries show with probability .8 (two-sided, alpha {alpha:g}), and the "
        f"chance to show equivalence if there is no difference, both from the variance at that "
        f"share. Each row is a test of its own; they are not adjusted for their number."
    )


def _areas(found: PruneCurve) -> list[str]:
    areas = found.areas
    if areas.reason:
        return [areas.reason]
    head = ["quality", "AUC", "95 % over queries", "95 %, DeLong", "above length"]
    rows = []
    for name, area in areas.by_quality.items():
        if "lowest" in area:
            span = f"{area['lowest']:.3f} to {area['highest']:.3f} over {area['seeds']} seeds"
            rows.append([name, f"{area['value']:.3f}", span, "", ""])
            continue
        above = area.get("over_length")
        rows.append(
            [
                name,
                f"{area['value']:.3f}",
                _interval(area["low"], area["high"]),
                _interval(*area["delong"]),
                "" if above is None else _difference(above),
            ]
        )
    return [
        f"Relevant to some query: {areas.positives:,} of {areas.passages:,} passages "
        f"(base rate {areas.base_rate:.3f}); passages that nobody judged count as not relevant.",
        "",
        *table(head, rows),
    ]


def _interval(low: float | None, high: float | None) -> str:
    return "none" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _difference(above: Mapping[str, Any]) -> str:
    return f"{above['delta']:+.3f} [{_interval(above['low'], above['high'])}]"


def _points(found: PruneCurve, pipeline: str, measure: str) -> list[str]:
    """Rows are shares, columns ways of pruning; random as mean and range over its seeds."""
    curves = [curve for curve in found.curves if curve.pipeline == pipeline]
    alone = [curve for curve in curves if curve.kind != RANDOM]
    drawn = spreads([curve for curve in curves if curve.kind == RANDOM])
    head = ["pruned", *(_quality(curve.quality, curve.kind) for curve in alone), RANDOM]
    first = [f"{curves[0].unpruned[measure]:.4f}"] * (len(alone) + 1)
    rows = [["0 %", *first]]
    for place, spread in enumerate(drawn):
        cells = [_cell(curve.points[place].estimates[measure]) for curve in alone]
        low, high = spread.lows[measure], spread.highs[measure]
        cells.append(f"{spread.means[measure]:.4f} ({low:.4f} to {high:.4f})")
        rows.append([percent(spread.share), *cells])
    return table(head, rows)


def _cell(estimate: Estimate) -> str:
    mark = "=" if estimate.test.equivalent else ">" if estimate.test.not_inferior else ""
    band = ""
    if estimate.low is not None and estimate.high is not None:
        band = f" [{estimate.low:.4f}, {estimate.high:.4f}]"
    return f"{estimate.value:.4f}{mark}{band}"


def _costs(found: PruneCurve) -> list[str]:
    timed = [name for name in found.pipelines if name in MODES]
    head = [
        "pruned",
        "passages",
        "tokens",
        "index MB",
        "score s",
        "encode s",
        "vectors s",
        "bm25 s",
    ]
    head += ["build s", *(f"{TITLES[name]} ms" for name in timed)]
    rows = []
    for cost in found.costs:
        parts = [cost.seconds.get(part, 0.0) for part in ("score", "encode", "vectors", "bm25")]
        rows.append(
            [
                percent(cost.share),
                f"{cost.passages:,}",
                f"{cost.tokens:,}",
                f"{sum(cost.bytes.values()) / 1e6:.2f}",
                *(f"{part:.2f}" for part in (*parts, sum(parts))),
                *(f"{cost.milliseconds[name]:.2f}" for name in timed),
            ]
        )
    told = "".join(
        f" Reranking by {name}, the same in any cut: {each:.1f} ms a query."
        for name, each in found.rerank_milliseconds.items()
    )
    worst = max((diff for cost in found.costs for diff in cost.checked.values()), default=0.0)
    return [
        *table(head, rows),
        "",
        f"Along the curve of {found.costs_of}, each on an index of the kept passages that was "
        f"written, opened and thrown away. Encoding is the one estimate: seconds a token, measured "
        f"while {found.timed_passages:,} passages were encoded, times the tokens kept. "
        f"Milliseconds: the median over queries asked one at a time, the best of {ROUNDS} times "
        f"for each, first stages 1,000 deep, "
        f"without reranking and without encoding the query ({found.query_milliseconds:.2f} ms)."
        f"{told} "
        f"What these indexes answered differs from the curve by at most {worst:.1g} in any measure "
        f"of any query.",
    ]

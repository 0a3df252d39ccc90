"""report.html: one page that needs nothing beside it, light and dark, for a person who reads.

No script and no address: a policy in its head forbids the browser to fetch anything at all.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ...cascade_file import to_toml
from . import words
from .page_parts import equivalence_strip, interval_strip, stage_bars, won_strip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ....eval.equivalence import Equivalence
    from .compared import Compared, Measured
    from .examples import Example, Move

STYLE = Path(__file__).parent / "page.css"
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_SHOWN = 320
"""Characters of a passage."""


def page_of(found: Compared, figure: str) -> str:
    """The whole page; ``figure`` is an ``<svg>`` element, empty for none."""
    head = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(words.title(found))}</title>",
        f"<style>\n{STYLE.read_text('utf-8')}</style>",
        "</head>",
        "<body>",
        "<main>",
    ]
    body = [
        *_opening(found),
        *_figure(found, figure),
        *_quality(found),
        *_equivalences(found),
        *_choice(found),
        *_costs(found),
        *_examples(found),
        *_how(found),
    ]
    return "\n".join([*head, *body, "</main>", "</body>", "</html>"]) + "\n"


def _opening(found: Compared) -> Iterator[str]:
    yield f"<h1>{escape(words.title(found))}</h1>"
    yield f'<p class="lead">{escape(words.lead(found))}</p>'
    facts = {
        "collection": words.collection(found),
        "split": f"{found.test.name}, {len(found.test.queries):,} judged queries",
        "passages": f"{found.passages:,}",
        "baseline": found.spec.baseline,
        "machine": found.machine,
    }
    cells = "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
    yield f'<dl class="facts">{cells}</dl>'
    if found.warnings:
        told = "".join(f"<li>{escape(warning)}</li>" for warning in found.warnings)
        yield f'<ul class="warnings">{told}</ul>'


def _figure(found: Compared, figure: str) -> Iterator[str]:
    if not figure:
        return
    first = escape(found.measures[0])
    yield "<h2>Quality against time</h2>"
    yield f'<figure id="pareto">{figure}'
    budget = ""
    if found.choice is not None and found.choice.budget.percentile == "p50":
        budget = f" The dashed line is the budget, {found.choice.budget.milliseconds:g} ms."
    yield (
        f"<figcaption>{first} on the {escape(words.split(found))}, against the median time of a "
        f"query asked alone. Vertical lines are 95 % intervals. The stepped line joins the systems "
        f"that no other beats in both: {escape(', '.join(found.frontier))}. Hollow points are "
        f"beaten: another system is at least as fast and better.{budget}</figcaption></figure>"
    )


def _quality(found: Compared) -> Iterator[str]:
    yield "<h2>What they find</h2>"
    head = "".join(f"<th>{escape(measure)}</th>" for measure in found.measures)
    yield f'<div class="wide"><table id="quality"><thead><tr><th>system</th>{head}</tr></thead>'
    yield "<tbody>"
    for system in found.systems:
        cells = "".join(_value_cell(found, system, measure) for measure in found.measures)
        base = ' <span class="tag">baseline</span>' if system.name == found.spec.baseline else ""
        told = f"{escape(system.name)}{base}<small>{escape(words.kind(system))}</small>"
        yield f'<tr><th scope="row">{told}</th>{cells}</tr>'
    yield "</tbody></table></div>"
    for note in words.quality_note(found):
        yield f'<p class="note">{escape(note)}</p>'


def _value_cell(found: Compared, system: Measured, measure: str) -> str:
    comparison, name = found.comparison, system.name
    values = {each.name: comparison.evaluations[each.name].value(measure) for each in found.systems}
    number = values[name]
    best = " best" if number == max(values.values()) else ""
    cell = f'<span class="value{best}">{words.value(number)}</span>'
    interval = comparison.intervals[name][measure]
    if interval.low is not None and interval.high is not None:
        others = [comparison.intervals[each.name][measure] for each in found.systems]
        ends = [e for each in others for e in (each.low, each.high) if e is not None]
        cell += interval_strip(number, interval.low, interval.high, min(ends), max(ends))
        cell += f"<small>{words.value(interval.low)} to {words.value(interval.high)}</small>"
    test = comparison.tests.get(name, {}).get(measure)
    if test is not None:
        p = comparison.p_holm[name][measure]
        sure = words.differs(found, name, measure)
        tone = ("up" if test.delta > 0 else "down") if sure else ""
        mark = "*" if sure else ""
        delta = f'<span class="{tone}">Δ {words.signed(test.delta)}{mark}</span>'
        cell += f"<small>{delta}, p {escape(words.p_value(p))}</small>"
    return f"<td>{cell}</td>"


def _equivalences(found: Compared) -> Iterator[str]:
    if not found.equivalences:
        return
    yield "<h2>As good as the baseline?</h2>"
    yield '<div class="wide"><table id="equivalence"><thead><tr><th>system</th><th>measure</th>'
    yield '<th>difference and margin</th><th class="n">Δ</th><th class="n">p</th><th>verdict</th>'
    yield '<th class="n">power</th></tr></thead><tbody>'
    for name, tests in found.equivalences.items():
        for place, (measure, test) in enumerate(tests.items()):
            rows = f' rowspan="{len(tests)}"'
            first = f'<th scope="row"{rows}>{escape(name)}</th>' if place == 0 else ""
            yield f"<tr>{first}<td>{escape(measure)}</td>{_equivalence_cells(test)}</tr>"
    yield "</tbody></table></div>"
    yield f'<p class="note">{escape(words.equivalence_note(found))}</p>'


def _equivalence_cells(test: Equivalence) -> str:
    verdict = words.verdict(test)
    tones = {"equivalent": "good", "better": "good", "not worse": "plain", "worse": "bad"}
    tone = tones.get(verdict, "")
    p = words.NO_VALUE if test.p_equivalence is None else words.p_value(test.p_equivalence)
    power = words.NO_VALUE if test.power_if_equal is None else f"{test.power_if_equal:.2f}"
    return (
        f"<td>{equivalence_strip(test)}</td>"
        f'<td class="n">{words.signed(test.delta)}</td><td class="n">{escape(p)}</td>'
        f'<td><span class="tag {tone}">{verdict}</span></td><td class="n">{power}</td>'
    )


def _choice(found: Compared) -> Iterator[str]:
    if found.choice is None:
        return
    yield "<h2>Depths within the budget</h2>"
    yield f"<p>{escape(words.choice(found))}</p>"
    yield from html_table(*found.choice.table(), "choice")
    yield f'<p class="note">{escape(found.choice.note)}</p>'


def _costs(found: Compared) -> Iterator[str]:
    yield "<h2>What they cost</h2>"
    head = ["system", "p50 ms", "p95 ms", "queries/s", "peak memory", "index", "models"]
    rows = []
    for system in found.systems:
        costs = system.costs
        told = [words.NO_VALUE] * 6
        if costs is not None:
            told = [
                words.milliseconds(costs.p50_ms),
                words.milliseconds(costs.p95_ms),
                f"{costs.queries_per_second:,.3g}",
                words.size(costs.peak_bytes),
                words.total(system.index_bytes),
                words.total(system.model_bytes),
            ]
        rows.append([system.name, *told])
    yield from html_table(head, rows, "costs")
    for note in words.cost_note(found):
        yield f'<p class="note">{escape(note)}</p>'
    if any(system.costs is not None for system in found.systems):
        yield "<h3>Where the time goes</h3>"
        yield from stage_bars(found)


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], name: str) -> Iterator[str]:
    """A table whose first column names its rows and whose others are numbers."""
    first, *others = head
    cells = "".join(f'<th class="n">{escape(each)}</th>' for each in others)
    yield f'<div class="wide"><table id="{name}"><thead><tr><th>{escape(first)}</th>{cells}</tr>'
    yield "</thead><tbody>"
    for label, *values in rows:
        cells = "".join(f'<td class="n">{escape(each)}</td>' for each in values)
        yield f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def _examples(found: Compared) -> Iterator[str]:
    if not found.examples or not found.spec.examples:
        return
    first, base = escape(found.measures[0]), escape(found.spec.baseline)
    yield "<h2>Query by query</h2>"
    yield (
        f'<p class="note">The queries whose {first} differs most from {base}: wins, then losses. '
        f"Each lists passages that changed places among the first ten, judged relevant ones first: "
        f"rank with {base} → rank with the system.</p>"
    )
    shown = words.most_interesting(found)
    for name, examples in found.examples.items():
        better, worse, same = words.won(found, name)
        yield (
            f"<details{' open' if name == shown else ''}><summary>{escape(name)} "
            f"{won_strip(better, same, worse)}<span>{better} queries better, {worse} worse, {same} "
            f"the same</span></summary>"
        )
        yield '<div class="examples">' if examples else "<p>No query differs.</p><div>"
        for example in examples:
            yield from _example(example)
        yield "</div></details>"


def _example(example: Example) -> Iterator[str]:
    values = f"{words.value(example.before)} → <b>{words.value(example.after)}</b>"
    yield f'<article class="example {example.kind}"><header>'
    yield f"<span>{example.kind}, query {escape(example.query)}</span>"
    yield f"<span>{values}</span></header>"
    yield f'<p class="query">{escape(example.text)}</p><ul class="moves">'
    for move in example.moves:
        yield _move(move)
    yield "</ul></article>"


def _move(move: Move) -> str:
    rose = (move.after or 99) < (move.before or 99)
    title = f"<b>{escape(move.title)}</b> " if move.title else ""
    text = move.text if len(move.text) <= _SHOWN else f"{move.text[:_SHOWN].rstrip()}…"
    judged = ""
    if move.grade is not None:
        tone = "good" if move.grade > 0 else ""
        judged = f'<span class="tag {tone}">judged {move.grade}</span>'
    return (
        f'<li><div><span class="rank {"up" if rose else "down"}">{words.places(move)}</span>'
        f'{judged}</div><div class="text">{title}{escape(text)}</div></li>'
    )


def _how(found: Compared) -> Iterator[str]:
    yield "<h2>How this was made</h2>"
    interval = found.comparison
    told = {
        "command": f"<code>{escape(found.command or 'from Python')}</code>",
        "machine": escape(found.machine),
        "versions": escape(", ".join(f"{n} {v}" for n, v in found.versions.items())),
        "judgments": escape(found.test.source),
        **{f"index {escape(n)}": escape(t) for n, t in words.indexes(found).items()},
        "ties": escape(f"{interval.ties}; seed of resampling {interval.seed}"),
    }
    cells = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in told.items())
    yield f'<dl class="how">{cells}</dl>'
    for system in found.systems:
        if system.spec.cascade is not None:
            text = escape(to_toml(system.spec.cascade).strip())
            over = f"over [index.{escape(system.spec.index)}]"
        else:
            text, over = escape(system.spec.run or ""), "a run file"
        yield f"<details><summary>{escape(system.name)} <span>{over}</span></summary>"
        yield f"<pre>{text}</pre></details>"

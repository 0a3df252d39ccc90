"""report.md: tables that also read well unrendered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...reporting import beginning
from ..markdown import table
from . import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .compared import Compared
    from .examples import Example, Move


def lines_of(found: Compared, figure: str = "") -> Iterator[str]:
    """The whole report; ``figure`` is the file of the figure beside it, empty for none."""
    yield from (f"# {words.title(found)}", "", f"{_first(words.split(found))}.", "")
    for warning in found.warnings:
        yield f"- {warning}"
    if found.warnings:
        yield ""
    yield from ("## What they find", "")
    yield from _quality(found)
    for note in words.quality_note(found):
        yield from ("", note)
    if found.equivalences:
        yield from ("", "## Equivalent?", "")
        yield from _equivalences(found)
        yield from ("", words.equivalence_note(found))
    if found.choice is not None:
        yield from ("", "## Depths within the budget", "")
        yield from (words.choice(found), "", *table(*found.choice.table()), "", found.choice.note)
    yield from ("", "## What they cost", "")
    yield from _costs(found)
    for note in words.cost_note(found):
        yield from ("", note)
    yield from ("", "### By stage", "")
    yield from _stages(found)
    if figure:
        first = found.measures[0]
        yield from ("", f"![{first} against milliseconds a query]({figure})", "")
        yield f"On the line: {', '.join(found.frontier)}. No other is both faster and better."
    yield from ("", "## Query by query", "")
    yield from _examples(found)
    yield from ("## How", "")
    yield from _how(found)


def _quality(found: Compared) -> list[str]:
    head = ["system", *found.measures]
    rows = []
    for system in found.systems:
        row = [system.name]
        for measure in found.measures:
            evaluation = found.comparison.evaluations[system.name]
            interval = found.comparison.intervals[system.name][measure]
            cell = words.value(evaluation.value(measure))
            if interval.low is not None and interval.high is not None:
                cell += f" [{words.value(interval.low)}, {words.value(interval.high)}]"
            test = found.comparison.tests.get(system.name, {}).get(measure)
            if test is not None:
                p = words.p_value(found.comparison.p_holm[system.name][measure])
                mark = "*" if words.differs(found, system.name, measure) else ""
                cell += f" Δ {words.signed(test.delta)}{mark} (p {p})"
            row.append(cell)
        rows.append(row)
    return table(head, rows)


def _equivalences(found: Compared) -> list[str]:
    interval = words.equivalence_interval(found)
    head = ["system", "measure", "Δ", interval, "margin", "p", "verdict", "power"]
    rows = []
    for name, tests in found.equivalences.items():
        for measure, test in tests.items():
            interval = words.NO_VALUE
            if test.low is not None and test.high is not None:
                interval = f"{words.signed(test.low)}, {words.signed(test.high)}"
            p = words.NO_VALUE if test.p_equivalence is None else words.p_value(test.p_equivalence)
            power = test.power_if_equal
            told = words.NO_VALUE if power is None else words.value(power)
            verdict = words.verdict(test)
            margin = f"±{words.value(test.margin)}"
            row = [name, measure, words.signed(test.delta), interval, margin, p, verdict, told]
            rows.append(row)
    return table(head, rows)


def _costs(found: Compared) -> list[str]:
    head = ["system", "stages", "p50 ms", "p95 ms", "queries/s", "peak memory", "index", "models"]
    rows = []
    for system in found.systems:
        costs = system.costs
        if costs is None:
            rows.append([system.name, words.kind(system), *[words.NO_VALUE] * 6])
            continue
        rows.append(
            [
                system.name,
                words.kind(system),
                words.milliseconds(costs.p50_ms),
                words.milliseconds(costs.p95_ms),
                f"{costs.queries_per_second:,.3g}",
                words.size(costs.peak_bytes),
                words.total(system.index_bytes),
                words.total(system.model_bytes),
            ]
        )
    return table(head, rows)


def _stages(found: Compared) -> list[str]:
    head = ["system", "stage", "p50 ms", "p95 ms", "passages a query"]
    rows = []
    for system in found.systems:
        for stage, each in (system.costs.stages if system.costs else {}).items():
            times = [words.milliseconds(each[key]) for key in ("p50_ms", "p95_ms")]
            rows.append([system.name, stage, *times, f"{each['passages']:,.4g}"])
    return table(head, rows)


def _examples(found: Compared) -> Iterator[str]:
    first, base = found.measures[0], found.spec.baseline
    yield (
        f"Where {first} differs most from {base}: ranks with {base} → with the system, among the "
        f"first ten."
    )
    yield ""
    for name, examples in found.examples.items():
        yield from (f"### {name}", "")
        if not examples:
            yield from (f"No query differs from {base}.", "")
        for example in examples:
            yield from _example(example)
            yield ""


def _example(example: Example) -> Iterator[str]:
    yield (
        f"- **{example.kind}** {words.value(example.before)} → {words.value(example.after)}, "
        f"query {example.query}: {example.text}"
    )
    for move in example.moves:
        yield f"  - {words.places(move)}{_grade(move)}, {move.passage}: {_text(move)}"


def _grade(move: Move) -> str:
    return "" if move.grade is None else f", judged {move.grade}"


def _text(move: Move) -> str:
    return beginning(f"{move.title} {move.text}".strip()) or "(its text is not at hand)"


def _how(found: Compared) -> Sequence[str]:
    told = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    return [
        f"- command: `{found.command}`" if found.command else "- command: from Python",
        f"- machine: {found.machine}",
        f"- versions: {told}",
        f"- judgments: {found.test.source}",
        *(f"- index {name}: {origin}" for name, origin in words.indexes(found).items()),
        f"- ties: {found.comparison.ties}; seed of resampling: {found.comparison.seed}",
    ]


def _first(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]

"""Numbers and sentences of a comparison as people read them, the same in every form of report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....eval.intervals import CONFIDENCE, RESAMPLES
from ....eval.presenting import ALPHA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ....eval.equivalence import Equivalence
    from ...cascade import Cascade
    from .compared import Compared, Measured
    from .examples import Move

NO_VALUE = "-"


MINUS = "\u2212"
"""As wide as a plus."""


def value(number: float) -> str:
    return f"{number:.3f}"


def signed(number: float) -> str:
    """With its sign."""
    return f"{number:+.3f}".replace("-", MINUS)


def p_value(number: float) -> str:
    return "< .001" if number < 0.001 else f"{number:.3f}".removeprefix("0")


def milliseconds(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def size(number: float) -> str:
    """Bytes in the unit that suits them, thousands."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 999.5 or unit == "GB":
            return f"{number:.3g} {unit}"
        number /= 1000
    raise AssertionError


def total(parts: Mapping[str, int | None]) -> str:
    """The sum of what is known; "?" where a part is not."""
    known = [part for part in parts.values() if part is not None]
    lacking = len(known) < len(parts)
    if not parts:
        return "none"
    return f"{size(sum(known))}{' + ?' if lacking else ''}" if known or not lacking else "?"


def differs(found: Compared, system: str, measure: str) -> bool:
    """By the randomisation test, after Holm."""
    return found.comparison.p_holm.get(system, {}).get(measure, 1.0) < ALPHA


def kind(system: Measured) -> str:
    """What a system is, in a few words."""
    return "a run file" if system.spec.cascade is None else kind_of(system.spec.cascade)


def kind_of(cascade: Cascade) -> str:
    """Its stages with their depths."""
    both = cascade.dense is not None and cascade.lexical is not None
    first = f"dense {cascade.dense}" if cascade.dense is not None else ""
    lexical = f"BM25 {cascade.lexical}" if cascade.lexical is not None else ""
    stages = [f"{first} + {lexical} ({cascade.fuse})" if both else first or lexical]
    stages += [f"{_short(stage.name)} {stage.keep}" for stage in cascade.rerank]
    return " → ".join(stages)


def _short(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def collection(found: Compared) -> str:
    """The corpus by its last name."""
    source = found.spec.collection.corpus or found.spec.collection.index or ""
    return _short(source) if not source.startswith("irds:") else source


def title(found: Compared) -> str:
    return found.spec.title or f"{len(found.systems)} systems on {collection(found)}"


def split(found: Compared) -> str:
    return (
        f"{found.test.name} split of {collection(found)}: {len(found.test.queries):,} judged "
        f"queries, {found.passages:,} passages"
    )


def quality_note(found: Compared) -> list[str]:
    """What the table of measures says, and how it was found."""
    compared = len(found.others) * len(found.measures)
    return [
        f"Means over {len(found.test.queries):,} queries; a query that a system does not answer "
        f"counts with 0. Beside each the {CONFIDENCE:.0%} bootstrap interval over queries "
        f"({RESAMPLES:,} resamples).",
        f"Δ is the difference to {found.spec.baseline} on the same queries; p is that of a paired "
        f"randomisation test, adjusted by Holm over all {compared} comparisons of this table. "
        f"* marks p < .05.",
        "An interval says how far one mean can be trusted. Whether two systems differ is for the "
        "paired test: intervals may overlap and the difference be sure.",
    ]


def equivalence_note(found: Compared) -> str:
    asked = found.spec.equivalence
    assert asked is not None, "told only where it was asked for"
    return (
        f"Two one-sided paired t tests (TOST) at {asked.alpha:g} each: equivalent means shown to "
        f"lie within ±{100 * asked.margin:g} % of {found.spec.baseline}'s mean; not worse, shown "
        f"to lie above {MINUS}{100 * asked.margin:g} %; better and worse, shown to lie beyond the "
        f"margin. Not shown is not the same as different: power says how likely so many queries "
        f"were to show equivalence of two systems that are equal. The p values are not adjusted "
        f"for their number."
    )


def cost_note(found: Compared) -> list[str]:
    timed = [each.costs for each in found.systems if each.costs is not None]
    if not timed:
        return ["All systems are run files: nothing was timed."]
    few = timed[0]
    return [
        f"Measured on {found.machine}, each system in a process of its own, after "
        f"{_warm_up()} queries that do not count. Milliseconds: {few.queries} queries of the test "
        f"split, evenly spread, one at a time, from text to ranking; p50 is what half of them take "
        f"at most, p95 what 95 % do. Throughput: the same queries in one batch.",
        "Peak memory is the most that the process held, mapped index files, Python and libraries "
        "included. Index: the parts that the system reads. Models: weights and vocabularies on "
        "disk.",
    ]


def _warm_up() -> int:
    from .worker import WARM_UP

    return WARM_UP


def equivalence_interval(found: Compared) -> str:
    """How wide the intervals of TOST are: both of its tests at alpha leave out twice as much."""
    asked = found.spec.equivalence
    assert asked is not None, "told only where it was asked for"
    return f"{100 * (1 - 2 * asked.alpha):g} % interval"


def verdict(test: Equivalence) -> str:
    """What its interval shows of the difference, held against the margin on both sides."""
    if test.equivalent:
        return "equivalent"
    if test.low is not None and test.low > test.margin:
        return "better"
    if test.high is not None and test.high < -test.margin:
        return "worse"
    return "not worse" if test.not_inferior else "not shown"


def places(move: Move) -> str:
    """Ranks before and after, such as 7 → 1; "out" beyond the first ten."""
    before, after = ("out" if rank is None else str(rank) for rank in (move.before, move.after))
    return f"{before} → {after}"


def lead(found: Compared) -> str:
    """What the first measure says, in a sentence or two, no more than the tests allow."""
    first, base = found.measures[0], found.spec.baseline
    values = {
        each.name: found.comparison.evaluations[each.name].value(first) for each in found.systems
    }
    best = max(values, key=values.__getitem__)
    told = f"{best} has the highest {first}, {value(values[best])}"
    if best == base:
        worse = [each.name for each in found.others if differs(found, each.name, first)]
        return f"{told}; it is the baseline, and {_listed(worse)} shown to be below it."
    delta = found.comparison.tests[best][first].delta
    p = p_value(found.comparison.p_holm[best][first])
    against = f"{signed(delta)} over {base}'s {value(values[base])}"
    if differs(found, best, first):
        return f"{told}: {against} (p {p}, Holm-adjusted)."
    queries = f"{len(found.test.queries):,} queries"
    return f"{told}: {against}, which {queries} do not tell from chance (p {p})."


def _listed(names: list[str]) -> str:
    if not names:
        return "no other is"
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def most_interesting(found: Compared) -> str:
    """Of the systems that are tested, the one with the highest first measure."""
    first = found.measures[0]
    names = [system.name for system in found.others]
    values = {name: found.comparison.evaluations[name].value(first) for name in names}
    return max(names, key=values.__getitem__, default="")


def indexes(found: Compared) -> dict[str, str]:
    """Where each index came from: its folder, or what it was built with."""
    used = {each.spec.index for each in found.systems if each.spec.cascade is not None}
    told = {}
    for name, index in found.spec.indexes.items():
        if name in used:
            options = ", ".join(f"{key} {value}" for key, value in index.options.items())
            told[name] = index.path or f"built with {options or 'the default options'}"
    return told


def choice(found: Compared) -> str:
    """What was chosen for the budget on dev, and whether it kept to it on test."""
    if found.choice is None:
        return ""
    budget = found.choice.budget
    costs = next(each.costs for each in found.systems if each.name == found.choice.name)
    assert costs is not None, "a cascade was timed"
    took = costs.p50_ms if budget.percentile == "p50" else costs.p95_ms
    kept = "within the budget" if took <= budget.milliseconds else "over the budget"
    return f"{found.choice.sentence} On test it took {milliseconds(took)} ms, {kept}."


def won(found: Compared, system: str) -> tuple[int, int, int]:
    """Queries on which the first measure is better than the baseline's, worse, the same."""
    first = found.measures[0]
    after = found.comparison.evaluations[system].values[first]
    before = found.comparison.evaluations[found.spec.baseline].values[first]
    better, worse = int((after > before).sum()), int((after < before).sum())
    return better, worse, len(after) - better - worse

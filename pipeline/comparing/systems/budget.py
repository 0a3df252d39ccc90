"""``--budget-ms``: a cascade's depths chosen on dev, by quality within a latency; never on test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....core.errors import BadArguments
from ....core.progress import Silent
from ....core.protocols import Fingerprinted
from ....eval.evaluate import evaluate
from ...cascade_file import to_toml
from ...stage_outputs import code_version
from ..desk import Desk, Json
from ..machine import machine
from ..pipelines import Answered
from ..remembering import RememberingReranker
from . import words
from .checking import check
from .model_files import models_of
from .side_by_side import Bench
from .spec_file import read_spec
from .splits import sample_of
from .variants import effort, no_deeper, variants
from .worker import costs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ....core.progress import Progress
    from ....core.protocols import Candidates, Reranker
    from ....core.records import Float32Array
    from ...cascade import Cascade
    from ...retrievers import FirstStage
    from ...search import Search
    from .compared import Compared
    from .spec import Budget, CompareSpec, SystemSpec
    from .splits import Split

_FAR_OVER = 1.25
"""Who is this many times over the budget is taken to rule out all that are deeper everywhere."""


@dataclass(frozen=True)
class Tried:
    """A form of the cascade on dev: ``milliseconds`` at the budget's percentile, None where a
    shallower form was far over; ``value``, the measure's mean, None where it did not fit."""

    cascade: Cascade
    milliseconds: float | None
    value: float | None


@dataclass(frozen=True)
class Choice:
    """``cascade`` is the best of ``tried`` within the budget, by ``measure`` on ``queries`` queries
    of dev; ``timed`` of them were asked one at a time."""

    budget: Budget
    system: str
    cascade: Cascade
    tried: Sequence[Tried]
    measure: str
    queries: int
    timed: int

    @property
    def name(self) -> str:
        return f"{self.system} within {self.budget.milliseconds:g} ms"

    def chosen_system(self, written: SystemSpec) -> SystemSpec:
        return replace(written, name=self.name, cascade=self.cascade)

    @property
    def winner(self) -> Tried:
        return next(each for each in self.tried if each.cascade == self.cascade)

    @property
    def sentence(self) -> str:
        best = self.winner
        assert best.milliseconds is not None, "it was timed to be chosen"
        assert best.value is not None, "it was measured to be chosen"
        kind = words.kind_of(self.cascade)
        fitting = sum(each.value is not None for each in self.tried)
        return (
            f"Of {len(self.tried)} forms of {self.system}, {fitting} answer within "
            f"{self.budget.milliseconds:g} ms ({self.budget.percentile}) on dev; the best of them "
            f"by {self.measure} is {kind}: {words.value(best.value)} at "
            f"{words.milliseconds(best.milliseconds)} ms."
        )

    @property
    def note(self) -> str:
        return (
            f"Means over {self.queries:,} dev queries, {self.timed} of them timed one at a time. "
            f"Forms that do not fit are not measured; those deeper everywhere than one that is a "
            f"quarter over the budget are not timed either. The test split had no part in this; "
            f"what the chosen form is worth there stands in the other tables, and its "
            f"milliseconds may differ there."
        )

    def table(self, most: int = 12) -> tuple[list[str], list[list[str]]]:
        """The best that fit, best first, then the fastest that do not."""
        fits = [each for each in self.tried if each.value is not None]
        fits.sort(key=lambda each: (-(each.value or 0.0), each.milliseconds or 0.0))
        over = [each for each in self.tried if each.value is None and each.milliseconds is not None]
        over.sort(key=lambda each: each.milliseconds or 0.0)
        rows = []
        for each in [*fits[:most], *over[: max(2, most - len(fits))]]:
            value = "over" if each.value is None else words.value(each.value)
            chosen = " (chosen)" if each.cascade == self.cascade else ""
            time = words.milliseconds(each.milliseconds or 0.0)
            rows.append([words.kind_of(each.cascade) + chosen, value, time])
        return ["form", f"{self.measure}, dev", f"{self.budget.percentile} ms, dev"], rows

    def to_json(self) -> dict[str, Any]:
        return {
            "system": self.system,
            "chosen": self.name,
            "cascade": to_toml(self.cascade),
            "budget_ms": self.budget.milliseconds,
            "percentile": self.budget.percentile,
            "measure": self.measure,
            "dev_queries": self.queries,
            "dev_queries_timed": self.timed,
            "tried": [
                {
                    "cascade": to_toml(each.cascade),
                    "milliseconds": each.milliseconds,
                    "value": each.value,
                }
                for each in self.tried
            ],
        }


def compare_within(
    budget: Budget,
    spec: CompareSpec | Path | str,
    report: Path | str,
    *,
    device: str = "cpu",
    command: str = "",
    progress: Progress | None = None,
) -> Compared:
    """``compare_systems`` with one system more: a cascade of ``spec`` with the depths that are best
    on dev within the budget.

    Raises BadArguments, with all else that is wrong, without a dev split, for a budget that is no
    time, for a system that is not there or not to be told from others; and, once all was timed,
    when nothing fits.
    """
    read = spec if not isinstance(spec, Path | str) else read_spec(spec)
    checked = check(read, budget)
    watched = progress or Silent()
    with Desk(Path(report)) as desk:
        bench = Bench(checked, desk, device, watched)
        assert checked.dev is not None, "checked"
        system = budget.system_of(read)
        choice = _Choosing(bench, system, checked.dev, budget).choice(watched)
        return bench.compared(command, choice)


class _Choosing:
    """One system's forms, timed and measured on dev; its models are loaded once."""

    def __init__(self, bench: Bench, system: SystemSpec, dev: Split, budget: Budget) -> None:
        assert system.cascade is not None, "checked"
        self._bench, self._system, self._dev, self._budget = bench, system, dev, budget
        self._written = system.cascade
        self._measure = bench.checked.measures[0]
        built = bench.indexes[system.index]
        self._search = replace(self._written, k=None).over(built.index, device=bench.device)
        self._sample = sample_of(dev.queries, bench.spec.sample)
        models = models_of(self._written, built.index).fingerprint
        self._lasting = bool(models)
        self._about = [
            code_version(),
            built.index.fingerprint,
            models,
            bench.device,
            dev.fingerprint,
        ]
        self._answered: dict[str, Answered] = {}
        self._remembering: dict[str, Reranker] = {}

    def choice(self, progress: Progress) -> Choice:
        forms = sorted(variants(self._written), key=effort)
        tried: list[Tried] = []
        with progress.stage("forms on dev", len(forms)) as advance:
            for form in forms:
                tried.append(self._try(form, tried))
                advance(1)
        fitting = [each for each in tried if each.value is not None]
        if not fitting:
            fastest = min(each.milliseconds for each in tried if each.milliseconds is not None)
            raise BadArguments(
                f"no form of {self._system.name!r} answers within "
                f"{self._budget.milliseconds:g} ms ({self._budget.percentile}) here: the fastest "
                f"took {words.milliseconds(fastest)} ms; allow more, or write a faster cascade"
            )
        best = max(fitting, key=lambda each: (each.value or 0.0, -(each.milliseconds or 0.0)))
        return Choice(
            self._budget,
            self._system.name,
            best.cascade,
            tried,
            str(self._measure),
            len(self._dev.queries),
            len(self._sample),
        )

    def _try(self, form: Cascade, before: Sequence[Tried]) -> Tried:
        limit = self._budget.milliseconds
        for each in before:
            far = each.milliseconds is not None and each.milliseconds > _FAR_OVER * limit
            if far and no_deeper(each.cascade, form):
                return Tried(form, None, None)
        key = [self._about, to_toml(form), [query.id for query in self._sample], machine()]
        costs = self._kept("budget-costs", key, lambda: self._timed(form))
        milliseconds = costs[f"{self._budget.percentile}_ms"]
        if milliseconds > limit:
            return Tried(form, milliseconds, None)
        key = [self._about, to_toml(form), str(self._measure)]
        value = self._kept("budget-values", key, lambda: self._value(form))
        return Tried(form, milliseconds, value)

    def _kept(self, kind: str, key: object, make: Callable[[], Json]) -> Json:
        """From an earlier run, unless a model's files are not known and may have changed."""
        return self._bench.desk.value(kind, key, make) if self._lasting else make()

    def _timed(self, form: Cascade) -> dict[str, float]:
        costs = costs_of(self._formed(form), self._sample)
        return {"p50_ms": costs.p50_ms, "p95_ms": costs.p95_ms}

    def _value(self, form: Cascade) -> float:
        search = self._formed(form)
        if search.cold is None:
            known = {stage.name: self._known(stage) for stage in search.retrievers}
            search = replace(search, dense=known.get("dense"), lexical=known.get("lexical"))
        search = replace(search, rerank=[self._cheap(each) for each in search.rerank])
        run = search.run(self._dev.queries).scores()
        (values,) = evaluate(run, self._dev.judgments, [self._measure]).values.values()
        return float(values.mean())

    def _formed(self, form: Cascade) -> Search:
        """The search of a form, over the models that are loaded."""
        given = self._search
        wanted = [(stage.name, stage.options) for stage in self._written.rerank]
        rerankers = [
            _AtDepth(given.rerank[wanted.index((stage.name, stage.options))], stage.keep)
            for stage in form.rerank
        ]
        return replace(
            given,
            dense=None if form.dense is None else replace(given.dense, k=form.dense),  # type: ignore[type-var]
            lexical=None if form.lexical is None else replace(given.lexical, k=form.lexical),  # type: ignore[type-var]
            weights=form.weights,
            rerank=rerankers,
            exits=(),
        )

    def _known(self, stage: FirstStage) -> Answered:
        """What the stage as deep as written found, cut to this depth: asked once for all forms."""
        if stage.name not in self._answered:
            whole = {each.name: each for each in self._search.retrievers}[stage.name]
            found = whole.retrieve(self._dev.queries)
            self._answered[stage.name] = Answered(stage.name, stage.passages, found, whole.k)
        whole_answer = self._answered[stage.name]
        cut = [ranking.top(stage.k) for ranking in whole_answer.rankings]
        return Answered(stage.name, stage.passages, cut, stage.k)

    def _cheap(self, reranker: Reranker) -> Reranker:
        """One that scores each pair once over all forms, where its scores allow that."""
        assert isinstance(reranker, _AtDepth), "made so in _formed"
        inner = reranker.reranker
        if not getattr(inner, "pointwise", False) or not isinstance(inner, Fingerprinted):
            return reranker
        if inner.fingerprint not in self._remembering:
            folder = self._bench.desk.folder("pairs", [self._about, inner.fingerprint])
            self._remembering[inner.fingerprint] = RememberingReranker(inner, folder)
        return _AtDepth(self._remembering[inner.fingerprint], reranker.keep)


@dataclass(frozen=True)
class _AtDepth:
    """A reranker at another depth than the one it was loaded with."""

    reranker: Reranker
    keep: int

    @property
    def name(self) -> str:
        return self.reranker.name

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        return self.reranker.score(batch)

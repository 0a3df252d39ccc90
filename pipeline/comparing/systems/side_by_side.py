"""``tamis compare SPEC.toml``: every system run, timed and measured on test, against a baseline."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....core import errors
from ....core.corpus import open_corpus
from ....core.durable import replacing
from ....core.errors import FailedWhileRunning, TamisError
from ....core.fingerprints import of_value
from ....core.progress import Silent
from ....core.records import Passage
from ....core.runs import read_run
from ....eval.comparison import compare, evaluate_named
from ....eval.equivalence import equivalence_in
from ...cascade_file import to_toml
from ...opening import open_index
from ...stage_outputs import code_version
from ..desk import Desk
from ..machine import machine
from .checking import Checked, check
from .compared import Compared, Measured
from .examples import examples_of, passages_named, with_texts
from .indexes import indexes_of
from .model_files import models_of
from .spec_file import read_spec
from .splits import sample_of
from .worker import Costs, Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ....core.progress import Progress
    from ....core.records import RunScores
    from ....eval.comparison import Comparison
    from ....eval.equivalence import Equivalence
    from ....eval.evaluate import Evaluation
    from .budget import Choice
    from .examples import Example
    from .indexes import Built
    from .spec import CompareSpec, SystemSpec

VERSIONS = ("tamis", "numpy", "torch", "faiss-cpu", "bm25s")


def compare_systems(
    spec: CompareSpec | Path | str,
    report: Path | str,
    *,
    device: str = "cpu",
    command: str = "",
    progress: Progress | None = None,
) -> Compared:
    """Run every cascade of ``spec`` (or of the file) on the test queries, each in a process of its
    own, read the peers' runs, and hold all against the baseline.

    Works in ``REPORT/work``: indexes, runs, costs and stage outputs are kept there under the
    fingerprint of all that they depend on, so that the same call measures nothing again and a
    changed one only what changed. Raises what ``check`` raises, before any work;
    FailedWhileRunning and what the systems raise, naming the system.
    """
    checked = check(spec if not isinstance(spec, Path | str) else read_spec(spec))
    with Desk(Path(report)) as desk:
        bench = Bench(checked, desk, device, progress or Silent())
        return bench.compared(command)


class Bench:
    """One comparison at work; its indexes are there once it is made."""

    def __init__(self, checked: Checked, desk: Desk, device: str, progress: Progress) -> None:
        self.checked = checked
        self.desk = desk
        self.device = device
        self.progress = progress
        self.indexes: Mapping[str, Built] = indexes_of(checked, desk, progress, device)

    @property
    def spec(self) -> CompareSpec:
        return self.checked.spec

    def compared(self, command: str, choice: Choice | None = None) -> Compared:
        """All systems on test; ``choice`` brings one more, right behind the one it was made of."""
        systems = self._with_choice(choice)
        measured: list[Measured] = []
        runs: dict[str, RunScores] = {}
        with self.progress.stage("systems", len(systems)) as advance:
            for system in systems:
                cost, runs[system.name] = self._system(system)
                measured.append(cost)
                advance(1)
        evaluations = self._evaluations(runs)
        warnings = list(self.checked.test.warnings)
        if self.checked.dev is not None and choice is not None:
            warnings += self.checked.dev.warnings
        comparison = compare(
            evaluations,
            baseline=self.spec.baseline,
            judged_by=self.checked.test.source,
            warnings=warnings,
        )
        return Compared(
            spec=self.spec,
            test=self.checked.test,
            systems=measured,
            comparison=comparison,
            equivalences=self._equivalences(comparison),
            examples=self._examples(evaluations, runs),
            passages=self._passages(),
            machine=machine(),
            command=command,
            versions=_versions(),
            warnings=comparison.warnings,
            choice=choice,
        )

    def _with_choice(self, choice: Choice | None) -> list[SystemSpec]:
        if choice is None:
            return list(self.spec.systems)
        found = []
        for system in self.spec.systems:
            found.append(system)
            if system.name == choice.system:
                found.append(choice.chosen_system(system))
        return found

    def _system(self, system: SystemSpec) -> tuple[Measured, RunScores]:
        if system.cascade is None:
            return Measured(system, None, {}, {}, True), self.checked.runs[system.name]
        built = self.indexes[system.index]
        models = models_of(system.cascade, built.index)
        about = [
            code_version(),
            built.index.fingerprint,
            models.fingerprint,
            to_toml(system.cascade),
            self.device,
        ]
        run = self.desk.folder("runs", [about, self._asked]) / "run.trec.gz"
        sample = sample_of(self.checked.test.queries, self.spec.sample)
        key = [about, [[q.id, q.text] for q in sample], machine()]
        costs = self.desk.work / "costs" / f"{of_value(key)[:32]}.json"
        known = bool(models.fingerprint)
        had_run, had_costs = known and run.is_file(), known and costs.is_file()
        if not (had_run and had_costs):
            job = Job(
                name=system.name,
                index=str(built.index.folder.path),
                cascade=to_toml(system.cascade),
                queries=self._asked,
                run="" if had_run else str(run),
                stages=str(self.desk.work / "stages"),
                sample=[] if had_costs else [[q.id, q.text] for q in sample],
                device=self.device,
            )
            answer = run_alone(job)
            if "costs" in answer:
                costs.parent.mkdir(parents=True, exist_ok=True)
                with replacing(costs) as out:
                    json.dump(answer["costs"], out)
        told = Costs(**json.loads(costs.read_bytes()))
        measured = Measured(
            spec=system,
            costs=told,
            index_bytes=built.read_by(system.cascade),
            model_bytes=models.bytes,
            reused=had_run and had_costs,
        )
        return measured, read_run(run)

    @property
    def _asked(self) -> list[list[str]]:
        return [[query.id, query.text] for query in self.checked.test.queries]

    def _evaluations(self, runs: Mapping[str, RunScores]) -> dict[str, Evaluation]:
        judgments = self.checked.test.judgments
        return {
            name: evaluate_named(
                name,
                {query: scores for query, scores in run.items() if query in judgments},
                judgments,
                self.checked.measures,
                "trec",
                False,
            )
            for name, run in runs.items()
        }

    def _equivalences(self, comparison: Comparison) -> dict[str, dict[str, Equivalence]]:
        asked = self.spec.equivalence
        if asked is None:
            return {}
        base = comparison.evaluations[self.spec.baseline]
        return {
            name: {
                measure: equivalence_in(
                    measure, evaluation, base, margin=asked.margin, alpha=asked.alpha
                )
                for measure in base.values
                if measure not in base.totals and base.value(measure) > 0
            }
            for name, evaluation in comparison.evaluations.items()
            if name != self.spec.baseline
        }

    def _examples(
        self, evaluations: Mapping[str, Evaluation], runs: Mapping[str, RunScores]
    ) -> dict[str, list[Example]]:
        base = self.spec.baseline
        measure = next(iter(evaluations[base].values))
        found = {
            name: examples_of(
                measure,
                evaluation,
                evaluations[base],
                (runs[name], runs[base]),
                self.checked.test,
                self.spec.examples,
            )
            for name, evaluation in evaluations.items()
            if name != base
        }
        return with_texts(found, self._texts(passages_named(found.values())))

    def _texts(self, wanted: set[str]) -> dict[str, Passage]:
        """The passages of these ids: from the corpus, which has the pruned ones too."""
        found: dict[str, Passage] = {}
        for passage in self._all_passages():
            if passage.id in wanted:
                found[passage.id] = passage
                if len(found) == len(wanted):
                    break
        return found

    def _all_passages(self) -> Iterable[Passage]:
        collection = self.spec.collection
        if collection.corpus is not None:
            return (item for item in open_corpus(collection.corpus) if isinstance(item, Passage))
        return open_index(collection.index or "").folder.passages.stream()  # type: ignore[attr-defined, no-any-return]

    def _passages(self) -> int:
        if self.indexes:
            manifests = [built.index.folder.manifest for built in self.indexes.values()]
            return max(each.counts["corpus"] for each in manifests if each is not None)
        return sum(1 for _ in self._all_passages())


def run_alone(job: Job) -> dict[str, Any]:
    """What the job's own process answers; its progress goes to standard error.

    Raises the error that it met, naming the system; FailedWhileRunning when it died.
    """
    with tempfile.TemporaryDirectory(prefix="tamis-compare-") as folder:
        asked, answer = Path(folder) / "job.json", Path(folder) / "answer.json"
        asked.write_text(json.dumps(asdict(job)), "utf-8")
        module = f"{__package__}.worker"
        command = [sys.executable, "-P", "-m", module, str(asked), str(answer)]
        done = subprocess.run(command, check=False, stdout=sys.stderr)
        if not answer.is_file():
            died = f"signal {-done.returncode}" if done.returncode < 0 else f"{done.returncode}"
            raise FailedWhileRunning(
                f"system {job.name!r}: its process ended with {died}; "
                f"{'memory may have run out; ' if done.returncode == -9 else ''}run it alone with "
                f"tamis search --cascade to see more"
            )
        body: dict[str, Any] = json.loads(answer.read_bytes())
    if "error" in body:
        kind = getattr(errors, body["error"], FailedWhileRunning)
        assert issubclass(kind, TamisError), "the worker answers with our own errors"
        raise kind(f"system {job.name!r}: {body['message']}")
    return body


def _versions() -> dict[str, str]:
    """Of the packages that are there."""
    from importlib.metadata import PackageNotFoundError

    found = {}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""One system in a process of its own: its answers, milliseconds, throughput and memory.

``python -P -m tamis.pipeline.comparing.systems.worker JOB ANSWER``: JOB is a ``Job`` as JSON,
ANSWER the file that will hold what was found. A process that has held nothing else has a peak of
memory that means something.
"""

from __future__ import annotations

import json
import sys
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....core.durable import replacing
from ....core.errors import TamisError
from ....core.records import Query
from ....core.strict_json import from_json
from ...cascade_file import cascade_of
from ...opening import open_index
from ...progress import Bars
from ...search import AT_ONCE
from ...stage_outputs import StageOutputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...search import Search

WARM_UP = 3
"""Queries asked before the clock runs: caches fill, code is loaded at first use."""


@dataclass(frozen=True)
class Job:
    """``cascade`` (TOML) over ``index``; ``queries`` and ``sample`` are lists of [id, text].

    ``run``: the file for the answers to all queries, empty for none; stage outputs are taken from
    and kept in ``stages``. ``sample``: queries that are timed, none where costs are known.
    """

    name: str
    index: str
    cascade: str
    queries: list[list[str]]
    run: str
    stages: str
    sample: list[list[str]]
    device: str = "cpu"


@dataclass(frozen=True)
class Costs:
    """What one system takes of the machine.

    ``p50_ms``, ``p95_ms``, ``mean_ms``: the sampled queries, one at a time, from text to ranking.
    ``stages``: the same by stage, and ``passages`` a query that the stage returned or scored.
    ``queries_per_second``: the sample in one batch of at most ``at_once``. ``peak_bytes``: the most
    that the process held (resident, mapped files of the index included); ``loaded_bytes``: before
    the first query. ``load_seconds``: opening the index and loading the models.
    """

    queries: int
    p50_ms: float
    p95_ms: float
    mean_ms: float
    stages: dict[str, dict[str, float]]
    queries_per_second: float
    at_once: int
    peak_bytes: int
    loaded_bytes: int
    load_seconds: float


def main(job: Path, answer: Path) -> None:
    """Errors raised on purpose are an answer, too: {"error": class name, "message"}."""
    body: dict[str, Any]
    try:
        body = done(from_json(Job, json.loads(job.read_bytes()), str(job)))
    except TamisError as failure:
        body = {"error": type(failure).__name__, "message": str(failure)}
    with replacing(answer) as out:
        json.dump(body, out)


def done(job: Job) -> dict[str, Any]:
    begun = time.perf_counter()
    cascade, _ = cascade_of(tomllib.loads(job.cascade), Path())
    search = cascade.over(open_index(job.index, device=job.device), device=job.device)
    loading = time.perf_counter() - begun
    body: dict[str, Any] = {}
    if job.sample:
        body["costs"] = asdict(costs_of(search, _queries(job.sample), loading))
    if job.run:
        kept = StageOutputs(Path(job.stages))
        progress = Bars(prefix=f"{job.name}: ")
        search.run(_queries(job.queries), kept=kept, progress=progress).write(Path(job.run))
    return body


def costs_of(search: Search, sample: Sequence[Query], load_seconds: float = 0.0) -> Costs:
    """Time the sample: first one query after another, then all together."""
    search.run(sample[:WARM_UP], at_once=1)
    loaded = peak_bytes()
    seconds = np.empty(len(sample))
    runs = []
    for place, query in enumerate(sample):
        start = time.perf_counter()
        runs.append(search.run([query], at_once=1))
        seconds[place] = time.perf_counter() - start
    start = time.perf_counter()
    search.run(sample, at_once=AT_ONCE)
    together = time.perf_counter() - start
    p50, p95 = np.percentile(1e3 * seconds, (50, 95)).tolist()
    return Costs(
        queries=len(sample),
        p50_ms=p50,
        p95_ms=p95,
        mean_ms=1e3 * float(seconds.mean()),
        stages=_stages(runs),
        queries_per_second=len(sample) / together,
        at_once=min(AT_ONCE, len(sample)),
        peak_bytes=peak_bytes(),
        loaded_bytes=loaded,
        load_seconds=load_seconds,
    )


def _stages(runs: Sequence[Any]) -> dict[str, dict[str, float]]:
    """By stage, over all queries; who passes a stage by counts with 0."""
    names = list(dict.fromkeys(name for run in runs for name in run.times))
    found = {}
    for name in names:
        times = [run.times.get(name) for run in runs]
        each = 1e3 * np.array([0.0 if time is None else time.seconds.sum() for time in times])
        passages = sum(0 if time is None else int(time.passages.sum()) for time in times)
        p50, p95 = np.percentile(each, (50, 95)).tolist()
        found[name] = {
            "p50_ms": p50,
            "p95_ms": p95,
            "mean_ms": float(each.mean()),
            "passages": passages / len(runs),
        }
    return found


def peak_bytes() -> int:
    """The most memory that this process has held.

    Linux tells it of the program alone; elsewhere, what the system counts, where the process that
    started this one may shine through.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _queries(pairs: Sequence[Sequence[str]]) -> list[Query]:
    return [Query(*pair) for pair in pairs]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Run files and a judgment file to one comparison, and its values per query to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.durable import replacing
from ..core.errors import BadArguments, MissingResource
from ..core.qrels import read_qrels
from ..core.runs import read_run
from ..eval.comparison import (
    Comparison,
    compare,
    evaluate_named,
    evaluate_runs,
    unknown_baseline,
)
from ..eval.measures import DEFAULT_MEASURES

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Comparison", "evaluate_files", "evaluate_runs", "run_names", "write_per_query"]

_SUFFIXES = (".tsv", ".txt", ".trec", ".run", ".res")


def evaluate_files(
    paths: Sequence[Path],
    qrels: str,
    measures: Sequence[str] = DEFAULT_MEASURES,
    *,
    ties: str = "trec",
    baseline: str | None = None,
    ignore_identical_ids: bool = False,
    seed: int = 0,
) -> Comparison:
    """Run files, one in memory at a time, named by their stems.

    ``qrels`` is a file or ``irds:ID``. ``baseline`` is a run's name or path; a path that is not
    among ``paths`` joins them as the first run.
    """
    paths, base = _with_baseline(paths, baseline)
    if lacking := [str(path) for path in paths if not path.is_file()]:
        raise MissingResource(f"{', '.join(lacking)}: no such run file; name files that exist")
    judged = read_qrels(qrels)
    evaluations = {
        name: evaluate_named(
            name, read_run(path), judged.judgments, measures, ties, ignore_identical_ids
        )
        for name, path in zip(run_names(paths), paths, strict=True)
    }
    return compare(evaluations, baseline=base, seed=seed, judged_by=qrels, warnings=judged.warnings)


def run_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its stem, led by as many folders as it takes to tell all apart."""
    whole = [path.resolve() for path in paths]
    if twice := [str(path) for path in whole if whole.count(path) > 1]:
        raise BadArguments(f"{twice[0]} is given twice; give every run once")
    for depth in range(max((len(path.parts) for path in whole), default=0)):
        names = [_name(path, depth) for path in whole]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def write_per_query(comparison: Comparison, path: Path) -> None:
    """A TSV with the header run, query, measure, value; values in full precision."""
    with replacing(path) as out:
        out.write("run\tquery\tmeasure\tvalue\n")
        for run, query, measure, value in comparison.per_query():
            out.write(f"{run}\t{query}\t{measure}\t{value!r}\n")


def _with_baseline(paths: Sequence[Path], baseline: str | None) -> tuple[list[Path], str | None]:
    """All run files and the baseline's name among them."""
    paths = list(paths)
    if baseline is None:
        return paths, None
    names = run_names(paths)
    if baseline in names:
        return paths, baseline
    path = Path(baseline)
    same = [
        name for name, each in zip(names, paths, strict=True) if each.resolve() == path.resolve()
    ]
    if same:
        return paths, same[0]
    if not path.is_file():
        raise unknown_baseline(baseline, names)
    paths = [path, *paths]
    return paths, run_names(paths)[0]


def _name(path: Path, folders: int) -> str:
    """The last folders of a path and its stem."""
    above = path.parent.parts[1:]
    return "/".join([*above[max(0, len(above) - folders) :], _stem(path.name)])


def _stem(name: str) -> str:
    """The file's name without ``.gz`` and a run's usual suffix; other dots belong to the name."""
    path = Path(name.removesuffix(".gz"))
    return path.stem if path.suffix in _SUFFIXES else path.name

"""Every ratio of the project in one table: the benchmark programs are run, one after another.

A program takes part when it has a constant ``QUICK``, the arguments of a quick run in one text, and
prints as its last line a JSON object whose ``lines`` hold a ``ratio`` (as ``measuring.report`` in
``benchmarks/`` does). In ``QUICK`` a path starts at the checkout; ``{collections}`` is a folder of
collections that the checkout does not have, ``{work}`` a folder to work in.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import BadArguments, MissingResource
from ..core.near import near
from ..core.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..core.progress import Progress

PROGRAMS = Path(__file__).resolve().parent.parent / "benchmarks"
"""Where a checkout has them; a wheel leaves them out."""

_CONSTANT = "QUICK"
_NOT_HERE = 3  # a program that this machine cannot run, for want of a GPU say, ends with it
_SAID = {"ratio", "ours", "peer", "ours_ms", "peer_ms", "unit", "bar"}


@dataclass(frozen=True, slots=True)
class Ratio:
    """One line of a program: ``ours`` and ``peer`` in ``unit``, ``ratio`` above 1 where ours is
    better, ``bar`` what the project asks of it (None: nothing), ``what`` tells lines apart."""

    what: str
    ratio: float
    ours: float | None
    peer: float | None
    unit: str
    bar: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one program said: its ratios, or the ``problem`` for which there are none."""

    program: str
    command: str
    ratios: tuple[Ratio, ...] = ()
    hardware: str = ""
    problem: str = ""


def programs(folder: Path | None = None) -> dict[str, str]:
    """Name -> arguments of a quick run, sorted; no program is imported for it.

    MissingResource where there are none: in an installed tamis.
    """
    folder = folder or PROGRAMS
    if not folder.is_dir():
        raise MissingResource(
            f"the benchmark programs are not part of an installed tamis ({folder} is not there); "
            f"run tamis bench from a source checkout: git clone it, then make test"
        )
    found = {path.stem: _quick(path) for path in sorted(folder.glob("*.py"))}
    return {name: arguments for name, arguments in found.items() if arguments is not None}


def run_programs(
    only: Sequence[str] = (),
    *,
    collections: Path | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Each program's outcome as it comes; all that have ratios, or those of ``only``.

    ``collections`` is for programs that need collections which the checkout does not have.
    Raises BadArguments for a name that is no program with a ratio, before any is run.
    """
    folder = folder or PROGRAMS
    known = programs(folder)
    if strange := [name for name in only if name not in known]:
        hint = near(strange[0], known) or ","
        raise BadArguments(
            f"no benchmark with a ratio is called {strange[0]!r}{hint} known: {', '.join(known)}"
        )
    chosen = {name: known[name] for name in known if not only or name in only}
    return _run(chosen, collections, folder, progress or Silent())


def _run(
    chosen: Mapping[str, str], collections: Path | None, folder: Path, progress: Progress
) -> Iterator[Outcome]:
    with progress.stage("benchmarks", len(chosen)) as advance:
        for name, arguments in chosen.items():
            if "{collections}" in arguments and collections is None:
                yield Outcome(name, "", problem="needs --collections, a folder of collections")
            else:
                yield _outcome(name, arguments, collections, folder)
            advance(1)


def _outcome(name: str, arguments: str, collections: Path | None, folder: Path) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="tamis-bench-") as work:
        given = [
            part.replace("{collections}", str(collections)).replace("{work}", work)
            for part in arguments.split()
        ]
        command = f"python {folder.name}/{name}.py {arguments}".strip()
        done = subprocess.run(
            [sys.executable, str(folder / f"{name}.py"), *given],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder.parent,
        )
    body = _last_line(done.stdout)
    if body is None:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["nothing"]
        ended = "" if done.returncode == _NOT_HERE else f"exit code {done.returncode}: "
        return Outcome(name, command, problem=f"{ended}{said[-1]}")
    lines = [line for line in body["lines"] if "ratio" in line]
    if not lines:
        return Outcome(name, command, problem="it printed no line with a ratio")
    ratios = tuple(_ratio(line) for line in lines)
    return Outcome(name, command, ratios, str(body.get("hardware", "")))


def _quick(path: Path) -> str | None:
    """The text of the constant; None where the program has none."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if names == [_CONSTANT] and isinstance(node.value.value, str):
                return node.value.value
    return None


def _last_line(printed: str) -> dict[str, Any] | None:
    """The JSON object of the contract; None where the last line is none."""
    lines = printed.splitlines()
    try:
        body = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return body if isinstance(body, dict) and isinstance(body.get("lines"), list) else None


def _ratio(line: Mapping[str, Any]) -> Ratio:
    return Ratio(
        what=", ".join(_about(line)),
        ratio=float(line["ratio"]),
        ours=line.get("ours", line.get("ours_ms")),
        peer=line.get("peer", line.get("peer_ms")),
        unit=line.get("unit", "ms"),
        bar=line.get("bar"),
    )


def _about(line: Mapping[str, Any]) -> Iterator[str]:
    """What was compared: words as they are, whole numbers with their names; no results."""
    for name, value in line.items():
        if name in _SAID or name.endswith(("_ms", "_s", "_us", "_second", "_gflops")):
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{name} {value:,}"

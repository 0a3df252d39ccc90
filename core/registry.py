"""Names find components: entry points, ours and a stranger's alike, imported at first use."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .errors import BadArguments, MissingDependency, UnknownComponent
from .optional import install_line

GROUPS = {
    "encoder": "tamis.encoders",
    "quality": "tamis.quality",
    "reranker": "tamis.rerankers",
    "cell": "tamis.cells",
}
"""What a component is called in messages -> its entry-point group."""


@cache
def _registered(group: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        if entry.name in found and entry.value != found[entry.name].value:
            raise BadArguments(
                f"two packages register {group} {entry.name!r}: "
                f"{found[entry.name].value} and {entry.value}; uninstall one"
            )
        found[entry.name] = entry
    return found


def names(kind: str) -> list[str]:
    """Every registered name of this kind ("encoder", "quality", ...), sorted."""
    return sorted(_registered(GROUPS[kind]))


def load(kind: str, name: str) -> Any:
    """The factory registered under this name.

    Raises UnknownComponent listing the right names, or MissingDependency with the line that
    installs what the component needs.
    """
    found = _registered(GROUPS[kind])
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise UnknownComponent(f"no {kind} is called {name!r}; known: {known}")
    try:
        return found[name].load()
    except ModuleNotFoundError as missing:
        wanted = missing.name or "?"
        raise MissingDependency(
            f"{kind} {name!r} needs {wanted}: {install_line(wanted)}"
        ) from missing

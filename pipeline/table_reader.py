"""Tables of a TOML file read so that every mistake in it is told at once."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from ..core.errors import BadData, MissingResource
from ..core.near import near

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_KINDS = {
    int: "a whole number",
    str: "a text",
    dict: "a table",
    float: "a number",
    bool: "true or false",
    list: "a list",
}


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The top table. MissingResource without the file, BadData for what is no TOML."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise MissingResource(f"{path} is not there; expected {what} in TOML") from None
    except (ValueError, OSError) as failure:
        raise BadData(f"{path} is no TOML file: {failure}") from None


class TableReader:
    """Collects in ``problems`` what is wrong while it reads on. Paths start at ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []

    def known(self, table: Mapping[str, Any], names: Iterable[str], where: str) -> None:
        """A problem for each key that is none of these names."""
        legal = tuple(names)
        for name in table:
            if name not in legal:
                self.problems.append(
                    f"{where} holds {name!r}{near(name, legal) or ','} known: {', '.join(legal)}"
                )

    def get(self, table: Mapping[str, Any], name: str, kind: type, default: Any, where: str) -> Any:
        """The value of this kind, or the default; a whole number is a number too."""
        value = table.get(name, default)
        if value is default:
            return default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.problems.append(f"{name} in {where} is {value!r}; expected {_KINDS[kind]}")
            return default
        return value

    def beside(self, name: str) -> str:
        """A path that is there, as it is from anywhere; any other name as it stands."""
        path = self.folder / name
        return str(path.resolve()) if name and path.exists() else name

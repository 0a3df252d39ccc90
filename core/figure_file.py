"""A matplotlib figure to a file: the same figure gives the same bytes, whole or not at all."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from .durable import replacing
from .errors import BadArguments
from .optional import need

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

FORMATS = (".svg", ".pdf", ".png")
_DATES = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def write_figure_file(
    drawn: Callable[[], Any], style: Mapping[str, Any], out: Path, what: str
) -> None:
    """``drawn`` makes the figure, under the settings of ``style``; the suffix of ``out`` says how
    it is written. BadArguments for another suffix, MissingDependency without matplotlib, before
    anything is drawn; ``what`` names the figure in it.
    """
    kind = out.suffix.lower()
    if kind not in FORMATS:
        raise BadArguments(f"{out} is no figure: its suffix is one of {', '.join(FORMATS)}")
    matplotlib = need("matplotlib", what)
    held = BytesIO()
    with matplotlib.rc_context(style):
        drawn().savefig(held, format=kind[1:], dpi=200, metadata=_DATES.get(kind))
    with replacing(out, "wb") as file:
        file.write(held.getvalue())

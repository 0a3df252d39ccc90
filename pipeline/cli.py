"""The command line: exit codes, and the list of commands. ``--help`` imports nothing heavy."""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import Annotated

import typer

from ..core.errors import TamisError
from .commands.bench import bench
from .commands.build import build
from .commands.calibrate import calibrate
from .commands.check import check
from .commands.compare import compare
from .commands.convert import convert
from .commands.demo import demo
from .commands.eval import evaluate
from .commands.explain import explain
from .commands.export import export
from .commands.info import info
from .commands.quality import quality
from .commands.robustness import robustness
from .commands.search import search
from .commands.train import train
from .commands.tune_cold import tune_cold

app = typer.Typer(
    name="tamis",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("build")(build)
app.command("search")(search)
app.command("calibrate")(calibrate)
app.command("explain")(explain)
app.command("eval")(evaluate)
app.command("quality")(quality)
app.command("compare")(compare)
app.command("check")(check)
app.command("info")(info)
app.command("tune-cold")(tune_cold)
app.command("export")(export)
app.command("convert")(convert)
app.command("demo")(demo)
app.command("bench")(bench)
app.add_typer(train, name="train")
app.add_typer(robustness, name="robustness")


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        print(f"tamis {__version__}")
        raise typer.Exit


@app.callback()
def tamis(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is chosen.")] = False,
) -> None:
    """A passage search engine: build an index, search it, evaluate it.

    Results go to standard output, progress and logs to standard error. Exit codes: 0 ok,
    2 bad arguments, 3 missing dependency, 4 missing file, 5 bad data or mismatch,
    6 failure while running, 7 partial.
    """
    del version
    _log_to_stderr(logging.INFO if verbose else logging.WARNING)


def _log_to_stderr(level: int) -> None:
    """Our own log lines; libraries keep their own ways."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    ours = logging.getLogger("tamis")
    ours.handlers[:] = [handler]
    ours.setLevel(level)


def main() -> None:
    """Run the command line; errors raised on purpose become one message and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a letter gets an escape
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except TamisError as failure:
        _leave(str(failure), failure.exit_code)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except FileNotFoundError as failure:
        _leave(f"{failure.filename} does not exist", 4)
    except OSError as failure:
        _leave(f"{failure.filename or 'the system'}: {failure.strerror or failure}", 6)
    except MemoryError:
        _leave("out of memory: use a smaller --ann (sq8, ivfpq) or a machine with more", 6)


def _leave(message: str, code: int) -> None:
    print(f"tamis: {message}", file=sys.stderr)
    sys.exit(code)

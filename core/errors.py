"""Every error that tamis raises on purpose, as one tree.

    TamisError                       exit code
    +-- BadArguments                 2   the call itself is wrong
    |   +-- UnknownComponent             a name that no registry holds
    +-- MissingDependency            3   a package or extra is not installed
    +-- MissingResource              4   a file, folder or model is not there
    +-- BadData                      5   what was read is malformed
    |   +-- CorruptFile                  bytes differ from what the manifest promises
    |   +-- Mismatch                     two good things that do not belong together
    +-- FailedWhileRunning           6   the work broke off (disk full, a crash in a library)

A message says what was found, what was expected and what to do next. Exit codes follow
rank_llm's command line (``src/rank_llm/cli/spec.py``).
"""

from __future__ import annotations


class TamisError(Exception):
    """Root of all errors raised on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 6


class BadArguments(TamisError):
    exit_code = 2


class UnknownComponent(BadArguments):
    pass


class MissingDependency(TamisError):
    exit_code = 3


class MissingResource(TamisError):
    exit_code = 4


class BadData(TamisError):
    exit_code = 5


class CorruptFile(BadData):
    pass


class Mismatch(BadData):
    pass


class FailedWhileRunning(TamisError):
    exit_code = 6

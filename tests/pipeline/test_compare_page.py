"""report.html in a real browser: what stands on it, by day and night, and nothing is fetched."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.pipeline.comparing.systems import side_by_side, worker
from tamis.pipeline.comparing.systems.page import page_of
from tamis.pipeline.comparing.systems.side_by_side import compare_systems
from tamis.pipeline.comparing.systems.writing import write_comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tamis.pipeline.comparing.systems.compared import Compared

pytest.importorskip("faiss")
pytest.importorskip("matplotlib")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-features=NetworkTimeServiceQuerying,OptimizationHints,MediaRouter",
    "--disable-sync",
    "--hide-scrollbars",
]


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed: no browser to open the page in")
    return found


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, small_comparison: Callable[[Path], Path]
) -> tuple[Compared, Path]:
    """A comparison and its page."""
    spec = small_comparison(tmp_path_factory.mktemp("page"))
    out = spec.parent / "out"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(side_by_side, "run_alone", worker.done)
        compared = compare_systems(spec, out, command="tamis compare <here>.toml")
    write_comparison(compared, out)
    return compared, out / "report.html"


@pytest.fixture
def found(made: tuple[Compared, Path]) -> Compared:
    return made[0]


@pytest.fixture
def page(made: tuple[Compared, Path]) -> Path:
    return made[1]


def opened(browser: str, page: Path, *arguments: str) -> str:
    """The browser's standard output, with a profile of its own that is thrown away."""
    profile = page.parent / "profile"
    command = [browser, *QUIET, f"--user-data-dir={profile}", *arguments, page.as_uri()]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    shutil.rmtree(profile, ignore_errors=True)
    return done.stdout


@contextmanager
def elsewhere() -> Iterator[tuple[int, list[bytes]]]:
    """A server that every name leads to: its port, and the first line of each plain request."""
    asked: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                asked.append(connection.recv(4096).partition(b"\r\n")[0])

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield server.getsockname()[1], asked
    finally:
        server.close()


def test_the_page_needs_nothing_and_says_so(found: Compared) -> None:
    text = page_of(found, "")
    assert "default-src 'none'" in text
    assert not re.findall(
        r"""(?:src|href|srcset|action)\s*=|url\(|@import|<script|<link|<img""", text
    )
    assert "A &lt;small&gt; comparison" in text
    assert "tamis compare &lt;here&gt;.toml" in text
    assert "<small> comparison" not in text


@pytest.mark.chromium
def test_the_browser_shows_every_table(browser: str, page: Path, found: Compared) -> None:
    dom = opened(browser, page, "--dump-dom")
    rows = re.search(r'<table id="quality">.*?<tbody>(.*?)</tbody>', dom, re.DOTALL)
    assert rows is not None
    assert rows.group(1).count("<tr>") == 3
    for name in ("words", "both", "peer"):
        for measure in ("nDCG@10", "R@10"):
            value = found.comparison.evaluations[name].value(measure)
            assert f"{value:.3f}</span>" in rows.group(1)
    figure = re.search(r'<figure id="pareto"><svg.*?</svg>', dom, re.DOTALL)
    assert figure is not None
    assert "both" in figure.group(0)
    assert "peer (not timed)" in figure.group(0)
    for part in ('id="equivalence"', 'id="costs"', 'id="stages"', 'class="example win"'):
        assert part in dom
    example = found.examples["peer"][0]
    assert example.text in dom
    assert example.moves[0].text in dom
    assert "10 judged queries, 60 passages" in dom


@pytest.mark.chromium
def test_the_screenshot_is_a_page_by_day_and_by_night(browser: str, page: Path) -> None:
    from matplotlib.image import imread

    shots = {}
    for name, scheme in (("dark", 0), ("light", 1)):
        shot = page.parent / f"{name}.png"
        settings = f"--blink-settings=preferredColorScheme={scheme}"
        opened(browser, page, settings, "--window-size=1000,1400", f"--screenshot={shot}")
        shots[name] = imread(shot)[..., :3]
        shot.unlink()
    assert shots["light"].shape == shots["dark"].shape == (1400, 1000, 3)
    assert shots["light"][3, 3].min() > 0.95
    assert shots["dark"][3, 3].max() < 0.2
    for each in shots.values():
        ground = each[3, 3]
        drawn = np.abs(each - ground).max(axis=2) > 0.1
        assert 0.02 < drawn.mean() < 0.5  # neither blank nor a wall
        assert drawn[700:].any()  # the page goes on below
        assert not drawn[:, :8].any()  # nothing runs out of the margin


@pytest.mark.chromium
def test_nothing_is_fetched_from_outside(browser: str, page: Path, tmp_path: Path) -> None:
    with elsewhere() as (port, asked):
        led = f"--host-resolver-rules=MAP * 127.0.0.1:{port}"
        opened(browser, page, led, "--dump-dom")
        assert not [line for line in asked if line.startswith(b"GET")]
        probe = tmp_path / "probe.html"
        probe.write_text('<img src="http://elsewhere.test/pixel.png">', "utf-8")
        opened(browser, probe, led, "--dump-dom")  # the same browser does ask, where a page does
        assert b"GET /pixel.png HTTP/1.1" in asked

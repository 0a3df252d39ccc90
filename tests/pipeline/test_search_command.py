"""``tamis search`` refuses what it cannot answer before an index is opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TAMIS = Path(sys.executable).with_name("tamis")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either a question"),
        (["why", "--queries", "q.tsv"], "either a question"),
        ([b"caf\xe9"], "is not UTF-8"),
    ],
)
def test_a_wrong_question_exits_2(arguments: list[str | bytes], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [TAMIS, "search", tmp_path / "no index", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C.UTF-8", "PATH": ""},
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr

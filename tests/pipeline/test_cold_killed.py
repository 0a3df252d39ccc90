"""A build with a cold tier that is killed, in either tier, resumes and ends in the same bytes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ROWS, SHARD_ROWS = 40, 5

PROGRAM = """
import json, os, signal, sys
import numpy as np
from tamis.core.protocols import Encoded, Encoder, EncoderCard
from tamis.pipeline.build import build

class Dying(Encoder):
    card = EncoderCard("dying", "dying", "space", 2, "dot", "none", 0)
    passages = 0

    def encode(self, texts, role):
        if role == "passage":
            if self.passages >= after:
                os.kill(os.getpid(), signal.SIGKILL)
            self.passages += len(texts)
        rows = [[len(text), sum(map(ord, text)) % 31] for text in texts]
        return Encoded(np.array(rows, np.float32), np.ones(len(texts), np.int32))

for goal, after in json.loads(sys.argv[2]):
    encoder = Dying()
    build(
        sys.argv[1], goal, encoder=encoder, quality="length", keep=0.75, cold=True, shard_rows=5
    )
    print(encoder.passages)
"""


def test_it_resumes(tmp_path: Path) -> None:
    texts = [f"word{row}" + " more" * (row % 9) for row in range(ROWS)]
    lines = [json.dumps({"id": f"p{row}", "text": text}) for row, text in enumerate(texts)]
    (tmp_path / "c.jsonl").write_text("\n".join(lines), "utf-8")

    def start(*builds: tuple[str, int]) -> subprocess.CompletedProcess[str]:
        goals = json.dumps([[str(tmp_path / name), after] for name, after in builds])
        command = [sys.executable, "-P", "-c", PROGRAM, str(tmp_path / "c.jsonl"), goals]
        return subprocess.run(command, timeout=120, check=False, capture_output=True, text=True)

    for after in (15, 20):  # in the hot tier, then, of what is left, in the cold one
        died = start(("i", after))
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert not (tmp_path / "i").exists()
    done = start(("i", ROWS), ("fresh", ROWS))
    assert done.stdout.split() == ["5", "40"], done.stderr
    found, fresh = (
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in (tmp_path / "i", tmp_path / "fresh")
    )
    assert found == fresh
    assert "cold/tamis.json" in found

"""Every Triton kernel compiles for sm_80 and sm_90, on a machine that has neither."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
OPS = sorted(path.parent.name for path in KERNELS.glob("*/fused.py"))
PROGRAM = """
import json, sys
from importlib import import_module
from tamis.kernels.ahead_of_time import compile_for

for op in sys.argv[1:]:
    for variant in import_module(f"tamis.kernels.{op}.fused").variants():
        for capability in (80, 90):
            try:
                size = compile_for(variant, capability)
            except Exception as failure:
                size = f"{type(failure).__name__}: {failure}"
            print(json.dumps([op, variant.name, capability, size]), flush=True)
"""


@pytest.fixture(scope="module")
def compiled() -> dict[str, list[tuple[str, int, int | str]]]:
    """What every op's kernels compiled to: two processes, for the compiler uses one core each."""
    pytest.importorskip("triton", reason="triton is not installed")
    clean = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, *OPS[part::2]],
            env=clean,
            stdout=subprocess.PIPE,
            text=True,
        )
        for part in range(2)
    ]
    found: dict[str, list[tuple[str, int, int | str]]] = {}
    for process in processes:
        out, _ = process.communicate()
        # a broken compiler takes its process down: the kernel after the last line did it
        assert process.returncode == 0, out.splitlines()[-1:]
        for line in out.splitlines():
            op, name, capability, size = json.loads(line)
            found.setdefault(op, []).append((name, capability, size))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("op", OPS)
def test_every_kernel_of_the_op_compiles(
    op: str, compiled: dict[str, list[tuple[str, int, int | str]]]
) -> None:
    failed = [result for result in compiled[op] if not isinstance(result[2], int)]
    assert not failed
    assert {capability for _, capability, _ in compiled[op]} == {80, 90}
    # a forward and a backward pass at least
    assert len({name for name, _, _ in compiled[op]}) >= 2

"""Files that are whole or not there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING

import pytest

from tamis.core.durable import no_room, replacing
from tamis.core.errors import BadData, FailedWhileRunning

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_file_appears_at_the_end_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("old")
    with replacing(path) as out:
        out.write("new\n")
        out.flush()
        assert path.read_text() == "old"
    assert path.read_bytes() == b"new\n"
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize("failure", [BadData("no"), KeyboardInterrupt(), ValueError("no")])
def test_a_failure_leaves_what_stood_there(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "run"
    path.write_text("old")

    def work(out: IO[str]) -> None:
        out.write("half")
        raise failure

    with pytest.raises(type(failure)), replacing(path) as out:
        work(out)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["run"]


def test_an_os_error_names_the_file_and_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with (
        pytest.raises(FailedWhileRunning, match=r"run failed: No space.*make room"),
        replacing(path),
    ):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []
    assert "strange" in str(no_room(path, OSError("strange")))


@pytest.mark.parametrize("parent", ["missing", "a_file"])
def test_a_folder_that_is_none(tmp_path: Path, parent: str) -> None:
    (tmp_path / "a_file").write_text("x")
    with pytest.raises(FailedWhileRunning, match="choose another place"):
        replacing(tmp_path / parent / "run").__enter__()
    assert names(tmp_path) == ["a_file"]


def test_a_folder_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(FailedWhileRunning, match="directory"):
        replacing(tmp_path).__enter__()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "run"
    target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(target)
    with replacing(link) as out:
        out.write("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert names(tmp_path / "real") == ["run"]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()), daemon=True)
    reader.start()
    with replacing(pipe) as out:
        out.write("run")
    reader.join(timeout=10)
    assert heard == ["run"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_a_full_device_is_told_and_stays_a_device() -> None:
    from pathlib import Path

    device = Path("/dev/full")
    with (
        pytest.raises(FailedWhileRunning, match="/dev/full failed: No space left"),
        replacing(device) as out,
    ):
        out.write("x" * 100_000)
    assert stat.S_ISCHR(device.lstat().st_mode)


def test_killed_between_write_and_rename_the_old_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("old")
    program = (
        "import os, sys; from pathlib import Path; from tamis.core.durable import replacing\n"
        "with replacing(Path(sys.argv[1])) as out:\n"
        "    out.write('half'); out.flush(); os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == 9
    assert path.read_text() == "old"
    (left,) = set(names(tmp_path)) - {"run"}
    with replacing(path) as out:  # the draft that was left is no hindrance
        out.write("new")
    assert path.read_text() == "new"
    assert names(tmp_path) == [left, "run"]
    assert left.startswith(".run.")


def test_writers_of_one_file_never_meet(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with replacing(path) as first:
        first.write("fir")
        with replacing(path) as second:
            second.write("second")
        assert path.read_text() == "second"
        with pytest.raises(BadData), replacing(path):
            raise BadData("no")
        first.write("st")
    assert path.read_text() == "first"
    assert names(tmp_path) == ["run"]


def test_processes_that_write_one_file_leave_it_whole(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tamis.core.durable import replacing\n"
        "for _ in range(50):\n"
        "    with replacing(Path(sys.argv[1])) as out:\n"
        "        out.write(sys.argv[2] * 10_000)\n"
    )
    path = tmp_path / "run"
    command = [sys.executable, "-c", program, str(path)]
    writers = [subprocess.Popen([*command, letter]) for letter in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert path.read_text() in ("a" * 10_000, "b" * 10_000)
    assert names(tmp_path) == ["run"]

"""A build that is killed, anywhere, resumes: nothing finished is done again, nothing differs."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PASSAGES, SHARD_ROWS = 3_000, 100
SHARDS = PASSAGES // SHARD_ROWS
KILLS = 10

PROGRAM = '''
"""python program.py CORPUS INDEX LOG NAP [overwrite] [hnsw]: build with an encoder that tells."""

import hashlib
import os
import sys
import time
from pathlib import Path

import numpy as np
from tamis.core.errors import TamisError
from tamis.core.protocols import Encoded, Encoder, EncoderCard
from tamis.pipeline.build import build


class Telling(Encoder):
    """Vectors of hashed texts; notes the first text of every call, before it naps."""

    def __init__(self, log, nap, name="telling"):
        self.log, self.nap = log, nap
        self._card = EncoderCard(name, name, name, 16, "cosine", "none", 0)

    @property
    def card(self):
        return self._card

    def encode(self, texts, role):
        with open(self.log, "a") as out:
            out.write(texts[0] + "\\n")
        time.sleep(self.nap)
        digests = [hashlib.blake2b(text.encode()).digest() for text in texts]
        raw = np.frombuffer(b"".join(digests), np.uint32).reshape(len(texts), 16)
        vectors = raw / np.float64(1 << 31) - 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Encoded(vectors.astype(np.float32), np.ones(len(texts), np.int32))


def main(corpus, index, log, nap, *rest):
    ann = "hnsw:M=8" if "hnsw" in rest else "flat"
    name = "other" if "other" in rest else "telling"
    rows = 20 if "small" in rest else 100
    build(
        corpus, index, encoder=Telling(log, float(nap), name), shard_rows=rows, ann=ann,
        overwrite="overwrite" in rest,
    )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except TamisError as failure:
        print(failure, file=sys.stderr)
        sys.exit(failure.exit_code)
'''

EVERYWHERE = '''
"""python everywhere.py CORPUS OLD WORK LOG: die before every file operation of an overwrite.

Prints a JSON list, an entry a death: how the index looked then and after the next build. Each
build is a fork of this process, which has imported everything and computed nothing.
"""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import bm25s, faiss, pyarrow.ipc, scipy.sparse, Stemmer  # noqa
from program import TamisError, main
import tamis.index.lexical.bm25s, filelock  # noqa

corpus, old, work, log = sys.argv[1:]
goal = Path(work) / "index"
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}
os.fsync = lambda _handle: None  # these builds meet no power cut, and a disk takes its time


def forked(die_at):
    """Build in a fork; returns its exit code, 99 for one that died at operation ``die_at``."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    count = 0

    def listen(event, arguments):
        nonlocal count
        reading = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in EVENTS and not reading and str(arguments[0]).startswith(work):
            count += 1
            if count == die_at:
                os._exit(99)

    sys.addaudithook(listen)
    try:
        main(corpus, str(goal), log, "0", "overwrite", "small")
    except BaseException as failure:
        print(repr(failure), file=sys.stderr)
        os._exit(1)
    os._exit(0)


def hashes():
    if not goal.exists():
        return None
    return {
        p.relative_to(goal).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(goal.rglob("*")) if p.is_file()
    }


deaths = []
while True:
    for entry in Path(work).iterdir():
        shutil.rmtree(entry)
    shutil.copytree(old, goal)
    Path(log).write_text("")
    code = forked(len(deaths) + 1)
    then = hashes()
    again = forked(-1) if code == 99 else None
    encoded = len(Path(log).read_text().splitlines())
    deaths.append([code, then, again, hashes(), encoded, sorted(os.listdir(work))])
    if code != 99:
        break
print(json.dumps(deaths))
'''


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def write_corpus(path: Path, rows: int = PASSAGES, changed: Sequence[int] = ()) -> Path:
    kinds = ["flea", "wine", "sieve", "river", "stone", "bread", "cloud"]
    with path.open("w", encoding="utf-8") as out:
        for row in range(rows):
            text = f"{kinds[row % 7]} {kinds[row % 5]} number {row}{'!' * (row in changed)}"
            out.write(json.dumps({"id": f"p{row}", "text": text}) + "\n")
    return path


def started(program: Path, *arguments: object, seed: int = 0) -> subprocess.Popen[str]:
    call = [sys.executable, str(program), *map(str, arguments)]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    return subprocess.Popen(call, env=environment, stderr=subprocess.PIPE, text=True)


def finished(program: Path, *arguments: object, seed: int = 0) -> None:
    process = started(program, *arguments, seed=seed)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told


def lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def first_texts(corpus: Path) -> list[str]:
    passages = [json.loads(line)["text"] for line in corpus.read_text("utf-8").splitlines()]
    return passages[::SHARD_ROWS]


def whole_shards(index: Path, firsts: list[str]) -> set[str]:
    """First texts of the shards whose card was written, so that no later build may encode them."""
    cards = (index.parent / f"{index.name}.building" / "vectors").glob("?????.json")
    return {firsts[int(card.stem)] for card in cards}


@pytest.mark.slow
def test_ten_kills_cost_at_most_ten_shards_and_change_no_byte(
    program: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    firsts = first_texts(corpus)
    index, log = tmp_path / "killed", tmp_path / "killed.log"
    dice = random.Random(7)
    for kill in range(KILLS):
        done, before = whole_shards(index, firsts), len(lines(log))
        process = started(program, corpus, index, log, 0.03, seed=kill)
        calls = 2 + dice.randrange(2)  # two begun is one finished
        while process.poll() is None and len(lines(log)) < before + calls:
            time.sleep(0.002)
        time.sleep(dice.random() * 0.03)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not index.exists()
        again = set(lines(log)[before:]) & done
        assert not again, f"run {kill} encoded finished shards again: {sorted(again)}"
    done, before = whole_shards(index, firsts), len(lines(log))
    assert len(done) >= KILLS
    finished(program, corpus, index, log, 0, seed=99)
    assert set(lines(log)[before:]) == set(firsts) - done
    counts = Counter(lines(log))
    assert set(counts) == set(firsts)
    assert SHARDS <= counts.total() <= SHARDS + KILLS
    finished(program, corpus, tmp_path / "whole", tmp_path / "whole.log", 0, seed=3)
    assert hashes(index) == hashes(tmp_path / "whole")
    assert {"tamis.json", "index", "docid", "passages.arrow"} < set(hashes(index))
    assert any(name.startswith("lexical/") for name in hashes(index))
    assert not (tmp_path / "killed.building").exists()


@pytest.mark.slow
def test_dying_before_any_file_operation_leaves_the_old_index_or_the_new(
    program: Path, tmp_path: Path
) -> None:
    new = write_corpus(tmp_path / "new.jsonl", rows=60)
    old = write_corpus(tmp_path / "old.jsonl", rows=30)
    finished(program, old, tmp_path / "old", tmp_path / "log", 0, "small")
    finished(program, new, tmp_path / "new", tmp_path / "log", 0, "small")
    before, after = hashes(tmp_path / "old"), hashes(tmp_path / "new")
    everywhere = tmp_path / "everywhere.py"
    everywhere.write_text(EVERYWHERE, encoding="utf-8")
    (tmp_path / "work").mkdir()
    places = [new, tmp_path / "old", tmp_path / "work", tmp_path / "log"]
    call = [sys.executable, str(everywhere), *map(str, places)]
    alone = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
    }  # a pool of threads a fork costs more than it does
    done = subprocess.run(call, env=alone, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    deaths = json.loads(done.stdout)
    *deaths, unbroken = deaths
    assert unbroken[0] == 0
    assert unbroken[1] == after
    assert unbroken[5] == ["index"]
    assert len(deaths) > 30
    seen = set()
    for number, (code, then, again, at_last, encoded, names) in enumerate(deaths, 1):
        assert code == 99
        assert again == 0, f"no resuming after a death at operation {number}: {done.stderr}"
        assert then in (None, before, after), f"a partial index after operation {number}"
        assert at_last == after, f"another index after a death at operation {number}"
        assert names == ["index"], f"litter after a death at operation {number}"
        assert 3 <= encoded <= 4 or then == after, f"{encoded} shards at operation {number}"
        seen.add("none" if then is None else "old" if then == before else "new")
    assert seen == {"none", "old", "new"}


def test_only_changed_shards_are_encoded_again(program: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    index, log = tmp_path / "index", tmp_path / "log"
    process = started(program, corpus, index, log, 0.02)
    while process.poll() is None and len(lines(log)) < 12:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = whole_shards(index, first_texts(corpus))
    assert len(done) >= 11
    write_corpus(corpus, changed=[250, 850, 851])
    log.unlink()
    finished(program, corpus, index, log, 0)
    firsts = first_texts(corpus)
    assert set(lines(log)) == (set(firsts) - done) | {firsts[2], firsts[8]}
    finished(program, corpus, tmp_path / "fresh", tmp_path / "fresh.log", 0)
    assert hashes(index) == hashes(tmp_path / "fresh")


def test_another_encoder_encodes_all(program: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=1_000)
    index, log = tmp_path / "index", tmp_path / "log"
    process = started(program, corpus, index, log, 0.05)
    while process.poll() is None and len(lines(log)) < 5:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    log.unlink()
    finished(program, corpus, index, log, 0, "other")
    assert lines(log) == first_texts(corpus)


def test_of_two_builds_of_one_index_the_second_is_told_of_the_lock(
    program: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=1_000)
    index, log = tmp_path / "index", tmp_path / "log"
    first = started(program, corpus, index, log, 0.2)
    while first.poll() is None and not lines(log):
        time.sleep(0.005)
    second = started(program, corpus, index, tmp_path / "second.log", 0)
    _, told = second.communicate(timeout=60)
    assert second.returncode == 6
    assert "locked" in told
    assert not lines(tmp_path / "second.log")
    assert first.wait(timeout=60) == 0
    assert (index / "tamis.json").is_file()

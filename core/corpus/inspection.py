"""Look at every passage of a corpus as it streams by; name all that is wrong at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .duplicates import HashColumn, duplicate_ids, duplicate_texts
from .flaws import Flaw, Tally

if TYPE_CHECKING:
    from ..records import Int64Array, Passage
    from .stream import Corpus


class Inspection:
    """Admits passages one by one, in 16 bytes of memory each; ``finish`` finds the duplicates.

    Use: ``for item in corpus: if inspection.admit(item): keep(item)``, then ``finish()``. A *row*
    here counts admitted passages from 0. The corpus is read again only where ids or texts repeat.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.passages = 0
        self._corpus = corpus
        self._errors = Tally()
        self._warnings = Tally()
        self._ids = HashColumn()
        self._texts = HashColumn()

    def admit(self, item: Passage | Flaw) -> bool:
        """True for a passage that is good on its own; a flaw is noted as an error."""
        if isinstance(item, Flaw):
            self._errors.add(item)
            return False
        self._ids.add(item.id)
        self._texts.add(item.full_text)
        self.passages += 1
        return True

    def finish(self) -> Int64Array:
        """Note duplicates; returns the rows to drop, rising: of equal ids the first one stays.

        Repeated ids are errors, repeated texts warnings. Raises BadData when the corpus changed
        while it was being read.
        """
        drop: list[int] = []
        for row, flaw in duplicate_ids(self._corpus, self._ids.digests()):
            drop.append(row)
            self._errors.add(flaw)
        for _, flaw in duplicate_texts(self._corpus, self._texts.digests()):
            self._warnings.add(flaw)
        if not self.passages:
            self._errors.add(Flaw("no passages", self._corpus.source, "not one good passage"))
        return np.sort(np.array(drop, dtype=np.int64))

    @property
    def errors(self) -> list[Flaw]:
        """What is wrong, at most 1,000 flaws of each kind; ``error_counts`` counts them all."""
        return self._errors.kept

    @property
    def error_counts(self) -> dict[str, int]:
        return self._errors.counts

    @property
    def warnings(self) -> list[Flaw]:
        """What is odd but legal, kept and counted like the errors."""
        return self._warnings.kept

    @property
    def warning_counts(self) -> dict[str, int]:
        return self._warnings.counts

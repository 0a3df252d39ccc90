"""A large language model puts windows of candidates in order, from the last window to the first.

Sun and others, "Is ChatGPT Good at Search?" (RankGPT, arXiv 2304.09542): windows of 20, 10 apart,
so that the best of one window is seen again in the next.
"""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BadArguments
from ..core.fingerprints import of_value
from .chat_endpoint import ChatEndpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.protocols import Candidates
    from ..core.records import Float32Array

log = logging.getLogger(__name__)

_SYSTEM = "You rank passages by how well they answer a search query."
_PERMUTATION = re.compile(r"\s*\[[0-9]{1,6}\](?:\s*>\s*\[[0-9]{1,6}\])*\s*")
_NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class _Ordered:
    """Distinct texts, best first; windows asked for; answers that were no permutation."""

    texts: list[str]
    asked: int = 0
    malformed: tuple[str, ...] = ()


class LlmReranker:
    """Off unless ``url`` names an OpenAI-compatible endpoint: texts of the query and its
    candidates are sent there. ``model`` and ``key`` are as in ``ChatEndpoint``.

    Scores are ranks from the end: n for the best of n distinct texts, 1 for the last; equal texts
    have equal scores and are sent once. They depend on all candidates and on what order the stage
    before put them in. ``window`` candidates are shown at a time, the first ``passage_words``
    words of each, ``stride`` apart; ``at_once`` queries are asked side by side. An answer has to be
    ``[2] > [1] > ...`` with every number once and nothing beside it: any other leaves its window
    as it was, is counted in ``malformed`` (of ``asked`` windows in all) and logged. The
    fingerprint takes the endpoint at its word: that the model of a name stays the same.

    ``score`` raises FailedWhileRunning when the endpoint does not answer.
    """

    def __init__(
        self,
        *,
        model: str = "",
        url: str = "",
        key: str = "",
        keep: int = 100,
        device: str = "cpu",
        window: int = 20,
        stride: int = 10,
        passage_words: int = 300,
        timeout: float = 60.0,
        retries: int = 2,
        at_once: int = 4,
    ) -> None:
        del device  # the endpoint's matter
        if not url or not model:
            raise BadArguments(
                f"llm has url {url!r} and model {model!r}; it is off until both are named, as "
                f"url = 'http://localhost:8000/v1' and the model that is served there"
            )
        if not 1 <= stride < window:
            raise BadArguments(
                f"llm has window {window} and stride {stride}; expected windows that overlap: a "
                f"stride of 1 to {window - 1}"
            )
        if passage_words < 1 or at_once < 1:
            raise BadArguments(
                f"llm has passage_words {passage_words} and at_once {at_once}; expected 1 or more"
            )
        self._endpoint = ChatEndpoint(url, model, key, timeout, retries)
        self._window, self._stride = window, stride
        self._passage_words, self._at_once = passage_words, at_once
        self.keep = keep
        self.name = f"llm ({model})"
        self.asked = self.malformed = 0

    @property
    def fingerprint(self) -> str:
        """Of the endpoint, its model's name, and what it is shown."""
        shown = [self._window, self._stride, self._passage_words, _SYSTEM, _task("", 0)]
        return of_value([self._endpoint.url, self._endpoint.model, *shown])

    def score(self, batch: Sequence[Candidates]) -> list[Float32Array]:
        """Ranks from the end, one array a query."""
        with ThreadPoolExecutor(self._at_once, "llm") as threads:
            ordered = list(threads.map(self._ordered, batch))
        malformed = [answer for each in ordered for answer in each.malformed]
        asked = sum(each.asked for each in ordered)
        self.asked, self.malformed = self.asked + asked, self.malformed + len(malformed)
        if malformed:
            log.warning(
                "%s: %d of %d windows stay as they were, their answers are no permutation; "
                "the first is %.80r",
                self.name,
                len(malformed),
                asked,
                malformed[0],
            )
        return [_ranks(each.texts, given) for each, given in zip(ordered, batch, strict=True)]

    def _ordered(self, candidates: Candidates) -> _Ordered:
        """From the back to the front, until the first candidate was in a window."""
        ranking = candidates.ranking
        order = np.lexsort((ranking.rows, -ranking.scores))
        texts = list(dict.fromkeys(candidates.passages[place].full_text for place in order))
        malformed: list[str] = []
        asked, end = 0, len(texts)
        while end > 1:
            start = max(0, end - self._window)
            answer = self._endpoint.answer(self._messages(ranking.query.text, texts[start:end]))
            asked += 1
            found = permutation(answer, end - start)
            if found is None:
                malformed.append(answer or "")
            else:
                texts[start:end] = [texts[start + place] for place in found]
            if start == 0:
                break
            end -= self._stride
        return _Ordered(texts, asked, tuple(malformed))

    def _messages(self, query: str, texts: Sequence[str]) -> list[dict[str, str]]:
        shown = (" ".join(text.split()[: self._passage_words]) for text in texts)
        passages = "\n".join(f"[{number}] {text}" for number, text in enumerate(shown, 1))
        task = _task(" ".join(query.split()), len(texts))
        return [
            {"role": "system", "content": _SYSTEM},
            {"role": "user", "content": f"{passages}\n\n{task}"},
        ]


def permutation(answer: str | None, number: int) -> list[int] | None:
    """Places from 0, best first, of ``[2] > [1] > ...``; None for anything else."""
    if answer is None or not _PERMUTATION.fullmatch(answer):
        return None
    places = [int(found) - 1 for found in _NUMBER.findall(answer)]
    return places if sorted(places) == list(range(number)) else None


def _task(query: str, number: int) -> str:
    return (
        f"Search query: {query}\n"
        f"Above are {number} passages, each after its number in brackets. Rank all of them by how "
        f"well they answer the search query, the best first. Answer with the numbers alone, each "
        f"once, in the form [2] > [1] > [3], and with no other word."
    )


def _ranks(texts: Sequence[str], candidates: Candidates) -> Float32Array:
    worth = {text: len(texts) - place for place, text in enumerate(texts)}
    return np.array([worth[passage.full_text] for passage in candidates.passages], np.float32)

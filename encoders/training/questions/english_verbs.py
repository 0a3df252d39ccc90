"""Verbs that questions are asked about, and their forms."""

from __future__ import annotations

_IRREGULAR = (
    "begin began begun, become became become, win won won, build built built, break broke broken, "
    "write wrote written, find found found, lead led led, hold held held, "
    "leave left left, sell sold sold, lose lost lost, buy bought bought, "
    "take took taken, draw drew drawn, fight fought fought, grow grew grown, send sent sent, "
    "cut cut cut, choose chose chosen"
)
_REGULAR = (
    "found invent discover develop introduce create establish publish release launch open close "
    "start adopt pass design produce direct compose paint record complete approve abolish elect "
    "appoint join enter conquer invade defeat destroy declare sign rename propose receive "
    "return move arrive form organize organise acquire purchase merge expand replace demolish "
    "kill arrest crown restore rebuild graduate retire marry ratify amend end conclude "
    "describe identify patent coin formulate prove translate perform premiere issue grant capture"
)
_NO_PASSIVE = frozenset(("become", "lead", "arrive", "enter", "graduate", "retire", "premiere"))


def _past(base: str) -> str:
    if base.endswith("e"):
        return f"{base}d"
    return f"{base[:-1]}ied" if base.endswith("y") else f"{base}ed"


_FORMS = [entry.split() for entry in _IRREGULAR.split(", ")]
_FORMS += [[base, _past(base), _past(base)] for base in _REGULAR.split()]

BASE_OF = {past: base for base, past, _ in _FORMS if past != base}
"""Past tense -> base form."""

PAST_OF = {done: past for base, past, done in _FORMS if base not in _NO_PASSIVE}
"""Participle of a verb that has a passive -> its past tense: written -> wrote."""

_LISTED = (
    "cause affect produce require contain include cover treat prevent measure control regulate "
    "protect represent describe involve provide govern define own operate manufacture encode"
)
THIRD_PERSON = _LISTED.split()
"""Verbs that form their third person by adding s."""

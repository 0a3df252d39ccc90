"""English function words: running text is full of them, lists and wreckage are not."""

from __future__ import annotations

_LISTED = (
    "a about after all also although am an and another any are as at be because been before being "
    "between both but by can could did do does during each either few for from had has have he "
    "her here him his how however i if in into is it its itself may me might more most much must "
    "my neither no nor not of off on once one only or other our out over own same shall she "
    "should since so some such than that the their them then there these they this those though "
    "through to too under until up upon us very was we were what when where whether which while "
    "who whom whose why will with within without would yet you your"
)
STOP_WORDS = frozenset(_LISTED.split())

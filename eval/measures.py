"""What a measure is called: ``nDCG@10``, ``RR(rel=2)@10`` or trec_eval's ``ndcg_cut_10``.

Measures are ir_measures' own objects, built here from their text. Its string parser is passed by:
it needs ``ast.Num``, which Python 3.14 no longer has.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from ..core.errors import BadArguments

Measure: TypeAlias = Any
"""An ``ir_measures.Measure``; ``str()`` of it is its canonical name."""

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@100", "R@1000", "AP")

_TREC_PLAIN = {
    "Rprec": "Rprec",
    "bpref": "Bpref",
    "infAP": "infAP",
    "map": "AP",
    "ndcg": "nDCG",
    "num_q": "NumQ",
    "num_rel": "NumRel",
    "num_rel_ret": "NumRelRet",
    "num_ret": "NumRet",
    "recip_rank": "RR",
    "set_F": "SetF",
    "set_P": "SetP",
    "set_map": "SetAP",
    "set_recall": "SetR",
    "set_relative_P": "SetRelP",
}
_TREC_AT = {
    "P": "P",
    "iprec_at_recall": "IPrec",
    "map_cut": "AP",
    "ndcg_cut": "nDCG",
    "recall": "R",
    "success": "Success",
}
"""trec_eval's names -> ir_measures', alone and with a number: ``P_10``, ``ndcg_cut.10``."""

_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_CALL = re.compile(rf"(?P<name>[^\W\d]\w*)(?:\((?P<params>.*)\))?(?:@(?P<at>{_NUMBER}))?")
_TREC = re.compile(rf"(?P<name>{'|'.join(_TREC_AT)})[_.](?P<at>\d+(?:\.\d+)?)")
_PARAM = re.compile(
    r"""\s*(?P<key>\w+)\s*=\s*(?P<value>'[^']*'|"[^"]*"|\{[^{}]*\}|[^,\s]+)\s*(?:,|$)"""
)
_GAIN = re.compile(r"\s*(-?\d+)\s*:\s*(-?\d+)\s*")
_FORM = "expected NAME, NAME@CUTOFF or NAME(key=value,...)@CUTOFF, such as RR(rel=2)@10"


def parse_measure(text: str) -> Measure:
    """The measure of this name, its parameters checked.

    Names are ir_measures' (aliases such as MRR and MAP too) and trec_eval's. Raises BadArguments
    for an unknown name (lists the known ones) or wrong parameters (lists the right ones).
    """
    from ir_measures.measures import registry

    name, params, at = _split(text.strip())
    if name not in registry:
        known = ", ".join(known_measures())
        raise BadArguments(f"no measure is called {name!r} (in {text!r}); known: {known}")
    measure = registry[name]
    if at:
        params[measure.AT_PARAM] = _value(at, text)  # the cut-off; for IPrec, a recall
    return _checked(measure, params, text)


def known_measures() -> list[str]:
    """Every name that ``parse_measure`` knows, without cut-offs; trec_eval's names last."""
    from ir_measures.measures import registry

    return [*sorted(registry, key=str.lower), *sorted({*_TREC_PLAIN, *_TREC_AT} - {*registry})]


def relevance_level(measure: Measure) -> int | None:
    """The lowest grade that a measure counts as relevant; None when no grade is relevant to it."""
    if measure.NAME in ("Judged", "NumQ"):
        return None
    level = measure.params.get("rel")
    if level is None and "rel" in measure.SUPPORTED_PARAMS:
        level = measure.SUPPORTED_PARAMS["rel"].default
    if isinstance(level, int):
        return level
    return None if measure.NAME == "NumRet" else 1


def _split(text: str) -> tuple[str, dict[str, object], str]:
    """ir_measures' name, the parameters between the brackets, and the number after the @."""
    if text in _TREC_PLAIN:
        return _TREC_PLAIN[text], {}, ""
    if trec := _TREC.fullmatch(text):
        return _TREC_AT[trec["name"]], {}, trec["at"]
    call = _CALL.fullmatch(text)
    if not call:
        raise BadArguments(f"the measure {text!r} cannot be read; {_FORM}")
    return call["name"], _params(call["params"] or "", text), call["at"] or ""


def _params(inner: str, text: str) -> dict[str, object]:
    found: dict[str, object] = {}
    place = 0
    while place < len(inner):
        match = _PARAM.match(inner, place)
        if not match or match["key"] in found:
            raise BadArguments(f"the parameters ({inner}) of {text!r} cannot be read; {_FORM}")
        found[match["key"]] = _value(match["value"], text)
        place = match.end()
    return found


def _value(written: str, text: str) -> object:
    """A parameter's value: number, True, False, a quoted or bare word, or {grade: gain, ...}."""
    if written in ("True", "False"):
        return written == "True"
    if written[0] == "{":
        pairs = [_GAIN.fullmatch(pair) for pair in written[1:-1].split(",")]
        if not all(pairs):
            raise BadArguments(
                f"the gains {written} of {text!r} cannot be read; expected {{grade: gain, ...}} "
                f"in whole numbers, such as {{1: 1, 2: 3}}"
            )
        return {int(pair[1]): int(pair[2]) for pair in pairs if pair}
    if re.fullmatch(_NUMBER, written):
        return float(written) if "." in written else int(written)
    return written.strip("'\"")


def _checked(measure: Measure, params: dict[str, object], text: str) -> Measure:
    """The measure with these parameters, all of them legal."""
    allowed = measure.SUPPORTED_PARAMS
    for key, value in params.items():
        if key not in allowed:
            raise BadArguments(f"{text!r} gives {key!r}; {_legal(measure)}")
        if not _fits(value, key, allowed[key]):
            raise BadArguments(f"{text!r} gives {key}={value!r}; {_legal(measure)}")
    whole = measure(**{key: _as(allowed[key].dtype, value) for key, value in params.items()})
    missing = [key for key, info in allowed.items() if info.required and key not in whole.params]
    if missing:
        raise BadArguments(f"{text!r} lacks its {' and '.join(missing)}; {_legal(measure)}")
    return whole


def _as(dtype: type, value: object) -> object:
    return float(value) if dtype is float and isinstance(value, int) else value


def _fits(value: object, key: str, info: Any) -> bool:
    if isinstance(value, bool) and info.dtype is not bool:  # Python counts True as a number
        return False
    if info.dtype is float and isinstance(value, int):
        return True
    if key == "cutoff" and isinstance(value, int) and value < 1:
        return False
    return bool(info.validate(value))


def _legal(measure: Measure) -> str:
    known = []
    for key, info in measure.SUPPORTED_PARAMS.items():
        at = " or @" if key == measure.AT_PARAM else ""
        needed = ", needed" if info.required else ""
        choices = f": {', '.join(info.choices)}" if isinstance(info.choices, list) else ""
        known.append(f"{key}{at} ({info.dtype.__name__}{choices}{needed})")
    return f"parameters of {measure.NAME}: {', '.join(known) or 'none'}"

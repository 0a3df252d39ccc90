"""Patterns of English sentences, and the question that each kind of sentence answers."""

from __future__ import annotations

import re

from .english_verbs import BASE_OF, PAST_OF, THIRD_PERSON

PHRASE = "phrase"
"""The kind that asks in a few words, without a verb."""

YES_OR_NO = "yes or no"
"""The kind that turns a statement round."""

_LISTED_ROLES = (
    "actor actress anthropologist architect artist astronaut athlete author biologist chemist "
    "coach commander composer designer director doctor economist emperor empress engineer "
    "explorer general geologist governor historian inventor journalist king lawyer leader "
    "mathematician member minister musician novelist officer painter philosopher photographer "
    "physician physicist player playwright poet politician pope president priest prince princess "
    "professor queen scholar scientist sculptor senator singer soldier songwriter statesman "
    "theologian writer"
)
ROLES = frozenset(_LISTED_ROLES.split())
"""What a person may be known for."""

_PARTS = {
    # groups x and y are noun phrases; the other groups are taken as they are
    # what the sentence is about; an aside between commas is left out
    "<X>": r"^(?P<x>[^\W_a-z][^,;:]{1,70}?)(?:,[^,;:]{1,90},)?",
    "<THE X>": r"(?P<x>[^,;:.]{2,50}?)",
    "<Y>": r"(?P<y>[^,;:.]{2,60}?)",
    "<BE>": r"(?P<be>is|are|was|were)",
    "<SO>": r"(?:not )?(?P<rest>(?!the|due|because|one of)[a-z]{3,}(?: \w[\w'-]*){0,7}?)",
    "<ACT>": r"(?P<rest>[a-z]{3,}(?: \w[\w'-]*){1,5})",
    "<MAY>": r"(?:(?:can|may|often|usually|generally|sometimes|typically) )*",
    "<END>": r"(?=[,;:!?]|\.(?: |$)|$)",
    "<STOP>": r"(?=[,;:.!?]|$| (?:is|are|was|were|that|which|who|by|to|from|at|on|with|has|have|"
    r"had|can|may|in|for|and|or|as|through|during|while|when)\b)",
    "<DATE>": r"(?:in|on|by|around|until) (?:the )?(?:(?:early|late|mid)[- ])?"
    r"(?:(?:January|February|March|April|May|June|July|August|September|October|November|"
    r"December)[ ,\d]*)?(?:1[0-9]|20)\d\ds?\b",
    "<IN DATE,>": r"^(?:In|On) (?:[A-Z][a-z]+ )?(?:\d\d?, )?(?:1[0-9]|20)\d\d,? ",
    "<ABOUT>": r"(?:(?:about|around|over|nearly|approximately|more than|at least|up to) )?",
    "<NUMBER>": r"(?:\d[\d,.]*|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)",
    "<PAST>": rf"(?P<past>{'|'.join(sorted(BASE_OF))})",
    "<DONE>": rf"(?:\w+ly )?(?P<done>{'|'.join(sorted(PAST_OF))})",
    "<THIRD>": rf"(?P<base>{'|'.join(THIRD_PERSON)})s",
    "<A>": r"(?:an?|any|one of|the (?:name|term|process|study|practice|act|state|part))",
    "<ROLE>": r"(?:(?!(?:of|that|which|who|to|for|in|with|on)\b)[\w-]+ ){0,5}"
    rf"(?:{'|'.join(sorted(ROLES))})\b",
    "<MOST>": r"(?P<y>the (?:(?:second|third) )?(?:\w{3,}est|most \w+|first|only) [^,;:.]{3,60}?)",
    "<LIST>": r"(?P<list>signs and symptoms|symptoms|signs|causes|effects|side effects|"
    r"complications|risk factors|types|kinds|forms|stages|benefits|advantages|disadvantages|"
    r"functions|properties|characteristics|features|uses|principles|components)",
    "<ALSO>": r"(?:(?:also|commonly|sometimes|often|better|formerly|originally) )+",
}

_TABLE = (
    ("definition", r"<X> <BE> <A> [a-z]", "what {be} {x}"),
    ("definition", r"<X> are \w+ (?:that|which|who) ", "what are {x}"),
    ("definition", r"<X> (?:refers to|means|is defined as) ", "what is {x}"),
    ("person", r"<X> <BE> (?:an?|the|one of the) <ROLE>", "who {be} {x}"),
    ("most", r"<X> <BE> <MOST><END>", "{who} {be} {y}"),
    ("attribute", r"^The (?P<of>[a-z]+(?: [a-z]+)?) of <THE X> <BE> ", "what {be} the {of} of {x}"),
    (
        "list",
        r"\b<LIST> (?:of|for) <THE X> <MAY>(?:include|are|vary)\b",
        "what are the {list} of {x}",
    ),
    ("list", r"^There (?:are|were) .{0,40}?\b<LIST> of <THE X><END>", "what are the {list} of {x}"),
    (
        "treatment",
        r"\b[Tt]reatment (?:of|for) <THE X> <MAY>(?:is|includes?|involves?|depends?|consists?)\b",
        "what is the treatment for {x}",
    ),
    (
        "diagnosis",
        r"\b[Dd]iagnosis of <THE X> <MAY>(?:is|includes?|involves?|depends?)\b",
        "how {are} {x} diagnosed",
    ),
    ("birth", r"<X> was born .{0,60}?<DATE>", "when was {x} born"),
    ("birth", r"<X> was born (?:on .{0,25}\d{4},? )?in [A-Z]", "where was {x} born"),
    ("death", r"<X> died .{0,60}?<DATE>", "when did {x} die"),
    ("when", r"<X> (?P<be>was|were) <DONE>\b[^;.]{0,60}? <DATE>", "when {be} {x} {done}"),
    ("when", r"<IN DATE,><THE X> (?P<be>was|were) <DONE>\b", "when {be} {x} {done}"),
    ("when", r"<X> <PAST> <Y> <DATE>", "when did {x} {base} {y}"),
    ("when", r"<IN DATE,><THE X> <PAST> <Y><END>", "when did {x} {base} {y}"),
    (
        "who",
        r"<X> (?P<past>invented|discovered|wrote|founded|directed|painted|designed|composed|"
        r"proposed|coined) <Y>(?:<END>| <DATE>)",
        "who {past} {y}",
    ),
    ("who", r"<X> (?:is|are|was|were) <DONE> (?:[^,;.]{0,30} )?by [A-Z]", "who {past} {x}"),
    (
        "where",
        r"<X> <BE> (?:\w+ly )?(?P<done>located|situated|buried|held|based|headquartered) "
        r"(?:in|at|near) ",
        "where {be} {x} {done}",
    ),
    ("why", r"<X> <BE> <SO>,? because\b", "why {be} {x} {rest}"),
    ("why", r"<X> (?P<be>can|may|should|must|will|could) <SO>,? because\b", "why {be} {x} {rest}"),
    ("causes", r"<X> (?:can|may|could) (?:cause|lead to|trigger) <Y><END>", "what causes {y}"),
    ("causes", r"<X> (?P<many>cause|lead to|trigger) <Y><END>", "what causes {y}"),
    ("causes", r"<X> (?:causes|caused|leads to|led to|triggers) <Y><END>", "what causes {y}"),
    ("causes", r"<X> (?:is|are|can be|may be) (?:\w+ly )?caused by ", "what causes {x}"),
    ("causes", r"<X> results? from ", "what causes {x}"),
    ("used for", r"<X> (?P<be>is|are) (?:\w+ly )?used (?:to|for|in|as) ", "what {be} {x} used for"),
    ("used for", r"<X> can be used (?:to|for|in|as) ", "what can {x} be used for"),
    (
        "how",
        r"<X> can be (?P<done>(?!caused)[a-z]{3,}ed) (?:by|with|using|through) ",
        "how can {x} be {done}",
    ),
    (
        "how",
        r"<X> (?P<be>is|are) (?:\w+ly )?(?P<done>treated|diagnosed|measured|inherited|"
        r"produced|transmitted|spread|formed|prevented|detected|calculated) "
        r"(?:by|with|using|through|from|in an?) ",
        "how {be} {x} {done}",
    ),
    (
        "how to",
        r"^To <ACT>, (?:you|we|one|people|first|use|follow|take|try|make)\b",
        "how to {rest}",
    ),
    ("how to", r"\b[Ii]n order to <ACT>[,.]", "how to {rest}"),
    ("made of", r"<X> <BE> (?:made up|composed) of ", "what {be} {x} made of"),
    ("made of", r"<X> <BE> made (?P<out>of|from) ", "what {be} {x} made {out}"),
    ("made of", r"<X> consists? of ", "what {do} {x} consist of"),
    ("does", r"<X> <THIRD> [a-z]", "what does {x} {base}"),
    (
        "other name",
        r"<X>,? (?:(?:is|are) )?<ALSO>(?:known as|called) ",
        "what is another name for {x}",
    ),
    (
        "definition",
        r"\b(?:called|termed|known as) (?P<y>(?:an? |the )?[a-z][\w-]+(?: [a-z][\w-]+){0,2})<END>",
        "what {are} {y}",
    ),
    (
        "how many",
        r"<X> (?P<has>has|have|had|contains?|includes?) <ABOUT><NUMBER> (?P<things>[a-z]+s)\b",
        "how many {things} {do} {x} have",
    ),
    (
        "how many",
        r"^There (?P<be>are|were) <ABOUT><NUMBER> (?P<things>[a-z ]{3,25}s) in <THE X><END>",
        "how many {things} {be} there in {x}",
    ),
    (
        "how much",
        r"<X> <BE> <ABOUT><NUMBER> (?:\w+ )?(?:feet|metres|meters|miles|kilometres|kilometers|km|m|"
        r"inches|years) (?P<how>long|tall|high|wide|deep|old)\b",
        "how {how} {be} {x}",
    ),
    (
        PHRASE,
        r"\b[Tt]he (?P<y>[a-z-]+(?: [a-z-]+)? (?:of|for|in) (?:the )?[\w'-]+(?: [\w'-]+){0,3}?)"
        r"<STOP>",
        "{y}",
    ),
    (YES_OR_NO, r"<X> <BE> <SO>[.]$", "{be} {x} {rest}"),
    (YES_OR_NO, r"<X> (?P<be>can|should|must|could) <SO>[.]$", "{be} {x} {rest}"),
)


def _compiled(pattern: str) -> re.Pattern[str]:
    for name, part in _PARTS.items():
        pattern = pattern.replace(name, part)
    return re.compile(pattern)


PATTERNS = [(kind, _compiled(pattern), template) for kind, pattern, template in _TABLE]
"""(kind, what the sentence looks like, the question); ``sentence_questions`` fills it in."""

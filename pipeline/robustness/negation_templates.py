"""Two hundred negation pairs written by rule: five ways to negate, five templates each, eight
names each.

The two passages of a pair differ by the negation alone, and so do its two questions, which say it
in another way than the passages ("without a cellar", "has no cellar"). No question has the name
that the passage is about.
"""

from __future__ import annotations

from typing import NamedTuple

from .negation_pairs import NegationPair


class _Template(NamedTuple):
    """``{x}`` is a name, ``[a|b]`` what the affirmative and the negative text say."""

    passage: str
    question: str
    names: str


_BUILDINGS = (
    "Corvin Hall,Larch House,the Ostrava depot,Bell Tower,Marsh Abbey,Pier Nine,"
    "the Orangery,Fort Adria"
)
_FIRMS = "Halden Works,Norvik,Tessera Ltd,Blue Quarry,Amberline,Kestrel Foods,Ortolan,Ivory Mill"
_PEOPLE = (
    "Mara Linde,Tomas Reuter,Aiko Hara,Jonas Bell,Priya Nair,Elena Voss,Samuel Okoro,Ines Duarte"
)
_PLANTS = (
    "marsh thistle,silver vetch,red sorrel,stone fern,sea kale,white campion,bog myrtle,blue lupin"
)
_DEVICES = (
    "the Arden 20,the Velo S,the Mistral lamp,the K4 sensor,the Pico scale,"
    "the Terra pump,the Lumen panel,the Delta lock"
)

_TEMPLATES = {
    "not": (
        _Template(
            "{x} was restored in 1987. It is [|not ]open to visitors in winter. A café "
            "stands beside it.",
            "building that [a|no] visitor can enter in winter",
            _BUILDINGS,
        ),
        _Template(
            "{x} has three hundred employees. Its products are [|not ]sold outside Europe. "
            "It was founded by two brothers.",
            "company that [sells|never sells] its goods beyond Europe",
            _FIRMS,
        ),
        _Template(
            "{x} studied law before turning to music. The second album was [|not ]recorded "
            "in a church. It has ten songs.",
            "musician who [used|never used] a church to make the second album",
            _PEOPLE,
        ),
        _Template(
            "{x} grows on wet meadows. Its seeds can[| not] survive a frozen soil. It "
            "flowers in May.",
            "plant whose seeds [outlive|fail to outlive] frost in the ground",
            _PLANTS,
        ),
        _Template(
            "{x} runs on two batteries. It will [|not ]work under water. The manual has "
            "eight pages.",
            "device that [can|cannot] be used below the surface of water",
            _DEVICES,
        ),
    ),
    "never": (
        _Template(
            "{x} stands at the river. It has [|never ]been damaged by a flood. The roof is "
            "made of slate.",
            "building that [a|no] flood has damaged",
            _BUILDINGS,
        ),
        _Template(
            "{x} makes parts for bicycles. It has [|never ]paid a dividend to its "
            "shareholders. The office is in Ghent.",
            "company whose shareholders got [a|no] dividend",
            _FIRMS,
        ),
        _Template(
            "{x} swam for the national team. The coach had [|never ]competed at the Olympic "
            "Games. Training began at five.",
            "swimmer whose coach [took part|did not take part] in Olympic Games",
            _PEOPLE,
        ),
        _Template(
            "{x} is common along the coast. It has [|never ]been grown in gardens. Bees "
            "visit its flowers.",
            "wild plant that gardeners [grow|do not grow]",
            _PLANTS,
        ),
        _Template(
            "{x} came to the market in 2015. Its firmware has [|never ]been updated by the "
            "maker. It weighs two kilograms.",
            "device that got [an|no] update of its firmware",
            _DEVICES,
        ),
    ),
    "without": (
        _Template(
            "{x} has four floors. It was built [with|without] a cellar. The stairs are of oak.",
            "building that has [a|no] cellar",
            _BUILDINGS,
        ),
        _Template(
            "{x} bakes bread for schools. It works [with|without] a night shift. Vans leave "
            "at six.",
            "bakery where people [work|do not work] at night",
            _FIRMS,
        ),
        _Template(
            "{x} crossed the ice cap on skis. The journey was made [with|without] dogs. It "
            "took forty days.",
            "explorer who [took|did not take] dogs across the ice",
            _PEOPLE,
        ),
        _Template(
            "{x} is eaten by sheep. It reproduces [with|without] the help of insects. The "
            "stem is hairy.",
            "plant that [needs|does not need] insects to reproduce",
            _PLANTS,
        ),
        _Template(
            "{x} is mounted on a wall. It is delivered [with|without] a power cable. The "
            "case is grey.",
            "device whose power cable is [|not ]included",
            _DEVICES,
        ),
    ),
    "no": (
        _Template(
            "{x} lies on a hill. There is [a|no] lift to the upper floors. Tickets are sold "
            "at the gate.",
            "building where visitors [can|cannot] take a lift upstairs",
            _BUILDINGS,
        ),
        _Template(
            "{x} exports timber. The firm has [|no ]debts with foreign banks. It owns two ships.",
            "firm that [owes|does not owe] money to foreign banks",
            _FIRMS,
        ),
        _Template(
            "{x} wrote novels for children. There are [several|no] letters from the early "
            "years. The diaries were printed.",
            "writer whose early letters have [|not ]survived",
            _PEOPLE,
        ),
        _Template(
            "{x} needs little light. Its leaves have [a|no] smell when crushed. It is sold "
            "in pots.",
            "plant whose crushed leaves [smell|do not smell]",
            _PLANTS,
        ),
        _Template(
            "{x} is used in greenhouses. It makes [a|no] sound while running. The warranty "
            "is two years.",
            "device that [can|cannot] be heard while it runs",
            _DEVICES,
        ),
    ),
    "prefix": (
        _Template(
            "{x} belongs to the town. The upper rooms are [inhabited|uninhabited] since the "
            "war. A plaque tells its story.",
            "building where [somebody|nobody] lives in the upper rooms",
            _BUILDINGS,
        ),
        _Template(
            "{x} repairs engines. Its workers are [paid|unpaid] during the training. The "
            "yard is large.",
            "company that [pays|does not pay] workers while they train",
            _FIRMS,
        ),
        _Template(
            "{x} painted harbours. Most of the late works are [signed|unsigned]. They hang "
            "in Bergen.",
            "painter who [put|never put] a name on the late works",
            _PEOPLE,
        ),
        _Template(
            "{x} ripens in August. The fruit is [edible|inedible] when raw. Birds spread the "
            "seeds.",
            "plant whose raw fruit [can|cannot] be eaten",
            _PLANTS,
        ),
        _Template(
            "{x} sends its values by radio. The connection is [encrypted|unencrypted]. It "
            "reaches fifty metres.",
            "device that sends its values [with|without] encryption",
            _DEVICES,
        ),
    ),
}


def written_pairs() -> list[NegationPair]:
    """All 200, rule by rule, always the same."""
    return [
        NegationPair(
            f"{rule}-{number}-{place}",
            (_side(template.question, 0, name), _side(template.question, 1, name)),
            (_side(template.passage, 0, name), _side(template.passage, 1, name)),
            rule,
        )
        for rule, templates in _TEMPLATES.items()
        for number, template in enumerate(templates, 1)
        for place, name in enumerate(template.names.split(","), 1)
    ]


def _side(text: str, side: int, name: str) -> str:
    """The affirmative (0) or negative (1) text, its first letter large where a passage begins."""
    parts = text.split("[")
    chosen = [parts[0]]
    for part in parts[1:]:
        choices, _, rest = part.partition("]")
        chosen.append(choices.split("|")[side] + rest)
    told = "".join(chosen)
    if "{x}" not in told:
        return told
    written = told.replace("{x}", name)
    return written[0].upper() + written[1:]

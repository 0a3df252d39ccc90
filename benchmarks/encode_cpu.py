"""Text in, vectors out, on the CPU: folded students against sentence-transformers' MiniLM.

    .venv/bin/python benchmarks/encode_cpu.py CORPUS [--passages 1500] [--repeats 5]
        [--encoders tamis-tiny tamis-small] [--layers 1 2 3 4 --width 384]

Every round takes passages that no round had before; all sides encode the same ones, in turn.
--layers adds students with random weights: speed does not depend on them. MiniLM through tamis
stands beside sentence-transformers' own, which runs as its documentation shows it (batches of 32,
sorted by length). ``static``, the students' token table without any layer, is so fast that its
rounds share out the whole corpus instead.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, TypeAlias

from measuring import Timings, alternate, hardware, report
from sentence_transformers import SentenceTransformer

import tamis
from tamis.encoders.folded.encoder import FoldedEncoder, static_of
from tamis.encoders.minilm import minilm_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Side: TypeAlias = Callable[[list[str]], object]

QUICK = "pipeline/demo_collection --passages 50 --repeats 2"

PEER, OWN = "MiniLM by sentence-transformers", "MiniLM by tamis"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("corpus")
    arguments.add_argument(
        "--passages", type=int, default=1500, help="in each round against MiniLM"
    )
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--encoders", nargs="*", default=["tamis-tiny", "tamis-small"])
    arguments.add_argument("--layers", type=int, nargs="*", default=[])
    arguments.add_argument("--width", type=int, default=384)
    chosen = arguments.parse_args()

    texts = [p.full_text for p in tamis.open_corpus(chosen.corpus) if isinstance(p, tamis.Passage)]
    few = rounds_of(texts[: chosen.passages * (chosen.repeats + 1)], chosen.repeats)
    many = rounds_of(texts, chosen.repeats)
    students = {name: tamis.encoder(name) for name in chosen.encoders}
    for layers in chosen.layers:
        name = f"folded L={layers}, width {chosen.width}, random"
        students[name] = tamis.folded(layers, chosen.width)
    tables = {name: materialise(student) for name, student in students.items()}
    static = static_of(next(iter(students.values())))
    static.materialise()
    ours = {name: student.encode_passages for name, student in students.items()}
    minilm = against(few, {**peers(), **ours}, chosen.repeats)
    bag = against(many, {"static": static.encode_passages, **ours}, chosen.repeats)

    tokens = static.count_tokens(texts, "passage").mean()
    lines = []
    for name, seconds in tables.items():
        ms = {side: minilm.median_ms(side) for side in minilm.seconds}
        lines.append(
            {
                "student": name,
                "passages_per_second": round(1e3 * len(few[0]) / ms[name]),
                "peer_ms": ms[PEER],
                "ours_ms": ms[name],
                "ratio": ms[PEER] / ms[name],
                "to_minilm_by_tamis": ms[OWN] / ms[name],
                "to_static": bag.median_ms("static") / bag.median_ms(name),
                "tables_s": seconds,
                "tokens_per_passage": float(tokens),
            }
        )
    report("encode_cpu", lines, hardware(), ["sentence-transformers", "torch", "tokenizers"])


def rounds_of(texts: list[str], repeats: int) -> list[list[str]]:
    """Disjoint rounds of equal size, one more than is counted."""
    size = len(texts) // (repeats + 1)
    return [texts[n * size : (n + 1) * size] for n in range(repeats + 1)]


def peers() -> dict[str, Side]:
    model = SentenceTransformer(str(minilm_folder()), device="cpu")
    return {
        PEER: lambda some: model.encode(some, show_progress_bar=False),
        OWN: tamis.encoder("minilm").encode_passages,
    }


def against(rounds: list[list[str]], sides: dict[str, Side], repeats: int) -> Timings:
    timings = alternate({name: over(rounds, side) for name, side in sides.items()}, repeats)
    print(f"{len(rounds[0])} passages a round")
    print(timings)
    return timings


def materialise(student: FoldedEncoder) -> float:
    """Seconds that filling the tables of the whole vocabulary takes, which happens once."""
    start = time.perf_counter()
    student.materialise()
    return time.perf_counter() - start


def over(rounds: list[list[str]], side: Side) -> Callable[[], object]:
    """The side on the next round's passages, each time it is called."""
    following: Iterator[list[str]] = iter(rounds)
    return lambda: side(next(following))


if __name__ == "__main__":
    main()

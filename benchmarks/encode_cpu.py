"""Text in, vectors out, on the CPU: folded students against sentence-transformers' MiniLM.

    .venv/bin/python benchmarks/encode_cpu.py CORPUS [--passages 1500] [--repeats 5] [--width 384]

Every round takes passages that no round had before; all sides encode the same ones, in turn. The
students' weights are random: speed does not depend on them. ``static`` is the students' token
table without any layer; MiniLM through tamis stands beside sentence-transformers' own, which runs
as its documentation shows it (batches of 32, sorted by length).
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from measuring import alternate, hardware, report
from sentence_transformers import SentenceTransformer

import tamis
from tamis.encoders.folded.encoder import FoldedEncoder, static_of
from tamis.encoders.minilm import minilm_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("corpus")
    arguments.add_argument("--passages", type=int, default=1500, help="in each round")
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--layers", type=int, nargs="+", default=[1, 2, 3, 4])
    arguments.add_argument("--width", type=int, default=384)
    chosen = arguments.parse_args()

    passages = (p for p in tamis.open_corpus(chosen.corpus) if isinstance(p, tamis.Passage))
    wanted = chosen.passages * (chosen.repeats + 1)
    texts = [passage.full_text for passage in islice(passages, wanted)]
    if len(texts) < wanted:
        raise SystemExit(f"{chosen.corpus} has {len(texts)} passages, {wanted} are needed")
    rounds = [texts[start : start + chosen.passages] for start in range(0, wanted, chosen.passages)]

    students = {layers: tamis.folded(layers, chosen.width) for layers in chosen.layers}
    warm_up = [materialise(student, texts) for student in students.values()]
    static = static_of(students[chosen.layers[0]])
    peer = SentenceTransformer(str(minilm_folder()), device="cpu")
    own = tamis.encoder("minilm")
    sides: dict[str, Callable[[list[str]], object]] = {
        "MiniLM by sentence-transformers": lambda some: peer.encode(some, show_progress_bar=False),
        "MiniLM by tamis": own.encode_passages,
        "static": static.encode_passages,
        **{f"folded L={n}": student.encode_passages for n, student in students.items()},
    }
    timings = alternate({name: over(rounds, side) for name, side in sides.items()}, chosen.repeats)
    print(timings)
    tokens = int(own.count_tokens(texts, "passage").sum()) / len(texts)
    lines: list[dict[str, Any]] = []
    for (layers, _), seconds in zip(students.items(), warm_up, strict=True):
        name = f"folded L={layers}"
        speed = {side: 1e3 * chosen.passages / timings.median_ms(side) for side in sides}
        lines.append(
            {
                "student": f"{name}, width {chosen.width}",
                "passages_per_second": round(speed[name]),
                "peer_ms": timings.median_ms("MiniLM by sentence-transformers"),
                "ours_ms": timings.median_ms(name),
                "ratio": speed[name] / speed["MiniLM by sentence-transformers"],
                "to_minilm_by_tamis": speed[name] / speed["MiniLM by tamis"],
                "to_static": speed[name] / speed["static"],
                "tables_s": seconds,
                "tokens_per_passage": tokens,
            }
        )
    report("encode_cpu", lines, hardware(), ["sentence-transformers", "torch", "tokenizers"])


def materialise(student: FoldedEncoder, texts: list[str]) -> float:
    """Seconds that filling the tables of the whole vocabulary takes, which happens once."""
    start = time.perf_counter()
    student.materialise()
    took = time.perf_counter() - start
    student.encode_passages(texts[:10])
    return took


def over(rounds: list[list[str]], side: Callable[[list[str]], object]) -> Callable[[], object]:
    """The side on the next round's passages, each time it is called."""
    following: Iterator[list[str]] = iter(rounds)
    return lambda: side(next(following))


if __name__ == "__main__":
    main()

"""What a quality model learned from one collection's judgments knows of its other queries.

    .venv/bin/python benchmarks/quality_auc.py COLLECTIONS [--only wikiqa-passage scifact]
        [--json FILE]

COLLECTIONS holds BEIR folders. The measure is the area under the ROC curve of "relevant to some
test query" among the passages, without those that are relevant to a train or dev query; the
interval is a bootstrap over queries, 2,000 resamples, seed 0. It stands twice: over all these
passages, and over those that no model had among its texts, as one that remembers what was not
wanted before is flattered by the first.

The models: the shipped one; one trained by ``tamis train quality`` on the train split, settings
chosen on dev from TRIALS; logistic regression over TF-IDF (``quality_baselines.py``) and over the
cheap features, penalty and labels chosen on dev; length; random. They learn from the same labels:
judged passages, and the best that BM25 finds for a train query and nobody judged, as not wanted.
A collection without a dev split lends every fifth train query to one, and the shipped model is not
gone on from where it has learned from those queries. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from measuring import hardware
from quality_baselines import PENALTIES, fit_cheap, fit_tfidf

from tamis.core.corpus import Flaw, open_corpus
from tamis.core.progress import Silent
from tamis.core.qrels import read_qrels
from tamis.encoders.quality.chance import RandomQuality
from tamis.encoders.quality.length import LengthQuality
from tamis.encoders.quality.recurrent import load_recurrent
from tamis.eval.discrimination import area_under_roc, clustered_difference, clustered_interval
from tamis.pipeline.label_settings import LabelSettings
from tamis.pipeline.labelling import labels
from tamis.pipeline.quality_training import train_quality

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, TypeAlias

    from numpy.typing import NDArray
    from quality_baselines import Scorer

    Judgments: TypeAlias = dict[str, dict[str, int]]
    Choice: TypeAlias = tuple[float, str, NDArray[Any]]

SHIPPED = Path(__file__).resolve().parents[1] / "encoders" / "models" / "tamis-quality"
SHIPPED_SAW = ("scifact", "squad2-dev-part")
"""Collections whose judgments are in its recipe."""
UNJUDGED = (0, 3)
SEED = 0


@dataclass(frozen=True)
class Trial:
    """Settings of a training; ``start``: go on from the shipped model."""

    start: bool
    unjudged: int
    epochs: float
    rate: float

    def __str__(self) -> str:
        begun = "from the shipped" if self.start else "new"
        return f"{begun}, {self.unjudged} unjudged, {self.epochs:g} epochs, rate {self.rate:g}"


TRIALS = (
    Trial(False, 0, 4, 2e-3),
    Trial(False, 3, 4, 2e-3),
    Trial(True, 0, 2, 5e-4),
    Trial(True, 3, 2, 5e-4),
    Trial(True, 0, 6, 1e-3),
    Trial(True, 3, 6, 1e-3),
)

SPEC = """recipe = "quality"
seed = {seed}
half = true
[model]
layers = 1
width = 128
rank = 128
max_length = 256
start = {start}
[quality]
held_out = 0.0
[schedule]
epochs = {epochs}
batch_tokens = 4096
rate = {rate}
table_rate = {rate}
warmup = 10
[[labels]]
source = "judged"
corpus = {corpus}
qrels = {qrels}
unjudged = {unjudged}
"""


class Collection:
    """Passages [n], and what the queries of each split say about them."""

    def __init__(self, folder: Path, work: Path) -> None:
        self.folder = folder.resolve()
        passages = [item for item in open_corpus(folder) if not isinstance(item, Flaw)]
        self.ids = [passage.id for passage in passages]
        self.texts = [passage.full_text for passage in passages]
        judged = {split: _judged(folder, split) for split in ("train", "dev", "test")}
        self.lent = not judged["dev"]
        if self.lent:
            queries = sorted(judged["train"])
            judged["dev"] = {query: judged["train"].pop(query) for query in queries[::5]}
        self.judged = judged
        self.qrels = work / f"{folder.name}.train.tsv"
        rows = (f"{q}\t{p}\t{g}\n" for q, own in judged["train"].items() for p, g in own.items())
        self.qrels.write_text("query-id\tcorpus-id\tscore\n" + "".join(rows), "utf-8")
        self.learned = {unjudged: self._labelled(unjudged) for unjudged in UNJUDGED}
        used = {text for own in self.learned.values() for text in own[0]}
        self.fresh = np.array([text not in used for text in self.texts])

    def wanted(self, *splits: str) -> NDArray[np.bool_]:
        """[n]: relevant to some query of these splits."""
        found = {
            passage
            for split in splits
            for own in self.judged[split].values()
            for passage, grade in own.items()
            if grade > 0
        }
        return np.array([id_ in found for id_ in self.ids])

    def queries(self, split: str) -> list[list[str]]:
        """[n]: the queries that judged each."""
        found: dict[str, list[str]] = {}
        for query, own in self.judged[split].items():
            for passage in own:
                found.setdefault(passage, []).append(query)
        return [found.get(id_, []) for id_ in self.ids]

    def on_dev(self, scores: NDArray[Any]) -> float:
        """Of "relevant to some dev query"; no word of the test queries."""
        among = ~self.wanted("train")
        return area_under_roc(scores[among], self.wanted("dev")[among])

    def _labelled(self, unjudged: int) -> tuple[list[str], NDArray[np.bool_]]:
        settings = LabelSettings(
            "judged", str(self.folder), qrels=str(self.qrels), unjudged=unjudged
        )
        seen = [each.labelled for each in labels(settings, SEED, Counter(), Silent())]
        return [each.text for each in seen], np.array([each.label == 1 for each in seen])


def _judged(folder: Path, split: str) -> Judgments:
    path = folder / "qrels" / f"{split}.tsv"
    return dict(read_qrels(path).judgments) if path.is_file() else {}


def trained(found: Collection, work: Path) -> Iterator[Choice]:
    """(area on dev, settings, scores) of every trial."""
    for number, trial in enumerate(TRIALS):
        if trial.start and found.lent and found.folder.name in SHIPPED_SAW:
            continue  # its area on dev would be that of what it has learned
        if found.learned[trial.unjudged][1].all():
            continue  # nothing that is judged and not wanted
        spec = work / f"{found.folder.name}.{number}.toml"
        words = {
            "seed": SEED,
            "start": json.dumps(str(SHIPPED) if trial.start else ""),
            "epochs": trial.epochs,
            "rate": trial.rate,
            "corpus": json.dumps(str(found.folder)),
            "qrels": json.dumps(str(found.qrels)),
            "unjudged": trial.unjudged,
        }
        spec.write_text(SPEC.format(**words), "utf-8")
        begun = time.perf_counter()
        scores = train_quality(spec, spec.with_suffix("")).score(found.texts)
        seconds = time.perf_counter() - begun
        area = found.on_dev(scores)
        print(f"  dev {area:.3f}  {trial} ({seconds:.0f} s)", flush=True)
        yield area, str(trial), scores


def fitted(
    fit: Callable[[Sequence[str], NDArray[np.bool_], float], Scorer], found: Collection
) -> Iterator[Choice]:
    """(area on dev, settings, scores) of every penalty and set of labels."""
    for unjudged, (texts, wanted) in found.learned.items():
        if wanted.all():
            continue  # nothing that is judged and not wanted
        for penalty in PENALTIES:
            scores = fit(texts, wanted, penalty)(found.texts)
            yield found.on_dev(scores), f"{unjudged} unjudged, penalty {penalty:g}", scores


def measured(folder: Path, work: Path) -> dict[str, Any]:
    """The table of one collection, printed and given."""
    found = Collection(folder, work)
    among = ~found.wanted("train", "dev")
    wanted, queries = found.wanted("test"), found.queries("test")
    parts = {"all": np.flatnonzero(among), "unseen": np.flatnonzero(among & found.fresh)}
    counts = {name: (len(rows), int(wanted[rows].sum())) for name, rows in parts.items()}
    told = "; ".join(f"{name} {n:,}, {yes:,} relevant" for name, (n, yes) in counts.items())
    print(f"{folder.name}: {told}", flush=True)

    def best(choices: Iterator[Choice]) -> tuple[str, NDArray[Any]]:
        _, settings, scores = max(choices, key=lambda each: each[0])
        return settings, scores

    def plain(score: Scorer) -> tuple[str, NDArray[Any]]:
        return "", np.asarray(score(found.texts))

    rows = {
        "shipped": partial(plain, load_recurrent(SHIPPED).score),
        "trained": lambda: best(trained(found, work)),
        "TF-IDF": lambda: best(fitted(fit_tfidf, found)),
        "features": lambda: best(fitted(fit_cheap, found)),
        "length": partial(plain, LengthQuality().score),
        "random": partial(plain, RandomQuality().score),
    }
    chosen = {name: make() for name, make in rows.items()}
    body: dict[str, Any] = {"passages": counts, "models": {}, "trained minus TF-IDF": {}}
    for name, (settings, scores) in chosen.items():
        line = {"dev": found.on_dev(scores), "settings": settings}
        for part, rows_of in parts.items():
            labelled = wanted[rows_of], [queries[row] for row in rows_of]
            area = clustered_interval(scores[rows_of], *labelled)
            line[part] = [area.value, area.low, area.high]
        body["models"][name] = line
        cells = "  ".join(f"{part} {_shown(*line[part])}" for part in parts)
        print(f"  {name:9} dev {line['dev']:.3f}  {cells}  {settings}", flush=True)
    for part, rows_of in parts.items():
        pair = [chosen[name][1][rows_of] for name in ("trained", "TF-IDF")]
        labelled = wanted[rows_of], [queries[row] for row in rows_of]
        gap = clustered_difference(*pair, *labelled)
        body["trained minus TF-IDF"][part] = [gap.delta, gap.low, gap.high, gap.p]
        print(
            f"  trained minus TF-IDF, {part}: {_shown(gap.delta, gap.low, gap.high)}, p {gap.p:.4f}"
        )
    return body


def _shown(value: float, low: float | None, high: float | None) -> str:
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("collections", type=Path)
    parser.add_argument("--only", nargs="+", default=["wikiqa-passage", "scifact"])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    body = {"command": shlex.join(["python", *sys.argv]), "hardware": hardware()}
    print(f"{body['command']}\n{body['hardware']}")
    with tempfile.TemporaryDirectory() as work:
        for name in asked.only:
            body[name] = measured(asked.collections / name, Path(work))
    if asked.json:
        asked.json.write_text(json.dumps(body, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

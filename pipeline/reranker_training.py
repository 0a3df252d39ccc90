"""Train a reranker: encoder, first stage, recipe and loop are put together here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ..core.errors import BadArguments
from ..core.progress import Silent
from ..core.qrels import read_qrels
from ..core.queries import read_queries
from ..encoders.folded.encoder import FoldedEncoder
from ..eval.comparison import evaluate_named
from ..rerank.hypencoder.kind import KIND as HYPENCODER
from .components import encoder as load_encoder
from .components import reranker as load_reranker
from .components import token_encoder
from .pair_sources import read_passages
from .reranker_spec import JUDGED, CrossTable, ModelTable, RerankerSpec, read_reranker_spec
from .training import draw_figure, settle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..core.progress import Progress
    from ..core.protocols import Reranker
    from ..core.records import Float32Array, Passage, Query
    from ..rerank.hypencoder.scorer import BothEncoder, HypencoderScorer
    from ..rerank.neural.scorer import Scorer
    from ..rerank.neural.words import Words
    from ..rerank.training.cross_scorer import CrossScorer
    from ..rerank.training.lists import GradedList, Negatives
    from ..rerank.training.recipe import DevValue, LearningScorer
    from .opening import Mode


def train_reranker(
    spec: str | Path,
    output: str | Path,
    *,
    data: str | Path | None = None,
    progress: Progress | None = None,
) -> Reranker:
    """Train the reranker that a TOML spec describes, save it as a model folder and load it.

    ``output`` must not exist; ``OUTPUT.training`` beside it keeps the checkpoint, the log and a
    figure of the losses. Killed, the same call goes on from the checkpoint, to the same weights.
    Relative paths in the spec start at ``data``, by default the spec's folder. BadArguments,
    BadData or MissingResource for a wrong spec, before an encoder is loaded.
    """
    from ..rerank.training.cross_folder import save_cross

    goal = Path(output)
    if goal.exists():
        raise BadArguments(f"{goal} exists; remove it or choose another name for the model")
    read = read_reranker_spec(Path(spec), Path(data) if data is not None else None)
    folder, progress = goal.with_name(f"{goal.name}.training"), progress or Silent()
    extra = {"training.toml": Path(spec).read_text("utf-8")}
    if isinstance(read.model, CrossTable):
        cross, trained_on = trained_cross(read, folder, progress)
        save_cross(cross, goal, trained_on=trained_on, extra=extra)
    else:
        scorer, trained_on = trained_scorer(read, folder, progress)
        _save(scorer, goal, trained_on, extra)
    return load_reranker(str(goal))


def trained_cross(spec: RerankerSpec, folder: Path, progress: Progress) -> tuple[CrossScorer, str]:
    """As ``trained_scorer``, of a spec whose model is a cross-encoder."""
    import torch

    from ..rerank.training.cross_scorer import CrossScorer

    table = spec.model
    assert isinstance(table, CrossTable)
    settle(spec.threads)
    lists, dev = _lists(spec, progress)
    torch.manual_seed(spec.seed)
    scorer = CrossScorer.begin(
        _start_of(spec, table.start),
        layers=table.layers,
        query_pieces=table.query_pieces,
        passage_pieces=table.passage_pieces,
    )
    _teach(scorer, spec, lists, dev, folder, progress)
    return scorer, _trained_on(spec, lists)


def trained_scorer(
    spec: RerankerSpec, folder: Path, progress: Progress, words: Words | None = None
) -> tuple[Scorer | HypencoderScorer, str]:
    """The model at the end of the run, and a sentence about its data; ``folder`` keeps the run.

    ``words`` are those of the spec's encoder, where the caller has them already.
    """
    import torch

    table = spec.model
    assert isinstance(table, ModelTable)
    settle(spec.threads)
    reads = words or _read_by(table)
    lists, dev = _lists(spec, progress)
    torch.manual_seed(spec.seed)
    scorer = _untrained(table, reads)
    _teach(scorer, spec, lists, dev, folder, progress)
    return scorer, _trained_on(spec, lists)


def _teach(
    scorer: LearningScorer,
    spec: RerankerSpec,
    lists: Sequence[GradedList],
    dev: Sequence[GradedList],
    folder: Path,
    progress: Progress,
) -> None:
    from ..encoders.training.loop import train
    from ..rerank.training.recipe import RankingRecipe

    recipe = RankingRecipe(
        scorer,
        lists,
        loss=spec.loss,
        epochs=spec.schedule.epochs,
        batch_pieces=spec.schedule.batch_tokens,
        seed=spec.seed,
        dev=(f"dev {spec.dev.measure}", dev, dev_value(dev, spec.dev.measure)) if dev else None,
    )
    train(recipe, spec, folder, progress=progress)
    draw_figure(folder)
    scorer.model.eval()


def _start_of(spec: RerankerSpec, start: str) -> str:
    """A folder where there is one, or else a name of the hub."""
    if start == "minilm" and not spec.path(start).is_dir():
        from ..encoders.minilm import minilm_folder

        return str(minilm_folder())
    return spec.path_or_name(start)


def _read_by(table: ModelTable) -> Words | BothEncoder:
    """What turns texts into what the model reads."""
    if table.name == HYPENCODER:
        return cast("BothEncoder", token_encoder(table.encoder))
    return words_of(table.encoder)


def _untrained(table: ModelTable, reads: Words | BothEncoder) -> Scorer | HypencoderScorer:
    """The model with what it reads by, its weights drawn from torch's generator."""
    from ..rerank.hypencoder import folder as hypencoder
    from ..rerank.hypencoder.scorer import HypencoderScorer
    from ..rerank.hypencoder.spec import HypencoderSpec
    from ..rerank.neural import spec as neural
    from ..rerank.neural.scorer import Scorer
    from ..rerank.neural.words import Words

    if not isinstance(reads, Words):
        own = HypencoderSpec(
            encoder=reads.card.name,  # a folder's is its whole path
            fingerprint=reads.card.fingerprint,
            dim=reads.card.dim,
            query_pieces=table.query_pieces,
            options=table.options,
        )
        return HypencoderScorer(hypencoder.build(own), reads, own)
    described = neural.NeuralSpec(
        model=table.name,
        vocabulary=len(reads.directions),
        dim=reads.dim,
        query_pieces=table.query_pieces,
        passage_pieces=table.passage_pieces,
        title=table.title,
        words_of=table.encoder,
        options=table.options,
    )
    return Scorer(neural.build(described), reads, described)


def _save(
    scorer: Scorer | HypencoderScorer, goal: Path, trained_on: str, extra: Mapping[str, str]
) -> None:
    """Each kind in its own form of folder."""
    from ..rerank.hypencoder import folder as hypencoder
    from ..rerank.hypencoder.scorer import HypencoderScorer
    from ..rerank.neural import model_folder as neural

    if isinstance(scorer, HypencoderScorer):
        hypencoder.save(scorer, goal, trained_on=trained_on, extra=extra)
    else:
        neural.save(scorer, goal, trained_on=trained_on, extra=extra)


def words_of(name: str) -> Words:
    """Word pieces and their vectors by an encoder's name or path.

    A folded student's table: what each piece adds to a text's vector before the recurrent layers
    do. BadArguments for an encoder that has no such table.
    """
    from ..rerank.neural.words import Words

    found = load_encoder(name)
    if not isinstance(found, FoldedEncoder):
        raise BadArguments(
            f"the encoder {name!r} has no vectors of single word pieces; name a folded student, "
            f"such as tamis-small"
        )
    weights = found.weights
    vectors = weights.table.rows(slice(None))
    if weights.base is not None:
        vectors = vectors @ weights.base
    return Words.of(found.pieces, vectors * weights.weight[:, None])


def dev_value(lists: Sequence[GradedList], measure: str) -> DevValue:
    """The mean of a measure over lists, from the scores of their candidates."""
    judgments = {
        each.query.id: {
            passage.id: int(grade)
            for passage, grade in zip(each.passages, each.grades, strict=True)
        }
        for each in lists
    }

    def value(scores: Sequence[Float32Array]) -> float:
        run = {
            each.query.id: dict(zip(judgments[each.query.id], own.tolist(), strict=True))
            for each, own in zip(lists, scores, strict=True)
        }
        found = evaluate_named("dev", run, judgments, [measure], "trec", False)
        return float(found.value(measure))

    return value


def _lists(spec: RerankerSpec, progress: Progress) -> tuple[list[GradedList], list[GradedList]]:
    """To learn from and to watch, the latter empty without a dev split."""
    collection = spec.path(spec.data.collection)
    passages = {each.id: each for each in read_passages(str(collection), progress)}
    path = next(iter(sorted(collection.glob("queries.jsonl*"))), collection)
    queries = list(read_queries(path))
    train = _of_split(spec, spec.data.split, queries, passages, learning=True)
    if spec.data.teacher:
        train = _taught(train, load_reranker(spec.path_or_name(spec.data.teacher)))
    if not spec.dev.split:
        return train, []
    return train, _of_split(spec, spec.dev.split, queries, passages, learning=False)


def _of_split(
    spec: RerankerSpec,
    split: str,
    queries: Sequence[Query],
    passages: Mapping[str, Passage],
    *,
    learning: bool,
) -> list[GradedList]:
    from ..rerank.training.lists import graded_lists, judged_candidates

    judgments = read_qrels(spec.judgments(split)).judgments
    own = [query for query in queries if query.id in judgments]
    judged = spec.data.candidates == JUDGED
    candidates = judged_candidates(judgments) if judged else _first_stage(spec)
    return graded_lists(own, judgments, candidates, passages, add_relevant=learning)


def _first_stage(spec: RerankerSpec) -> Negatives:
    """The best candidates of an index, by its first stage."""
    from .opening import open_index

    searcher = open_index(spec.path(spec.data.candidates)).searcher(
        spec.data.depth, mode=cast("Mode", spec.data.mode)
    )
    return lambda queries: searcher.run(queries).ids()


def _taught(lists: Sequence[GradedList], teacher: Reranker) -> list[GradedList]:
    from ..rerank.training.recipe import candidates_of

    scores = teacher.score([candidates_of(each) for each in lists])
    return [
        replace(each, teacher=np.asarray(own, np.float32))
        for each, own in zip(lists, scores, strict=True)
    ]


def _trained_on(spec: RerankerSpec, lists: Sequence[GradedList]) -> str:
    name = Path(spec.data.collection).name
    number = sum(len(each.passages) for each in lists)
    return (
        f"Trained on {len(lists)} queries and {number} candidates of {name} "
        f"({spec.data.split}), loss {spec.loss}, seed {spec.seed}."
    )

"""Corpus to index folder: check, copy and prune the passages, encode, index, describe, rename."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..core.corpus import open_corpus
from ..core.errors import BadArguments
from ..core.manifest import Manifest
from ..core.optional import need
from ..core.progress import Silent
from ..index.building.shards import SHARD_ROWS, VectorShards
from ..index.building.workplace import Workplace
from ..index.lexical import LexicalSettings, check_engine, check_tiers
from ..index.passages import NAME as PASSAGES
from ..index.passages import PassageTable
from ..index.recipes import parse_recipe
from .adapting import MINILM, Adapter
from .asymmetric import OWN, choose_query_encoder
from .auto_keep import AutoKeep
from .choices import DEFAULT_ENCODER
from .cold.building import ColdBuild
from .components import encoder as load_encoder
from .index_parts import counts_of, index_vectors, index_words, records_of
from .intake import take_in
from .opening import open_index
from .pruning import Asked, Pruner
from .token_vectors import check_bits, check_encoder, index_tokens

if TYPE_CHECKING:
    from ..core.progress import Progress
    from ..core.protocols import Encoder, QualityModel, QualityRecipe
    from .opening import Index


def build(
    corpus: str | Path,
    folder: str | Path,
    *,
    encoder: str | Encoder = DEFAULT_ENCODER,
    query_encoder: str | Encoder | None = None,
    adapt: int | None = None,
    teacher: str | None = None,
    quality: str | Path | QualityModel | QualityRecipe | None = None,
    keep: float | Literal["auto"] | None = None,
    dev_queries: str | None = None,
    dev_qrels: str | None = None,
    min_quality: float | None = None,
    protect: str | Path | None = None,
    near_duplicates: float | None = None,
    cold: bool = False,
    lexical: Literal["bm25s", "lucene", "none"] = "bm25s",
    k1: float = 0.9,
    b: float = 0.4,
    ann: str = "flat",
    token_vectors: int | None = None,
    passage_words: int | None = None,
    passage_stride: int | None = None,
    on_error: Literal["fail", "skip"] = "fail",
    device: str = "cpu",
    overwrite: bool = False,
    shard_rows: int = SHARD_ROWS,
    progress: Progress | None = None,
) -> Index:
    """Build an index folder from a corpus and open it.

    ``query_encoder`` is for queries alone and must share the space of ``encoder``; "own" is
    ``encoder`` itself. Where none is given, queries to a student of MiniLM are MiniLM's own, if it
    is installed. ``adapt`` tunes ``encoder``, a student of ``teacher`` (minilm if not given), for a
    few minutes on what the teacher says of so many passages of the corpus; the index holds the
    tuned encoder.

    ``quality``, ``keep``, ``min_quality``: every passage is scored by ``quality`` (a model, its
    name or file, or a .npy file of scores; the default model if not given), and only the best
    ceil(``keep`` * n), or those that score ``min_quality``, are indexed; "auto" keeps as few as
    answer ``dev_queries`` as well, by ``dev_qrels``, and leaves the curve in FOLDER.pruning.
    ``protect``, a file of
    ids, stay whatever they score. ``near_duplicates``, a similarity of .1 to 1, leaves out what
    repeats an earlier passage that much, before anything is scored, protected ids apart. ``cold``
    keeps what scored too little in an index of its own inside this one, which a search asks where
    the answer looks unsure; BM25 then scores as if it had not been cut. With ``overwrite``, what
    the index that is replaced knows of the same corpus is used: its scores by the same model, and
    an exact index's vectors by the same encoder.

    ``token_vectors`` keeps a vector of every token, by ``encoder``, in 4 or 8 bits a dimension:
    ``maxsim`` with that encoder takes them from here. The cold tier keeps none.

    Works in ``FOLDER.building``; killed, it resumes when the same call is made again, and loses
    at most the ``shard_rows`` passages it was encoding. ``on_error="skip"`` leaves out what is
    malformed and lists it in ``FOLDER.skipped.jsonl``. Raises BadArguments (the index exists),
    BadData (the corpus has errors, or no passage), Mismatch (the encoders may not meet),
    MissingResource, MissingDependency, FailedWhileRunning (disk full, another build is running).
    """
    recipe = parse_recipe(ann)
    settings = None if lexical == "none" else LexicalSettings(lexical, k1=k1, b=b)
    need("faiss", "a dense index")
    _check(settings, cold, on_error, teacher, adapt, shard_rows, token_vectors)
    auto, share = AutoKeep.asked(keep, dev_queries, dev_qrels, quality)
    if auto is not None:
        auto.refuse(adapt=adapt, near_duplicates=near_duplicates, passage_words=passage_words)
    pruner = Pruner.of(Asked(quality, share, min_quality, protect, near_duplicates, cold, device))
    source = open_corpus(corpus, passage_words=passage_words, passage_stride=passage_stride)
    watched = progress or Silent()
    with Workplace(Path(folder), overwrite=overwrite) as place:
        loaded = load_encoder(encoder, device=device) if isinstance(encoder, str) else encoder
        check_encoder(loaded, token_vectors)
        asked = OWN if query_encoder == encoder else query_encoder
        queries = choose_query_encoder(asked, loaded, device=device)
        if auto is not None and pruner is not None:
            pruner.take(auto.chosen(corpus, place.goal, loaded, queries, settings, watched))
        adapter = None if adapt is None else Adapter(loaded, adapt, teacher or MINILM, device)
        skipped_file = place.goal.with_name(f"{place.goal.name}.skipped.jsonl")
        taken = take_in(source, place.draft, on_error, skipped_file, watched)
        counts = {"corpus": taken.rows + taken.skipped, "skipped": taken.skipped}
        pruned = (
            None if pruner is None else pruner.pruned(taken, place, shard_rows, watched, loaded)
        )
        taken = taken if pruned is None else pruned.taken
        table = PassageTable(place.draft / PASSAGES, taken.batches, taken.rows, None)
        below = ColdBuild.of(pruned, place, recipe, loaded.card.dim)
        told = None
        if adapter is not None:
            tuned, told = adapter.adapted(table, place, watched)
            loaded, queries = tuned, tuned if queries is loaded else queries
        tokens = None if pruned is None else pruned.tokens_for(loaded)
        shards = VectorShards(place.vectors, loaded, taken.rows, shard_rows, tokens)
        with watched.stage("encode", taken.rows) as advance:
            known = None if pruned is None else pruned.known(loaded.card)
            shards.complete(lambda a, z: [p.full_text for p in table.stream(a, z)], advance, known)
        report = index_vectors(recipe, shards, loaded.card.dim, place.draft, device, watched)
        kept_tokens = index_tokens(loaded, token_vectors, table, place, shard_rows, watched)
        tiers = [(table, place.draft)]
        if below is not None:
            below.add_vectors(loaded, shard_rows, device, watched)
            tiers.append((below.table, below.folder))
        if settings is not None:
            index_words(settings, tiers, watched)
        manifest = Manifest(
            passage_encoder=loaded.card,
            query_encoder=queries.card,
            counts={**counts, **counts_of(shards)},
            corpus={"source": _name(source.source), "format": source.format},
            ann=report.to_json(),
            lexical=settings.to_json() if settings else None,
            passage_batches=taken.batches,
            files={},
            pruning=None if pruned is None else pruned.told,
            adaptation=told,
            near_duplicates=None if pruned is None else pruned.repeated,
            tokens=kept_tokens,
        )
        if below is not None:
            manifest = below.described(manifest, table, queries, watched)
        replace(manifest, files=records_of(place.draft)).write(place.draft)
        place.publish()
    return open_index(place.goal, encoder=loaded, query_encoder=queries, device=device)


def _check(
    settings: LexicalSettings | None,
    cold: bool,
    on_error: str,
    teacher: str | None,
    adapt: int | None,
    shard_rows: int,
    token_vectors: int | None,
) -> None:
    """What can be refused before anything is read or loaded."""
    if settings is not None and cold:
        check_tiers(settings)
    if settings is not None:
        check_engine(settings)
    check_bits(token_vectors)
    if on_error not in ("fail", "skip"):
        raise BadArguments(f"on_error is {on_error!r}; known: fail, skip")
    if teacher is not None and adapt is None:
        raise BadArguments(f"teacher is {teacher!r}, and nothing is adapted: say adapt=20000, too")
    if shard_rows < 1:
        raise BadArguments(f"shard_rows is {shard_rows}; a shard holds at least one passage")


def _name(source: str) -> str:
    """The last part of a path; bytes that are no UTF-8 become question marks."""
    return Path(source).name.encode("utf-8", "replace").decode("utf-8")

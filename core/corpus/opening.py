"""Recognise a corpus by what is there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadArguments, MissingResource
from .flaws import Flaw
from .irds import PREFIX, load_irds, read_irds
from .jsonlines import ID_KEYS, TEXT_KEYS, choose_keys, read_json_lines
from .lines import text_lines
from .parquet import choose_columns, read_parquet
from .splitting import split_all
from .stream import Corpus
from .textfolder import SUFFIXES, read_text_folder, text_files
from .trec import read_trec
from .tsv import read_tsv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .stream import Located

FORMATS = (
    "a BEIR folder (corpus.jsonl or corpus.jsonl.gz), MS MARCO TSV (.tsv), JSON lines (.jsonl, "
    ".ndjson, .json), TREC text (.trec, or a folder of them), each also as .gz, Parquet (.parquet, "
    "or a folder of them), a folder of .txt and .md files, or irds:ID"
)
JSON_LINES = (".jsonl", ".ndjson", ".json")


def open_corpus(
    source: str | Path, *, passage_words: int | None = None, passage_stride: int | None = None
) -> Corpus:
    """The corpus at ``source``; nothing but its first lines is read before it is iterated.

    With ``passage_words``, texts are split into passages of at most that many words, each
    beginning ``passage_stride`` words after the last (default: no overlap), see ``splitting``.
    Raises MissingResource where nothing is, BadArguments where nothing is recognised.
    """
    stride = checked_stride(passage_words, passage_stride)
    corpus = _recognise(str(source))
    if passage_words is None:
        return corpus
    fields = f"texts split at {passage_words} words, every {stride}"
    return Corpus(
        corpus.source,
        corpus.format,
        f"{corpus.fields}; {fields}" if corpus.fields else fields,
        lambda: split_all(corpus.located(), passage_words, stride),
    )


def checked_stride(words: int | None, stride: int | None) -> int:
    """The stride to use; BadArguments when some words would fall between two passages."""
    if words is None:
        if stride is not None:
            raise BadArguments(f"a passage stride of {stride} needs the passage words as well")
        return 0
    if words < 1:
        raise BadArguments(f"passage words is {words}; expected 1 or more")
    if stride is None:
        return words
    if not 1 <= stride <= words:
        raise BadArguments(f"passage stride is {stride}; expected 1 to {words}, the passage words")
    return stride


def _recognise(source: str) -> Corpus:
    if source.startswith(PREFIX):
        load_irds(source, "docs")
        return Corpus(source, "irds", "", partial(read_irds, source))
    path = Path(source)
    try:
        if path.is_dir():
            return _folder(source, path)
        if path.is_file():
            return _file(source, path)
        if path.exists():
            raise BadArguments(f"{source} is no regular file; a corpus is read more than once")
    except (OSError, ValueError) as failure:  # a name too long, one with a NUL, no permission
        raise MissingResource(f"{source!r} cannot be read: {failure}") from failure
    raise MissingResource(f"{source} is not there; expected {FORMATS}")


def _folder(source: str, folder: Path) -> Corpus:
    for name in ("corpus.jsonl", "corpus.jsonl.gz"):
        if (folder / name).is_file():
            keys = choose_keys(folder / name, ("_id", *ID_KEYS), TEXT_KEYS)
            read = partial(read_json_lines, folder / name, name, keys)
            return Corpus(source, "beir", str(keys), read)
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    parquet = [name for name in names if name.lower().endswith(".parquet")]
    if parquet:
        columns = choose_columns(folder / parquet[0])
        readers = [partial(read_parquet, folder / name, name, columns) for name in parquet]
        return Corpus(source, "parquet", str(columns), partial(_one_after_another, readers))
    trec = [name for name in names if name.lower().removesuffix(".gz").endswith(".trec")]
    if trec:
        trecs = [partial(read_trec, folder / name, name) for name in trec]
        return Corpus(source, "trec", "", partial(_one_after_another, trecs))
    data = [name for name in names if _kind(name) is not None]
    if data:
        raise BadArguments(f"{source} holds {data[0]} but no corpus.jsonl; name the file itself")
    if text_files(folder):
        return Corpus(source, "text", "", partial(read_text_folder, folder))
    raise BadArguments(f"{source} holds nothing that is a corpus; expected {FORMATS}")


def _one_after_another(readers: Sequence[Callable[[], Iterator[Located]]]) -> Iterator[Located]:
    for reader in readers:
        yield from reader()


def _kind(name: str) -> str | None:
    """ "jsonl", "msmarco", "parquet" or "trec" by a file's name; None when it tells nothing."""
    plain = name.lower().removesuffix(".gz")
    if plain.endswith(JSON_LINES):
        return "jsonl"
    if name.lower().endswith(".parquet"):
        return "parquet"
    return {".tsv": "msmarco", ".trec": "trec"}.get(Path(plain).suffix)


def _file(source: str, path: Path) -> Corpus:
    kind = _kind(path.name) or ("trec" if _begins_with_doc(path) else None)
    if kind == "jsonl":
        keys = choose_keys(path, ID_KEYS, TEXT_KEYS)
        return Corpus(source, kind, str(keys), partial(read_json_lines, path, path.name, keys))
    if kind == "msmarco":
        return Corpus(source, kind, "", partial(read_tsv, path, path.name))
    if kind == "parquet":
        columns = choose_columns(path)
        return Corpus(source, kind, str(columns), partial(read_parquet, path, path.name, columns))
    if kind == "trec":
        return Corpus(source, kind, "", partial(read_trec, path, path.name))
    way_out = "; name its folder" if path.suffix.lower() in SUFFIXES else ""
    raise BadArguments(f"{source} is no corpus that can be recognised{way_out}; expected {FORMATS}")


def _begins_with_doc(path: Path) -> bool:
    """TREC files often have no extension; their first line tells."""
    _, line = next(text_lines(path, path.name), ("", ""))
    return not isinstance(line, Flaw) and line.lstrip().upper().startswith("<DOC>")

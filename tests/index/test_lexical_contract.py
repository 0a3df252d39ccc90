"""What every BM25 engine promises: order, ties, edge cases, alignment with the rows."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.errors import BadArguments, BadData, MissingDependency, MissingResource
from tamis.core.records import Query
from tamis.index.lexical import LexicalSettings, build_lexical, open_lexical
from tamis.index.lexical.jvm import load as load_java

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tamis.core.records import Ranking
    from tamis.index.lexical import LexicalIndex


@pytest.fixture(params=["bm25s", pytest.param("lucene", marks=pytest.mark.lucene)])
def settings(request: pytest.FixtureRequest) -> LexicalSettings:
    if request.param == "lucene":
        try:
            load_java()
        except MissingDependency as missing:
            pytest.skip(str(missing))
    return LexicalSettings(request.param)


@pytest.fixture
def built(
    settings: LexicalSettings, tmp_path: Path
) -> Iterator[Callable[[list[str]], LexicalIndex]]:
    """Build an index of some texts and open it, as often as a test likes."""
    opened: list[LexicalIndex] = []

    def make(texts: list[str]) -> LexicalIndex:
        folder = tmp_path / f"lexical-{len(opened)}"
        build_lexical(settings, iter(texts), folder)
        opened.append(open_lexical(settings, folder))
        return opened[-1]

    yield make
    for index in opened:
        index.close()


ZOO = [
    "a bird sings at dawn",
    "cat cat fish and another cat",
    "cat dog",
    "fish swim in the deep sea and the cat looks on from the shore all day long",
]


def ask(index: LexicalIndex, text: str, k: int = 10) -> Ranking:
    (ranking,) = index.retrieve([Query("q", text)], k)
    return ranking


def rows(index: LexicalIndex, text: str, k: int = 10) -> list[int]:
    return ask(index, text, k).rows.tolist()


def test_best_come_first_and_only_what_matches(built: Callable) -> None:
    ranking = ask(built(ZOO), "cat")
    assert ranking.rows.tolist() == [1, 2, 3]
    assert (np.diff(ranking.scores) < 0).all()
    assert (ranking.scores > 0).all()
    assert ranking.rows.dtype == np.int64
    assert ranking.scores.dtype == np.float32


def test_a_ranking_carries_its_query_and_queries_keep_their_order(built: Callable) -> None:
    queries = [Query("b", "dog"), Query("a", "sea"), Query("c", "nothing"), Query("d", "bird")]
    rankings = built(ZOO).retrieve(queries, 10)
    assert [ranking.query for ranking in rankings] == queries
    assert [ranking.rows.tolist() for ranking in rankings] == [[2], [3], [], [0]]


def test_equal_scores_come_by_row_also_across_the_cut(built: Callable) -> None:
    # Enough copies that as text "10" would come before "9", that threads share them, and that
    # selection without an order would not come upon the lowest rows. The best stands last.
    copies, best = 600, "ox ox ox"
    index = built(["cow ox"] * copies + [best])
    assert rows(index, "ox", copies + 1) == [copies, *range(copies)]
    for k in (1, 2, 13, 112, copies):
        ranking = ask(index, "ox", k)
        assert ranking.rows.tolist() == [copies, *range(k - 1)]
    assert len(set(ask(index, "ox", copies).scores[1:].tolist())) == 1


def test_k_beyond_the_collection_gives_what_there_is(built: Callable) -> None:
    assert rows(built(ZOO), "cat", 1_000_000) == [1, 2, 3]


def test_k_below_one_is_refused(built: Callable) -> None:
    with pytest.raises(BadArguments, match="k is 0"):
        built(ZOO).retrieve([Query("q", "cat")], 0)


def test_a_smaller_k_is_a_prefix(built: Callable) -> None:
    index = built(ZOO)
    assert [rows(index, "cat fish", k) for k in (1, 2, 3)] == [[1], [1, 3], [1, 3, 2]]


def test_no_queries_no_rankings(built: Callable) -> None:
    assert built(ZOO).retrieve([], 10) == []


@pytest.mark.parametrize("text", ["", "   ", "?!", "the of and", "zebra unicorn"])
def test_a_query_that_nothing_can_match_gets_an_empty_ranking(built: Callable, text: str) -> None:
    ranking = ask(built(ZOO), text)
    assert (len(ranking.rows), len(ranking.scores)) == (0, 0)
    assert ranking.rows.dtype == np.int64
    assert ranking.scores.dtype == np.float32


def test_unknown_words_do_not_disturb_known_ones(built: Callable) -> None:
    index = built(ZOO)
    with_them, without = ask(index, "zebra dog the unicorn"), ask(index, "dog")
    assert with_them.rows.tolist() == without.rows.tolist() == [2]
    assert with_them.scores.tolist() == without.scores.tolist()


@pytest.mark.parametrize(
    "text",
    ["+cat AND (dog", 'dog"', "dog\\", "dog* OR", "contents: dog", "dog^^", "dog/", "[dog TO"],
)
def test_query_syntax_is_plain_text(built: Callable, text: str) -> None:
    assert rows(built(ZOO), text)[0] == 2


def test_words_are_stemmed_and_case_does_not_matter(built: Callable) -> None:
    assert rows(built(ZOO), "SINGING Birds") == [0]


def test_text_beyond_ascii(built: Callable) -> None:
    index = built(["Straße nach Köln", "дом близ моря", "東京 タワー", "𐌰𐌱𐌲 gothic", "a \x00 byte"])
    assert rows(index, "köln") == [0]
    assert rows(index, "МОРЯ") == [1]
    assert rows(index, "タワー") == [2]
    assert rows(index, "𐌰𐌱𐌲") == [3]  # beyond the basic plane: two UTF-16 units a letter
    assert rows(index, "byte") == [4]


def test_rows_without_any_token_keep_the_others_in_place(built: Callable) -> None:
    index = built(["!!!", "first", "the", "", " \t", "\x01", "second", "—"])
    assert len(index) == 8
    assert rows(index, "first") == [1]
    assert rows(index, "second") == [6]


def test_every_row_is_found_where_it_was_put(built: Callable) -> None:
    count = 9_001  # several batches of every engine, the last one short
    index = built([f"common word{row}" for row in range(count)])
    probes = [0, 1, 4_095, 4_096, 8_191, 8_192, count - 1]
    found = index.retrieve([Query(str(row), f"word{row}") for row in probes], 10)
    assert [ranking.rows.tolist() for ranking in found] == [[row] for row in probes]
    assert len(index) == count
    assert len(rows(index, "common", count)) == count


def test_a_large_batch_answers_like_single_queries(built: Callable) -> None:
    index = built(ZOO)
    texts = ["cat", "fish cat", "", "dawn", "sea dog"] * 300
    batch = index.retrieve([Query(str(i), text) for i, text in enumerate(texts)], 3)
    assert [ranking.query.id for ranking in batch] == [str(i) for i in range(len(texts))]
    for ranking in batch:
        alone = ask(index, ranking.query.text, 3)
        assert ranking.rows.tolist() == alone.rows.tolist()
        assert ranking.scores.tolist() == alone.scores.tolist()


def test_a_query_may_be_longer_than_any_passage(built: Callable) -> None:
    words = " ".join(f"word{number}" for number in range(3_000))
    assert rows(built(ZOO), f"{words} dawn") == [0]


def test_a_repeated_query_word_counts_again(built: Callable) -> None:
    index = built(ZOO)
    once, twice = ask(index, "dog"), ask(index, "dog dog")
    np.testing.assert_allclose(twice.scores, 2 * once.scores, rtol=1e-6)


def test_one_passage_is_enough(built: Callable) -> None:
    index = built(["cat"])
    assert rows(index, "cat") == [0]
    assert rows(index, "dog") == []


def test_a_corpus_without_any_token_answers_nothing(built: Callable) -> None:
    index = built(["!!!", "the of", "?"])
    assert len(index) == 3
    assert rows(index, "cat the !") == []


def test_no_passage_at_all_is_bad_data(settings: LexicalSettings, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no passage"):
        build_lexical(settings, [], tmp_path / "lexical")


def test_an_index_can_be_opened_again_and_twice(settings: LexicalSettings, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "lexical"
    folder.parent.mkdir()
    build_lexical(settings, ZOO, folder)
    first, second = open_lexical(settings, folder), open_lexical(settings, folder)
    assert ask(first, "cat").scores.tolist() == ask(second, "cat").scores.tolist()
    first.close()
    assert rows(second, "cat") == [1, 2, 3]
    second.close()


def test_nothing_there_is_a_missing_resource(settings: LexicalSettings, tmp_path: Path) -> None:
    with pytest.raises(MissingResource, match="build it again"):
        open_lexical(settings, tmp_path)


def test_damage_is_bad_data(settings: LexicalSettings, tmp_path: Path) -> None:
    build_lexical(settings, ZOO, tmp_path / "lexical")
    for file in (tmp_path / "lexical").iterdir():
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(BadData, match="build it again"):
        open_lexical(settings, tmp_path / "lexical")


def test_k1_and_b_change_the_scores(settings: LexicalSettings, tmp_path: Path) -> None:
    # k1 = 0: how often a word occurs, and how long the passage is, do not count.
    flat = LexicalSettings(settings.engine, k1=0)
    build_lexical(flat, ZOO, tmp_path / "lexical")
    index = open_lexical(flat, tmp_path / "lexical")
    ranking = ask(index, "cat")
    index.close()
    assert ranking.rows.tolist() == [1, 2, 3]
    assert len(set(ranking.scores.tolist())) == 1


def test_progress_adds_up(settings: LexicalSettings, tmp_path: Path) -> None:
    steps: list[int] = []
    build_lexical(settings, (f"w{i}" for i in range(5_000)), tmp_path / "x", progress=steps.append)
    assert sum(steps) == 5_000
    assert len(steps) > 1


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from tamis.core.errors import FailedWhileRunning
from tamis.index.lexical import LexicalSettings, build_lexical
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # no file may grow further
try:
    texts = (f"cat word{row} thing{row % 999}" for row in range(20_000))
    build_lexical(LexicalSettings(sys.argv[1]), texts, Path(sys.argv[2]))
except FailedWhileRunning as failure:
    print(failure)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_is_no_finished_index(settings: LexicalSettings, tmp_path: Path) -> None:
    arguments = [settings.engine, str(tmp_path / "lexical")]
    command = [sys.executable, "-P", "-c", FULL_DISK, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "run the same command again" in run.stdout.lower()
    assert str(tmp_path) in run.stdout

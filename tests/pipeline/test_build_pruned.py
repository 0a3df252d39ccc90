"""Pruning in a build: what is kept, what the folder says of it, and what is not done twice."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tamis.core.errors import BadArguments, BadData, Mismatch, MissingResource, UnknownComponent
from tamis.core.protocols import Encoded, Encoder, EncoderCard, QualityCard
from tamis.encoders.quality.length import LengthQuality
from tamis.encoders.quality.recurrent import RecurrentQuality, load_recurrent
from tamis.encoders.word_pieces import WordPieces
from tamis.index.folder import IndexFolder
from tamis.pipeline.build import build
from tamis.pipeline.cli import app
from tamis.pipeline.commands.info import summary
from tamis.pipeline.opening import open_index
from tamis.pipeline.quality import score_corpus
from tamis.pipeline.verifying import check_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tamis.core.protocols import Role
    from tamis.core.records import Float32Array

KINDS = ["flea", "wine", "sieve", "river", "stone", "bread", "cloud"]
WORDS = [3, 9, 1, 9, 5, 2, 9, 7, 4, 9]  # of each passage: with length as quality, its score
TEXTS = [" ".join([KINDS[n % 7], *[f"w{n}"] * (count - 1)]) for n, count in enumerate(WORDS)]
BEST = [1, 3, 6, 9, 7, 4, 8, 0, 5, 2]  # rows by score, equal ones in corpus order


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return written(tmp_path / "c.jsonl", TEXTS)


def written(path: Path, texts: Sequence[str]) -> Path:
    lines = [json.dumps({"id": f"p{n}", "text": text}) for n, text in enumerate(texts)]
    path.write_text("\n".join(lines), "utf-8")
    return path


def listed(path: Path, *ids: str) -> Path:
    path.write_text("".join(f"{name}\n" for name in ids), "utf-8")
    return path


class Scores:
    """Lengths; remembers every text that it was asked for, and fails after ``fails_after``."""

    def __init__(self, name: str = "lengths", fails_after: int = 10**9) -> None:
        self.card = QualityCard(name, name)
        self.seen: list[str] = []
        self._left = fails_after

    def score(self, texts: Sequence[str]) -> Float32Array:
        if len(self.seen) >= self._left:
            raise KeyboardInterrupt
        self.seen += texts
        return np.array([len(text.split()) for text in texts], np.float32)


class Letters(Encoder):
    """Two numbers a text, unlike any other's; reads five tokens, which are words."""

    def __init__(self, name: str = "letters") -> None:
        self._card = EncoderCard(name, name, "space", 2, "dot", "none", 5)
        self.seen: list[str] = []

    @property
    def card(self) -> EncoderCard:
        return self._card

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        assert role == "passage"
        self.seen += texts
        rows = [[len(text), sum(map(ord, text)) % 97] for text in texts]
        return Encoded(np.array(rows, np.float32), self.count_tokens(texts, role))

    def count_tokens(self, texts: Sequence[str], role: Role) -> Any:
        del role
        return np.array([len(text.split()) for text in texts], np.int32)


def parts(folder: Path) -> dict[str, bytes]:
    """Every file of an index."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def pruning(folder: Path) -> dict[str, Any]:
    told = open_index(folder).folder.describe()["pruning"]
    assert isinstance(told, dict)
    return told


def rows_of(folder: Path) -> list[int]:
    return [int(name[1:]) for name in (folder / "docid").read_text("utf-8").split()]


class TestWhatIsKept:
    def test_all_parts_agree_and_are_those_of_the_kept_passages_alone(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        index = build(corpus, tmp_path / "i", encoder="hashing", quality="length", keep=0.6)
        kept = sorted(BEST[:6])
        assert check_index(tmp_path / "i").ok
        assert len(index) == len(index.folder.dense) == len(index.folder.lexical) == 6
        passages = index.passages.passages(np.arange(6))
        assert [(p.id, p.text) for p in passages] == [(f"p{n}", TEXTS[n]) for n in kept]
        for mode in ("dense", "lexical"):
            for row, number in enumerate(kept):
                assert index.search(f"w{number}", k=1, mode=mode)[0].row == row  # type: ignore[arg-type]
        alone = [json.dumps({"id": f"p{n}", "text": TEXTS[n]}) for n in kept]
        (tmp_path / "kept.jsonl").write_text("\n".join(alone), "utf-8")
        build(tmp_path / "kept.jsonl", tmp_path / "alone", encoder="hashing")
        pruned, unpruned = parts(tmp_path / "i"), parts(tmp_path / "alone")
        told = {"tamis.json", "quality.npy", "quality.corpus.npy", "corpus_row.npy"}
        assert pruned.keys() - unpruned.keys() == told - {"tamis.json"}
        assert {n: b for n, b in pruned.items() if n not in told} == {
            n: b for n, b in unpruned.items() if n not in told
        }

    def test_three_arrays_say_what_was_scored_kept_and_from_where(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        build(corpus, tmp_path / "i", encoder="hashing", quality="length", keep=0.4)
        read = {name: np.load(tmp_path / "i" / f"{name}.npy") for name in ARRAYS}
        assert read["quality.corpus"].tolist() == WORDS
        assert read["quality"].tolist() == [9, 9, 9, 9]
        assert read["corpus_row"].tolist() == [1, 3, 6, 9]
        assert [read[name].dtype for name in ARRAYS] == [np.float32, np.float32, np.int64]

    def test_a_least_score_is_enough(self, corpus: Path, tmp_path: Path) -> None:
        build(corpus, tmp_path / "i", encoder="hashing", quality="length", min_quality=4.5)
        assert rows_of(tmp_path / "i") == sorted(BEST[:6])
        told = pruning(tmp_path / "i")
        assert (told["keep"], told["min_quality"], told["threshold"]) == (None, 4.5, 5)

    def test_a_quality_alone_is_scored_and_cuts_nothing(self, corpus: Path, tmp_path: Path) -> None:
        build(corpus, tmp_path / "i", encoder="hashing", quality="length")
        assert rows_of(tmp_path / "i") == list(range(10))
        assert np.load(tmp_path / "i" / "quality.npy").tolist() == WORDS
        assert pruning(tmp_path / "i")["samples"] == []

    def test_a_share_alone_takes_the_default_model(self, corpus: Path, tmp_path: Path) -> None:
        build(corpus, tmp_path / "i", encoder="hashing", keep=0.5)
        expected = load_recurrent().score(TEXTS)
        assert np.array_equal(np.load(tmp_path / "i" / "quality.corpus.npy"), expected)
        assert pruning(tmp_path / "i")["model"]["name"] == "recurrent"

    @pytest.mark.parametrize(
        ("keep", "kept"),
        [(0.4, [1, 2, 3, 5]), (0.1, [2, 5])],
    )
    def test_protected_passages_stay_and_count(
        self, corpus: Path, tmp_path: Path, keep: float, kept: list[int]
    ) -> None:
        ids = listed(tmp_path / "ids.txt", "p5", "", " p2 ", "p5")
        build(corpus, tmp_path / "i", encoder="hashing", quality="length", keep=keep, protect=ids)
        assert rows_of(tmp_path / "i") == kept
        assert pruning(tmp_path / "i")["protected"] == 2
        threshold = pruning(tmp_path / "i")["threshold"]
        assert threshold == {0.4: 9, 0.1: None}[keep]

    def test_protected_passages_stay_below_the_least_score(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        ids = listed(tmp_path / "ids.txt", "p2")
        quality = LengthQuality()
        build(
            corpus, tmp_path / "i", encoder="hashing", quality=quality, min_quality=9, protect=ids
        )
        assert rows_of(tmp_path / "i") == [1, 2, 3, 6, 9]

    def test_only_kept_passages_are_encoded(self, corpus: Path, tmp_path: Path) -> None:
        encoder = Letters()
        build(corpus, tmp_path / "i", encoder=encoder, quality="length", keep=0.4)
        assert encoder.seen == [TEXTS[n] for n in (1, 3, 6, 9)]

    def test_what_is_skipped_has_no_score(self, tmp_path: Path) -> None:
        good = [json.dumps({"id": f"p{n}", "text": text}) for n, text in enumerate(TEXTS)]
        lines = [good[0], "{broken", *good[1:4], good[2], *good[4:]]
        (tmp_path / "c.jsonl").write_text("\n".join(lines), "utf-8")
        index = build(
            tmp_path / "c.jsonl",
            tmp_path / "i",
            encoder="hashing",
            quality="length",
            keep=0.4,
            on_error="skip",
        )
        assert np.load(tmp_path / "i" / "quality.corpus.npy").tolist() == WORDS
        assert rows_of(tmp_path / "i") == [1, 3, 6, 9]
        counts = index.folder.describe()["counts"]
        assert (counts["corpus"], counts["skipped"], counts["indexed"]) == (12, 2, 4)


ARRAYS = ("quality.corpus", "quality", "corpus_row")


class TestScoresFromAFile:
    def test_are_taken_as_they_are(self, corpus: Path, tmp_path: Path) -> None:
        score_corpus(corpus, tmp_path / "s.npy", quality="length")
        build(corpus, tmp_path / "i", encoder="hashing", quality=tmp_path / "s.npy", keep=0.5)
        assert rows_of(tmp_path / "i") == sorted(BEST[:5])
        assert pruning(tmp_path / "i")["model"]["name"] == "s.npy"
        np.save(tmp_path / "t.npy", np.array(WORDS) + 1)  # integers, other scores
        build(corpus, tmp_path / "j", encoder="hashing", quality=str(tmp_path / "t.npy"), keep=0.5)
        prints = {pruning(tmp_path / name)["model"]["fingerprint"] for name in "ij"}
        assert len(prints) == 2
        assert rows_of(tmp_path / "j") == sorted(BEST[:5])

    def test_of_the_very_index_that_is_replaced(self, corpus: Path, tmp_path: Path) -> None:
        build(corpus, tmp_path / "i", encoder="hashing", quality="length", keep=0.5)
        scores = tmp_path / "i" / "quality.corpus.npy"
        build(corpus, tmp_path / "i", encoder="hashing", quality=scores, keep=0.2, overwrite=True)
        assert rows_of(tmp_path / "i") == [1, 3]

    @pytest.mark.parametrize(
        ("scores", "error", "told"),
        [
            (np.arange(9.0), Mismatch, "9 scores, the corpus has 10 passages"),
            (np.arange(11.0), Mismatch, "11 scores, the corpus has 10 passages"),
            (np.array([1, 2, np.nan, np.inf] * 3), BadData, "6 scores .* in row 2: nan"),
            (np.zeros((10, 1)), BadData, r"float64 \[10, 1\]"),
            (np.array(["a"] * 10), BadData, r"<U1 \[10\]"),
            (np.array([None] * 10), BadData, "no .npy file of scores"),
        ],
    )
    def test_that_do_not_fit_are_refused(
        self, corpus: Path, tmp_path: Path, scores: Any, error: type[Exception], told: str
    ) -> None:
        np.save(tmp_path / "s.npy", scores)
        with pytest.raises(error, match=told):
            build(corpus, tmp_path / "i", encoder="hashing", quality=tmp_path / "s.npy", keep=0.5)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["c.jsonl", "s.npy"]

    def test_that_are_none(self, corpus: Path, tmp_path: Path) -> None:
        with pytest.raises(MissingResource, match=r"none\.npy is not there"):
            build(corpus, tmp_path / "i", encoder="hashing", quality="none.npy", keep=0.5)
        (tmp_path / "s.npy").write_text("no array")
        with pytest.raises(BadData, match=r"no \.npy file of scores"):
            build(corpus, tmp_path / "i", encoder="hashing", quality=tmp_path / "s.npy", keep=0.5)


class TestWrongCalls:
    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ({"keep": 0}, "above 0 and at most 1"),
            ({"keep": 75}, "above 0 and at most 1"),
            ({"min_quality": math.nan}, "finite score"),
            ({"keep": 0.5, "min_quality": 3}, "say one of them"),
        ],
    )
    def test_a_rule_that_is_none(
        self, corpus: Path, tmp_path: Path, asked: dict[str, float], told: str
    ) -> None:
        with pytest.raises(BadArguments, match=told):
            build(corpus, tmp_path / "i", encoder="hashing", **asked)  # type: ignore[arg-type]
        assert sorted(p.name for p in tmp_path.iterdir()) == ["c.jsonl"]

    def test_protection_from_nothing(self, corpus: Path, tmp_path: Path) -> None:
        with pytest.raises(BadArguments, match="nothing is pruned"):
            build(corpus, tmp_path / "i", encoder="hashing", protect=listed(tmp_path / "p", "p1"))

    def test_unknown_protected_ids_are_named_the_first_few(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        ids = listed(tmp_path / "ids.txt", "p1", *(f"x{n}" for n in range(8)))
        told = "ids.txt protects 'x0', 'x1', 'x2', 'x3', 'x4' and 3 more: not in the corpus"
        with pytest.raises(Mismatch, match=told):
            build(corpus, tmp_path / "i", encoder="hashing", keep=0.5, protect=ids)
        with pytest.raises(MissingResource, match=r"none\.txt cannot be read"):
            build(corpus, tmp_path / "i", encoder="hashing", keep=0.5, protect="none.txt")

    def test_everything_pruned(self, corpus: Path, tmp_path: Path) -> None:
        with pytest.raises(BadArguments, match=r"9\.5 and the best passage scores 9: nothing"):
            build(corpus, tmp_path / "i", encoder="hashing", quality="length", min_quality=9.5)
        assert not (tmp_path / "i").exists()

    def test_an_unknown_model(self, corpus: Path, tmp_path: Path) -> None:
        with pytest.raises(UnknownComponent, match=r"known: .*perplexity"):
            build(corpus, tmp_path / "i", encoder="hashing", quality="prefect", keep=0.5)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["c.jsonl"]


class TestNothingTwice:
    def test_another_share_scores_and_encodes_only_what_is_missing(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        scores, encoder = Scores(), Letters()
        build(corpus, tmp_path / "i", encoder=encoder, quality=scores, keep=0.4)
        assert scores.seen == TEXTS
        more = {"quality": scores, "encoder": encoder, "overwrite": True}
        for keep in (0.8, 0.3, 0.6):
            encoder.seen.clear()
            before = rows_of(tmp_path / "i")
            build(corpus, tmp_path / "i", keep=keep, **more)  # type: ignore[arg-type]
            kept = rows_of(tmp_path / "i")
            assert encoder.seen == [TEXTS[n] for n in kept if n not in before]
            build(
                corpus,
                tmp_path / "fresh",
                encoder=Letters(),
                quality=Scores(),
                keep=keep,
                overwrite=True,
                shard_rows=3,
            )
            assert parts(tmp_path / "i") == parts(tmp_path / "fresh")
        assert scores.seen == TEXTS

    def test_an_unpruned_index_gives_its_vectors_too(self, corpus: Path, tmp_path: Path) -> None:
        encoder = Letters()
        build(corpus, tmp_path / "i", encoder=encoder)
        assert len(encoder.seen) == 10
        build(corpus, tmp_path / "i", encoder=encoder, quality="length", keep=0.4, overwrite=True)
        assert len(encoder.seen) == 10
        build(corpus, tmp_path / "fresh", encoder=encoder, quality="length", keep=0.4)
        assert parts(tmp_path / "i") == parts(tmp_path / "fresh")

    @pytest.mark.parametrize("before", ["pruned", "whole"])
    def test_another_corpus_is_scored_and_encoded(
        self, corpus: Path, tmp_path: Path, before: str
    ) -> None:
        scores, encoder = Scores(), Letters()
        asked = {"quality": scores, "keep": 0.4} if before == "pruned" else {}
        build(corpus, tmp_path / "i", encoder=encoder, **asked)  # type: ignore[arg-type]
        written(corpus, [*TEXTS[1:], TEXTS[0]])
        scores.seen.clear()
        encoder.seen.clear()
        build(corpus, tmp_path / "i", encoder=encoder, quality=scores, keep=0.4, overwrite=True)
        assert scores.seen == [*TEXTS[1:], TEXTS[0]]
        assert len(encoder.seen) == 4
        assert rows_of(tmp_path / "i") == [0, 2, 5, 8]

    def test_another_model_scores_and_another_encoder_encodes(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        build(corpus, tmp_path / "i", encoder=Letters(), quality=Scores(), keep=0.4)
        scores, encoder = Scores("others"), Letters("others")
        build(corpus, tmp_path / "i", encoder=encoder, quality=scores, keep=0.4, overwrite=True)
        assert scores.seen == TEXTS
        assert len(encoder.seen) == 4

    @pytest.mark.parametrize(
        ("damaged", "again"), [("quality.corpus.npy", (10, 0)), ("index", (0, 4))]
    )
    def test_what_is_damaged_is_made_again(
        self, corpus: Path, tmp_path: Path, damaged: str, again: tuple[int, int]
    ) -> None:
        build(corpus, tmp_path / "i", encoder=Letters(), quality=Scores(), keep=0.4)
        whole = parts(tmp_path / "i")
        (tmp_path / "i" / damaged).write_bytes(whole[damaged][:-1] + b"\x7f")
        scores, encoder = Scores(), Letters()
        build(corpus, tmp_path / "i", encoder=encoder, quality=scores, keep=0.4, overwrite=True)
        assert (len(scores.seen), len(encoder.seen)) == again
        assert parts(tmp_path / "i") == whole

    def test_vectors_that_are_not_exact_are_not_taken(self, corpus: Path, tmp_path: Path) -> None:
        encoder = Letters()
        for _ in range(2):
            build(
                corpus,
                tmp_path / "i",
                encoder=encoder,
                quality="length",
                keep=0.4,
                ann="sq8",
                overwrite=True,
            )
        assert len(encoder.seen) == 8

    def test_truncated_tokens_are_those_of_the_kept(self, corpus: Path, tmp_path: Path) -> None:
        for keep, counts in ((0.4, (4, 16)), (0.7, (5, 18)), (0.2, (2, 8))):
            index = build(
                corpus,
                tmp_path / "i",
                encoder=Letters(),
                quality="length",
                keep=keep,
                overwrite=True,
            )
            found = index.folder.describe()["counts"]
            assert (found["truncated_passages"], found["truncated_tokens"]) == counts

    def test_a_broken_off_scoring_resumes(self, corpus: Path, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            build(
                corpus,
                tmp_path / "i",
                encoder="hashing",
                quality=Scores(fails_after=6),
                keep=0.5,
                shard_rows=3,
            )
        scores = Scores()
        build(corpus, tmp_path / "i", encoder="hashing", quality=scores, keep=0.5, shard_rows=3)
        assert scores.seen == TEXTS[6:]
        assert np.load(tmp_path / "i" / "quality.corpus.npy").tolist() == WORDS
        assert sorted(p.name for p in tmp_path.iterdir()) == ["c.jsonl", "i"]

    def test_a_cut_that_was_refused_costs_no_second_scoring(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        scores = Scores()
        with pytest.raises(BadArguments, match="nothing would be left"):
            build(corpus, tmp_path / "i", encoder="hashing", quality=scores, min_quality=10)
        build(corpus, tmp_path / "i", encoder="hashing", quality=scores, min_quality=9)
        assert scores.seen == TEXTS

    def test_a_damaged_manifest_does_not_stop_an_overwrite(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        build(corpus, tmp_path / "i", encoder="hashing", quality="length", keep=0.5)
        (tmp_path / "i" / "tamis.json").write_text("{")
        build(corpus, tmp_path / "i", encoder="hashing", quality="length", keep=0.4, overwrite=True)
        assert rows_of(tmp_path / "i") == [1, 3, 6, 9]


class TestWhatIsTold:
    def test_the_manifest(self, corpus: Path, tmp_path: Path) -> None:
        build(corpus, tmp_path / "i", encoder="hashing", quality="length", keep=0.65)
        told = pruning(tmp_path / "i")
        assert len(told.pop("corpus")) == 64
        card = LengthQuality().card
        assert told == {
            "model": {"name": "length", "fingerprint": card.fingerprint},
            "keep": 0.65,
            "min_quality": None,
            "protected": 0,
            "scored": 10,
            "kept": 7,
            "threshold": 4,
            "samples": [
                {"id": "p2", "score": 1, "text": TEXTS[2]},
                {"id": "p5", "score": 2, "text": TEXTS[5]},
                {"id": "p0", "score": 3, "text": TEXTS[0]},
            ],
        }

    def test_an_index_without_scores_says_nothing(self, corpus: Path, tmp_path: Path) -> None:
        build(corpus, tmp_path / "i", encoder="hashing")
        described = open_index(tmp_path / "i").folder.describe()
        assert described["pruning"] is None
        assert not any("pruned" in line for line in summary(tmp_path / "i", described))
        assert not {f"{name}.npy" for name in ARRAYS} & parts(tmp_path / "i").keys()

    def test_samples_are_beginnings_on_one_line(self, tmp_path: Path) -> None:
        long = "one\ttwo\n" + "three " * 100
        path = written(tmp_path / "c.jsonl", [long, "a b c d"])
        np.save(tmp_path / "s.npy", np.array([1.0, 2.0]))
        build(path, tmp_path / "i", encoder="hashing", quality=tmp_path / "s.npy", keep=0.5)
        [sample] = pruning(tmp_path / "i")["samples"]
        assert sample["text"].startswith("one two three three")
        assert sample["text"].endswith("…")
        assert len(sample["text"]) == 80

    def test_by_the_command_line(self, corpus: Path, tmp_path: Path) -> None:
        ids = listed(tmp_path / "ids.txt", "p5")
        line = ["build", str(corpus), "-o", str(tmp_path / "i"), "--encoder", "hashing"]
        line += ["--quality", "length", "--keep", "0.6", "--protect", str(ids)]
        built = CliRunner().invoke(app, line)
        assert built.exit_code == 0, built.output
        shown = CliRunner().invoke(app, ["info", str(tmp_path / "i")])
        for output in (built.stdout, shown.stdout):
            told = [text.strip() for text in output.splitlines()]
            assert "passages   6 of 10 (0 skipped)" in told
            where = told.index(
                "pruned     4 of 10 (40.0%) by length, keep 0.6, lowest score kept 7, 1 protected"
            )
            assert told[where + 1] == f"left out   1  p2  {TEXTS[2]}"
            assert told[where + 2 : where + 4] == [f"3  p0  {TEXTS[0]}", f"4  p8  {TEXTS[8]}"]
        body = json.loads(CliRunner().invoke(app, ["info", str(tmp_path / "i"), "--json"]).stdout)
        assert body["pruning"]["kept"] == 6

    def test_a_least_score_by_the_command_line(self, corpus: Path, tmp_path: Path) -> None:
        line = ["build", str(corpus), "-o", str(tmp_path / "i"), "--encoder", "hashing"]
        built = CliRunner().invoke(app, [*line, "--quality", "length", "--min-quality", "8.5"])
        assert built.exit_code == 0, built.output
        assert "6 of 10 (60.0%) by length, at least 8.5, lowest score kept 9" in built.stdout

    def test_how_far_it_is(self, corpus: Path, tmp_path: Path) -> None:
        stages: list[list[Any]] = []

        class Watched:
            @contextmanager
            def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
                entry = [name, total, 0]
                stages.append(entry)

                def advance(done: int) -> None:
                    entry[2] += done

                yield advance

            def note(self, words: str) -> None:
                del words

        build(
            corpus,
            tmp_path / "i",
            encoder="hashing",
            quality="perplexity",
            keep=0.5,
            progress=Watched(),
        )
        assert stages[:4] == [
            ["read", None, 10],
            ["fit perplexity", 10, 10],
            ["score", 10, 10],
            ["encode", 5, 5],
        ]


class TestTokenisedOnce:
    """Scoring and encoding share tokens where both read the same."""

    def built(self, corpus: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> int:
        """Calls of the tokenizer while the index is built."""
        calls = 0
        pack = WordPieces.pack

        def counted(self: WordPieces, *given: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            return pack(self, *given, **named)

        with monkeypatch.context() as patched:
            patched.setattr(WordPieces, "pack", counted)
            build(corpus, folder, encoder="tamis-tiny", query_encoder="own", **how)
        return calls

    def test_the_index_is_the_same_with_half_the_calls(
        self, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        once = self.built(corpus, tmp_path / "once", monkeypatch, keep=0.5)
        scores = tmp_path / "once" / "quality.corpus.npy"
        again = self.built(corpus, tmp_path / "again", monkeypatch, keep=0.5, quality=scores)
        assert (once, again) == (1, 1)  # the first for both; the second has scores, and encodes
        files = [(tmp_path / name / "index").read_bytes() for name in ("once", "again")]
        assert files[0] == files[1]

    def test_both_tiers_are_encoded_from_the_tokens(
        self, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        build(corpus, tmp_path / "whole", encoder="tamis-tiny", query_encoder="own")
        assert self.built(corpus, tmp_path / "i", monkeypatch, keep=0.5, cold=True) >= 1
        whole = open_index(tmp_path / "whole").folder.dense.reconstruct(np.arange(10))
        for tier in (tmp_path / "i", tmp_path / "i" / "cold"):
            rows = np.load(tier / "corpus_row.npy")
            found = IndexFolder(tier).dense.reconstruct(np.arange(len(rows)))
            np.testing.assert_allclose(found, whole[rows], atol=1e-6)

    def test_rows_fit_where_near_duplicates_went_first(self, tmp_path: Path) -> None:
        texts = ["the flea lives for a hundred days", "the flea lives for a hundred days", *TEXTS]
        corpus = written(tmp_path / "twice.jsonl", texts)
        own: dict[str, Any] = {"encoder": "tamis-tiny", "query_encoder": "own"}
        build(corpus, tmp_path / "whole", **own)
        build(corpus, tmp_path / "i", **own, near_duplicates=0.8, keep=0.6)
        rows = np.load(tmp_path / "i" / "corpus_row.npy")
        assert 1 not in rows
        assert rows.max() > 2
        whole = open_index(tmp_path / "whole").folder.dense.reconstruct(rows)
        found = open_index(tmp_path / "i").folder.dense.reconstruct(np.arange(len(rows)))
        np.testing.assert_allclose(found, whole, atol=1e-6)

    def test_another_tokenizer_reads_the_text(
        self, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = load_recurrent()
        monkeypatch.setattr(RecurrentQuality, "token_form", "of another tokenizer")
        calls = self.built(corpus, tmp_path / "i", monkeypatch, keep=0.5, quality=model)
        assert calls == 2

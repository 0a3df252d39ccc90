"""Near-duplicates in a build: which go, which never do, and what the index says of them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tamis.core.errors import BadArguments, Mismatch, MissingDependency
from tamis.core.protocols import Encoded, Encoder, EncoderCard, QualityCard
from tamis.pipeline import repetition
from tamis.pipeline.build import build
from tamis.pipeline.cli import app
from tamis.pipeline.demo import COLLECTION, labels
from tamis.pipeline.opening import open_index
from tamis.pipeline.verifying import check_index

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tamis.core.protocols import Role
    from tamis.core.records import Float32Array

LONG = "one two three four five six seven eight nine ten eleven twelve"
TEXTS = [
    "a flea lives for a hundred days",
    LONG,
    "bread is made of flour",
    f"{LONG} thirteen",  # 10 of 11 runs of three words are those of row 1
    "A flea lives, for a hundred days!",  # row 0
    "the river is long",
    f"zero {LONG} thirteen",  # 10 of 12 of row 1, and 11 of 12 of row 3
]
SIZES = [len(text.split()) for text in TEXTS]


class Sizes:
    """Numbers of words, by nobody's name; remembers what it was asked for."""

    def __init__(self) -> None:
        self.card = QualityCard("sizes", "sizes")
        self.seen: list[str] = []

    def score(self, texts: Sequence[str]) -> Float32Array:
        self.seen += texts
        return np.array([len(text.split()) for text in texts], np.float32)


class Twos(Encoder):
    """Two numbers a text; remembers what it was asked for, and breaks off when told to."""

    def __init__(self, fails_after: int = 10**9) -> None:
        self.seen: list[str] = []
        self._left = fails_after

    @property
    def card(self) -> EncoderCard:
        return EncoderCard("twos", "twos", "space", 2, "dot", "none", 0)

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        if len(self.seen) >= self._left:
            raise KeyboardInterrupt
        self.seen += texts
        rows = [[len(text), sum(map(ord, text)) % 97] for text in texts]
        return Encoded(np.array(rows, np.float32), self.count_tokens(texts, role))

    def count_tokens(self, texts: Sequence[str], role: Role) -> Any:
        del role
        return np.array([len(text.split()) for text in texts], np.int32)


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


def rows_of(folder: Path) -> list[int]:
    return [int(name[1:]) for name in (folder / "docid").read_text("utf-8").split()]


def numbers(folder: Path, name: str) -> list[float]:
    found: list[float] = np.load(folder / f"{name}.npy").tolist()
    return found


def described(folder: Path) -> dict[str, Any]:
    return open_index(folder, encoder=Twos()).folder.describe()


def parts(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


class TestWhatGoes:
    def test_all_but_the_first_of_a_kind(self, corpus: Path, tmp_path: Path) -> None:
        index = build(corpus, tmp_path / "i", encoder="hashing", near_duplicates=0.8)
        assert rows_of(tmp_path / "i") == [0, 1, 2, 5]
        assert numbers(tmp_path / "i", "corpus_row") == [0, 1, 2, 5]
        assert numbers(tmp_path / "i", "near_duplicates") == [0, 1, 2, 1, 0, 5, 1]
        assert not (tmp_path / "i" / "quality.npy").exists()
        assert check_index(tmp_path / "i").ok
        assert len(index) == len(index.folder.dense) == len(index.folder.lexical) == 4
        body = index.folder.describe()
        told = body["near_duplicates"]
        assert len(told.pop("corpus")) == len(told.pop("made_from")) == 64
        assert told == {
            "threshold": 0.8,
            "dropped": 3,
            "samples": [
                {"id": "p3", "repeats": "p1", "text": TEXTS[3]},
                {"id": "p4", "repeats": "p0", "text": TEXTS[4]},
                {"id": "p6", "repeats": "p1", "text": TEXTS[6]},
            ],
        }
        assert body["pruning"] is None
        assert body["counts"]["corpus"] == 7
        assert body["counts"]["indexed"] == 4

    def test_nobody_asked(self, corpus: Path, tmp_path: Path) -> None:
        build(corpus, tmp_path / "i", encoder=Twos())
        assert "near_duplicates" not in described(tmp_path / "i")
        assert rows_of(tmp_path / "i") == list(range(7))

    def test_a_share_is_of_what_is_left_and_only_that_is_scored(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        quality = Sizes()
        build(corpus, tmp_path / "i", encoder=Twos(), quality=quality, keep=0.5, near_duplicates=1)
        # row 4 alone has the words of another; half of six
        assert quality.seen == [TEXTS[n] for n in (0, 1, 2, 3, 5, 6)]
        assert rows_of(tmp_path / "i") == [1, 3, 6]
        assert numbers(tmp_path / "i", "corpus_row") == [1, 3, 6]
        assert numbers(tmp_path / "i", "quality") == [SIZES[n] for n in (1, 3, 6)]
        stand_in = [*SIZES[:4], SIZES[0], *SIZES[5:]]
        assert numbers(tmp_path / "i", "quality.corpus") == stand_in
        told = described(tmp_path / "i")["pruning"]
        assert (told["scored"], told["kept"], told["threshold"]) == (6, 3, 12)
        assert [sample["id"] for sample in told["samples"]] == ["p5", "p2", "p0"]

    def test_a_fitted_model_never_reads_them(self, corpus: Path, tmp_path: Path) -> None:
        left = written(tmp_path / "left.jsonl", [TEXTS[n] for n in (0, 1, 2, 5)])
        for model in ("perplexity", "cdd"):
            for name, source, asked in (("i", corpus, 0.8), ("j", left, None)):
                build(
                    source,
                    tmp_path / name,
                    encoder="hashing",
                    quality=model,
                    near_duplicates=asked,
                    overwrite=True,
                )
            prints = {described(tmp_path / n)["pruning"]["model"]["fingerprint"] for n in "ij"}
            assert len(prints) == 1
            assert numbers(tmp_path / "i", "quality") == numbers(tmp_path / "j", "quality")

    def test_scores_from_a_file_are_those_of_all_passages(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "s.npy", np.array([1, 2, 3, 99, 99, 4, 99]))
        asked = {"quality": tmp_path / "s.npy", "keep": 0.5, "near_duplicates": 0.8}
        build(corpus, tmp_path / "i", encoder=Twos(), **asked)  # type: ignore[arg-type]
        assert rows_of(tmp_path / "i") == [2, 5]
        assert numbers(tmp_path / "i", "quality.corpus") == [1, 2, 3, 99, 99, 4, 99]
        np.save(tmp_path / "s.npy", np.arange(4))
        with pytest.raises(Mismatch, match="4 scores, the corpus has 7"):
            build(corpus, tmp_path / "j", encoder=Twos(), **asked)  # type: ignore[arg-type]


class TestWhatNeverGoes:
    def test_protected_ids(self, corpus: Path, tmp_path: Path) -> None:
        ids = listed(tmp_path / "ids.txt", "p3", "p4")
        build(corpus, tmp_path / "i", encoder=Twos(), near_duplicates=0.9, protect=ids)
        # row 6 is like row 3 (11 / 12), which now stays, but not enough like row 1 (10 / 12)
        assert numbers(tmp_path / "i", "near_duplicates") == [0, 1, 2, 3, 4, 5, 3]
        assert rows_of(tmp_path / "i") == [0, 1, 2, 3, 4, 5]

    def test_protected_ids_whatever_they_score(self, corpus: Path, tmp_path: Path) -> None:
        ids = listed(tmp_path / "ids.txt", "p4", "p5")
        asked = {"quality": "length", "keep": 0.6, "near_duplicates": 0.8, "protect": ids}
        build(corpus, tmp_path / "i", encoder=Twos(), **asked)  # type: ignore[arg-type]
        # five are left, three stay: the two, and the best of rows 0, 1, 2
        assert rows_of(tmp_path / "i") == [1, 4, 5]
        assert described(tmp_path / "i")["pruning"]["protected"] == 2

    def test_the_last_copy_of_a_labelled_duplicate(self, tmp_path: Path) -> None:
        """Of 24 copies, 17 reach 0.8 and all 0.5; each is told with the good one it is made of."""
        kinds = labels()
        caught = {}
        for threshold in (0.8, 0.5):
            build(
                COLLECTION,
                tmp_path / "i",
                encoder="hashing",
                lexical="none",
                near_duplicates=threshold,
                overwrite=True,
            )
            kept = set((tmp_path / "i" / "docid").read_text("utf-8").split())
            repeats = np.load(tmp_path / "i" / "near_duplicates.npy")
            ids = list(kinds)
            pairs = {frozenset((ids[row], ids[there])) for row, there in enumerate(repeats)}
            pairs = {pair for pair in pairs if len(pair) == 2}
            assert all(len(pair & kept) == 1 for pair in pairs)
            found = [sorted(kinds[name] for name in pair) for pair in pairs]
            caught[threshold] = found.count(["duplicate", "good"])
            wrong = [pair for pair in found if pair != ["duplicate", "good"]]
            assert all("good" not in pair for pair in wrong)
            assert len(wrong) <= 2  # two notices of one site, of which one changes a name
        assert caught == {0.8: 17, 0.5: 24}


class TestNothingTwice:
    @pytest.fixture
    def once(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Thresholds at which near-duplicates were looked for."""
        asked: list[float] = []
        real = repetition.near_duplicates

        def counted(*texts: Any, threshold: float, **more: Any) -> Any:
            asked.append(threshold)
            return real(*texts, threshold=threshold, **more)

        monkeypatch.setattr(repetition, "near_duplicates", counted)
        return asked

    def test_another_share_looks_scores_and_encodes_only_what_is_missing(
        self, corpus: Path, tmp_path: Path, once: list[float]
    ) -> None:
        quality, encoder = Sizes(), Twos()
        for keep in (0.5, 1.0, 0.25):
            build(
                corpus,
                tmp_path / "i",
                encoder=encoder,
                quality=quality,
                keep=keep,
                near_duplicates=0.8,
                overwrite=True,
            )
            build(
                corpus,
                tmp_path / "fresh" / str(keep),
                encoder=Twos(),
                quality=Sizes(),
                keep=keep,
                near_duplicates=0.8,
            )
            assert parts(tmp_path / "i") == parts(tmp_path / "fresh" / str(keep))
        assert quality.seen == [TEXTS[n] for n in (0, 1, 2, 5)]
        assert sorted(encoder.seen) == sorted(quality.seen)
        assert once == [0.8] * 4  # three of them for the fresh ones

    def test_another_threshold_scores_what_had_no_score_of_its_own(
        self, corpus: Path, tmp_path: Path, once: list[float]
    ) -> None:
        quality, encoder = Sizes(), Twos()
        asked = {"encoder": encoder, "quality": quality, "overwrite": True}
        for threshold in (0.8, 1.0, None, 0.9):
            build(corpus, tmp_path / "i", near_duplicates=threshold, **asked)  # type: ignore[arg-type]
        assert once == [0.8, 1.0, 0.9]
        # at .9 all that is left was scored before, when nothing was left out
        assert len(quality.seen) == 4 + 6 + 7
        assert sorted(encoder.seen) == sorted(TEXTS)
        assert numbers(tmp_path / "i", "quality.corpus") == [*SIZES[:3], 12, SIZES[0], 4, SIZES[6]]

    def test_other_protected_ids_are_looked_at_again(
        self, corpus: Path, tmp_path: Path, once: list[float]
    ) -> None:
        asked = {"encoder": Twos(), "near_duplicates": 0.8, "overwrite": True}
        build(corpus, tmp_path / "i", **asked)  # type: ignore[arg-type]
        ids = listed(tmp_path / "ids.txt", "p4")
        build(corpus, tmp_path / "i", protect=ids, **asked)  # type: ignore[arg-type]
        assert rows_of(tmp_path / "i") == [0, 1, 2, 4, 5]
        assert once == [0.8, 0.8]

    def test_what_is_damaged_is_found_again(
        self, corpus: Path, tmp_path: Path, once: list[float]
    ) -> None:
        asked = {"encoder": Twos(), "quality": Sizes(), "near_duplicates": 0.8, "overwrite": True}
        build(corpus, tmp_path / "i", **asked)  # type: ignore[arg-type]
        whole = parts(tmp_path / "i")
        place = tmp_path / "i" / "near_duplicates.npy"
        place.write_bytes(whole["near_duplicates.npy"][:-1] + b"\x7f")
        build(corpus, tmp_path / "i", **asked)  # type: ignore[arg-type]
        assert parts(tmp_path / "i") == whole
        assert once == [0.8, 0.8]

    def test_a_broken_off_build_resumes(self, corpus: Path, tmp_path: Path) -> None:
        asked = {"quality": Sizes(), "near_duplicates": 0.8, "shard_rows": 2}
        first, second = Twos(fails_after=2), Twos()
        with pytest.raises(KeyboardInterrupt):
            build(corpus, tmp_path / "i", encoder=first, **asked)  # type: ignore[arg-type]
        build(corpus, tmp_path / "i", encoder=second, **asked)  # type: ignore[arg-type]
        assert second.seen == [TEXTS[2], TEXTS[5]]
        assert len(asked["quality"].seen) == 4  # type: ignore[attr-defined]
        assert rows_of(tmp_path / "i") == [0, 1, 2, 5]


class TestWrongCalls:
    @pytest.mark.parametrize("threshold", [0.05, 1.1, -1.0, float("nan")])
    def test_a_threshold_that_is_none(self, corpus: Path, tmp_path: Path, threshold: float) -> None:
        with pytest.raises(BadArguments, match=r"expected 0\.1 to 1"):
            build(corpus, tmp_path / "i", encoder="hashing", near_duplicates=threshold)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["c.jsonl"]

    def test_the_library_is_named_before_any_work(
        self, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "rensa", None)
        with pytest.raises(MissingDependency, match="pip install rensa"):
            build(corpus, tmp_path / "i", encoder="hashing", near_duplicates=0.8)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["c.jsonl"]


def test_by_the_command_line(corpus: Path, tmp_path: Path) -> None:
    line = ["build", str(corpus), "-o", str(tmp_path / "i"), "--encoder", "hashing"]
    line += ["--quality", "length", "--keep", "0.5", "--near-duplicates", "0.8"]
    built = CliRunner().invoke(app, line)
    assert built.exit_code == 0, built.output
    shown = CliRunner().invoke(app, ["info", str(tmp_path / "i")])
    for output in (built.stdout, shown.stdout):
        told = [text.strip() for text in output.splitlines()]
        assert "passages   2 of 7 (0 skipped)" in told
        where = told.index("repeated   3 near-duplicates, from 0.8 alike")
        assert told[where + 1] == f"left out   p3 repeats p1  {TEXTS[3]}"
        assert told[where + 2] == f"p4 repeats p0  {TEXTS[4]}"
        assert "pruned     2 of 4 (50.0%) by length, keep 0.5, lowest score kept 7" in told
    body = json.loads(CliRunner().invoke(app, ["info", str(tmp_path / "i"), "--json"]).stdout)
    assert body["near_duplicates"]["dropped"] == 3

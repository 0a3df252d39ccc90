"""The text after --ann, and what a recipe becomes for a corpus of a given size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.core.errors import BadArguments
from tamis.index.recipes import AnnRecipe, parse_recipe


@pytest.mark.parametrize(
    ("text", "recipe"),
    [
        ("flat", AnnRecipe("flat")),
        ("sq8", AnnRecipe("sq8")),
        (
            "hnsw:M=16,efConstruction=40,efSearch=64",
            AnnRecipe("hnsw", {"M": 16, "efConstruction": 40, "efSearch": 64}),
        ),
        (" ivf: nlist = 64 , nprobe=4", AnnRecipe("ivf", {"nlist": 64, "nprobe": 4})),
        ("ivfpq:m=48", AnnRecipe("ivfpq", {"m": 48})),
        ("ivfpq:", AnnRecipe("ivfpq")),
    ],
)
def test_text_becomes_a_recipe_and_back(text: str, recipe: AnnRecipe) -> None:
    assert parse_recipe(text) == recipe
    assert parse_recipe(str(recipe)) == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("annoy", "known: flat, sq8, hnsw, ivf, ivfpq"),
        ("", "known: flat, sq8, hnsw, ivf, ivfpq"),
        ("flat:M=3", "flat has no parameter 'M'; known: none"),
        ("hnsw:m=3", "known: M, efConstruction, efSearch, threads"),
        ("hnsw:M=1", "from 2 to 512"),
        ("hnsw:M=", "from 2 to 512"),
        ("hnsw:M=-4", "from 2 to 512"),
        ("hnsw:M=3.5", "from 2 to 512"),
        ("hnsw:M=³", "from 2 to 512"),
        ("ivfpq:bits=9", "from 4 to 8"),
        ("ivf:nprobe=8,nprobe=9", "nprobe is set twice"),
    ],
)
def test_a_wrong_recipe_says_what_is_right(text: str, said: str) -> None:
    with pytest.raises(BadArguments, match=said.replace("(", r"\(")):
        parse_recipe(text)


@given(n=st.integers(0, 10_000_000), dim=st.integers(1, 4_096))
def test_lists_can_always_be_trained_and_probes_never_exceed_them(n: int, dim: int) -> None:
    lists = parse_recipe("ivf").resolved(n, dim).parameters
    assert 1 <= lists["nprobe"] <= lists["nlist"]
    assert lists["nlist"] == 1 or lists["nlist"] * 39 <= n


@given(n=st.integers(39 * 16, 10_000_000), dim=st.integers(4, 512).map(lambda d: 4 * d))
def test_codes_can_always_be_trained_and_cut_the_vector_evenly(n: int, dim: int) -> None:
    codes = parse_recipe("ivfpq").resolved(n, dim).parameters
    assert (39 << codes["bits"]) <= n
    assert codes["bits"] == 8 or (39 << codes["bits"] + 1) > n
    assert codes["m"] * 4 == dim


def test_a_large_corpus_gets_four_lists_per_square_root() -> None:
    assert parse_recipe("ivf").resolved(1_000_000, 384).parameters["nlist"] == 4_000


@pytest.mark.parametrize(("dim", "m"), [(384, 96), (100, 25), (10, 2), (49, 7), (7, 1)])
def test_pieces_have_four_to_eight_numbers(dim: int, m: int) -> None:
    assert parse_recipe("ivfpq").resolved(10_000, dim).parameters["m"] == m


@pytest.mark.parametrize(
    ("text", "n", "dim", "said"),
    [
        ("ivf:nlist=100", 3_899, 8, "at most nlist=99"),
        ("ivfpq", 623, 8, "at least 624 vectors"),
        ("ivfpq:bits=8", 9_983, 8, "at most bits=7"),
        ("ivfpq:m=5", 10_000, 12, "m may be one of 1, 2, 3, 4, 6, 12"),
        ("ivfpq", 10_000, 11, "no length from 4 to 8 divides the dimension 11"),
    ],
)
def test_what_cannot_be_had_from_so_few_vectors_is_refused(
    text: str, n: int, dim: int, said: str
) -> None:
    with pytest.raises(BadArguments, match=said):
        parse_recipe(text).resolved(n, dim)


def test_choices_survive_and_the_manifest_names_everything() -> None:
    recipe = parse_recipe("hnsw:M=8,threads=2").resolved(1_000, 16)
    assert recipe.to_json() == {
        "kind": "hnsw",
        "M": 8,
        "efConstruction": 200,
        "efSearch": 128,
        "threads": 2,
        "reproducible": False,
    }
    assert parse_recipe("hnsw").resolved(1_000, 16).to_json()["reproducible"] is True
    assert parse_recipe("ivf:nlist=4,nprobe=9").resolved(1_000, 16).parameters["nprobe"] == 4

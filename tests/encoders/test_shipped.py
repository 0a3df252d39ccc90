"""The encoders that come with the package: their size, their space, what they know."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import tamis
from tamis.encoders import shipped
from tamis.encoders.folded.spec import FoldedSpec
from tamis.encoders.minilm_numpy import DIM, SPACE
from tamis.encoders.recurrent.kinds import read_spec as read_model
from tamis.encoders.training import recipes
from tamis.encoders.training.spec import read_spec, read_toml
from tamis.encoders.training.texts import TextSource

NAMES = ["tamis-small", "tamis-tiny"]
FOLDER = Path(shipped.__file__).parent / "models"
RECIPES = Path(recipes.__file__).parent / "recipes"
PAIRS = [
    ("how long does a flea live?", "Most fleas die after two or three months."),
    ("why is the sky blue", "Air scatters short waves of sunlight more than long ones."),
    ("who wrote war and peace", "The novel was published by Leo Tolstoy in 1869."),
    ("symptoms of iron deficiency", "Anaemia makes people pale and tired."),
    ("how to bake bread", "Knead the dough, let it rise and put it into a hot oven."),
]


@pytest.mark.parametrize("name", NAMES)
def test_it_lives_in_the_space_of_minilm(name: str) -> None:
    card = tamis.encoder(name).card
    assert (card.name, card.space, card.dim, card.similarity) == (name, SPACE, DIM, "cosine")
    assert (card.max_length, card.passage_prefix, card.query_prefix) == (512, "", "")


def test_they_are_small_enough_for_the_repository() -> None:
    sizes = [
        sum(path.stat().st_size for path in (FOLDER / name).rglob("*") if path.is_file())
        for name in NAMES
    ]
    assert max(sizes) <= 24e6
    assert sum(sizes) <= 40e6


@pytest.mark.parametrize("name", NAMES)
def test_questions_find_answers_in_other_words(name: str) -> None:
    encoder = tamis.encoder(name)
    queries = encoder.encode_queries([query for query, _ in PAIRS])
    passages = encoder.encode_passages([passage for _, passage in PAIRS])
    assert (queries @ passages.T).argmax(1).tolist() == list(range(len(PAIRS)))


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_words_counts(name: str) -> None:
    encoder = tamis.encoder(name)
    one, other = encoder.encode_queries(["dog bites man", "man bites dog"])
    assert float(one @ other) < 0.9999


@pytest.mark.parametrize("name", NAMES)
def test_a_card_credits_the_teacher_and_the_sources(name: str) -> None:
    card = (FOLDER / name / "README.md").read_text("utf-8")
    for told in ("all-MiniLM-L6-v2", "Apache-2.0", "CC BY-SA", "nDCG@10", f'encoder("{name}")'):
        assert told in card


@pytest.mark.parametrize(("layers", "title"), [(0, "static"), (1, "1 layer"), (3, "3 layers")])
def test_a_title_counts_its_layers(layers: int, title: str) -> None:
    spec = FoldedSpec(layers, width=384 if layers else 0, rank=384, dim=384, vocabulary=9)
    assert spec.title.removeprefix("folded minGRU, ") == title


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_what_its_folder_holds(name: str) -> None:
    card = (FOLDER / name / "README.md").read_text("utf-8")
    assert f"passages and queries ({read_model(FOLDER / name).title}): text to 384" in card


START = {"small-start": "", "small-words": "tamis-small-start", "small": "tamis-small-words"}


@pytest.mark.parametrize(("recipe", "start"), [*START.items(), ("tiny", "")])
def test_a_recipe_goes_on_from_what_the_data_folder_holds(
    recipe: str, start: str, tmp_path: Path
) -> None:
    spec = read_spec(RECIPES / f"tamis-{recipe}.toml", tmp_path)
    assert spec.model.start == start
    assert spec.path(spec.model.start) == tmp_path / start
    sources = spec.list_of(TextSource, "texts")
    assert {Path(source.path).parent.name for source in sources} == {"queries", "text"}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_its_recipe_makes(name: str) -> None:
    asked = model_of(name)
    while "start" in asked:
        asked = model_of(asked["start"])
    stored = json.loads((FOLDER / name / "config.json").read_text("utf-8"))
    assert {key: stored[key] for key in asked} == asked
    with safe_open(FOLDER / name / "model.safetensors", framework="np") as file:
        assert np.ptp(file.get_tensor("weight")) == 0  # word pieces count alike


def model_of(recipe: str) -> dict[str, Any]:
    found: dict[str, Any] = read_toml(RECIPES / f"{recipe}.toml")["model"]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_no_torch_is_needed(name: str) -> None:
    code = (
        "import sys, tamis\n"
        f"tamis.encoder({name!r}).encode_passages(['a flea'])\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_build_uses_the_small_one(tmp_path: Path) -> None:
    corpus = tmp_path / "c.jsonl"
    corpus.write_text('{"id": "p", "text": "a flea lives two months"}\n', "utf-8")
    index = tamis.build(corpus, tmp_path / "i", query_encoder="own")
    assert index.encoder.card.name == "tamis-small"
    [hit] = index.search("flea")
    both = tamis.encoder("tamis-small").encode_passages([hit.passage.full_text])
    np.testing.assert_allclose(hit.score, both[0] @ index.encoder.encode_queries(["flea"])[0], 1e-4)

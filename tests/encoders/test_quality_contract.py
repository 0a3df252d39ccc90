"""What ``core.protocols.QualityModel`` promises, asked of every registered quality model."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core import registry
from tamis.core.errors import BadData
from tamis.core.protocols import Encoded, Encoder, EncoderCard, QualityCard, QualityRecipe
from tamis.encoders.quality.features import FEATURES
from tamis.encoders.quality.regression import FeatureQuality, Weight

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tamis.core.protocols import QualityModel, Role
    from tamis.core.records import Int32Array

NAMES = registry.names("quality")
NEURAL = {"qualt5": "t5_folder", "perplexity:causal": "gpt2_folder", "perplexity:t5": "t5_folder"}
"""Name, or one more than is registered, to the fixture with its checkpoint."""
ALL = sorted({*NAMES, *NEURAL})
CORPUS = [
    "A flea lives for a hundred days, or so the book of fleas says.",
    "The cat sleeps; the dog does not sleep, and the bird sings.",
    "Bread is made of flour, water and salt. It takes three days.",
    "the king of the old city and the queen of the new city",
    "flea",
]
TEXTS = [
    *CORPUS,
    "",
    " \n\t ",
    "...!!! ---",
    "Die Lebensdauer eines Flohs beträgt zwei bis drei Monate.",
    "日本 \U0001f3b5 naïve ǅ ²",
    "a lone \ud800 surrogate",
    "FLEA Flea fLeA",
    "words nobody has ever met: qwzx, xqjv.",
    *(f"passage number {n} of many " * (n % 7 + 1) for n in range(20)),
    "long " * 3000,
]


def regression() -> FeatureQuality:
    """A different weight for every feature."""
    weights = {
        name: Weight(mean=0.1 * place, scale=0.5 + place, weight=1.0 - 0.3 * place)
        for place, name in enumerate(FEATURES)
    }
    return FeatureQuality(0.25, weights)


class Lengths(Encoder):
    """Vectors that are as long as their text is, in its own direction."""

    card = EncoderCard("lengths", "lengths", "lengths", 2, "dot", "none", 0)

    def encode(self, texts: Sequence[str], role: Role) -> Encoded:
        assert role == "passage"
        rows = [[len(text), 3 * text.encode("utf-8").count(b"e")] for text in texts]
        vectors = np.array(rows, np.float32).reshape(len(texts), 2)
        return Encoded(vectors, self.count_tokens(texts, role))

    def count_tokens(self, texts: Sequence[str], role: Role) -> Int32Array:
        del role
        return np.array([len(text.split()) for text in texts], np.int32)


def made(name: str, folder: Path, corpus: list[str]) -> QualityModel:
    """``folder`` is empty, or the checkpoint of a neural model."""
    if name in NEURAL:
        kind = name.partition(":")[0]
        neural: QualityModel = registry.load("quality", kind)(model=folder)
        return neural
    if name in ("magnitude", "minus-magnitude"):
        measured: QualityModel = registry.load("quality", name)(encoder=Lengths())
        return measured
    if name == "features":
        regression().save(folder / "features.json")
        loaded: QualityModel = registry.load("quality", name)(model=folder / "features.json")
        return loaded
    found = registry.load("quality", name)()
    return found.fit(iter(corpus)) if isinstance(found, QualityRecipe) else found


@pytest.fixture(scope="module", params=ALL)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> QualityModel:
    return made(request.param, place(request.param, request, tmp_path_factory), CORPUS)


def place(
    name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    if name in NEURAL:
        found: Path = request.getfixturevalue(NEURAL[name])
        return found
    return tmp_path_factory.mktemp("quality")


def test_the_models_that_ship_are_registered() -> None:
    assert {"cdd", "recurrent", "features", "itn", "length", "perplexity", "random"} <= set(NAMES)
    assert {"magnitude", "minus-magnitude", "qualt5"} <= set(NAMES)


class TestQualityContract:
    def test_one_finite_float32_a_text(self, model: QualityModel) -> None:
        scores = model.score(TEXTS)
        assert scores.shape == (len(TEXTS),)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert len(set(scores.tolist())) > 5  # and not one and the same for all

    def test_no_text_no_scores(self, model: QualityModel) -> None:
        scores = model.score([])
        assert scores.shape == (0,)
        assert scores.dtype == np.float32

    def test_a_text_without_a_word_is_legal(self, model: QualityModel) -> None:
        for text in ("", " \n\t ", "...!!! ---"):
            assert np.isfinite(model.score([text])).all()

    def test_a_score_depends_on_its_text_alone(
        self, model: QualityModel, request: pytest.FixtureRequest
    ) -> None:
        whole = model.score(TEXTS)
        order = np.random.default_rng(1).permutation(len(TEXTS))
        shuffled = model.score([TEXTS[place] for place in order])
        alone = np.array([model.score([text])[0] for text in TEXTS], np.float32)
        rounding = 1e-5 if request.node.callspec.params["model"] in NEURAL else 0
        np.testing.assert_allclose(shuffled, whole[order], rtol=rounding)
        np.testing.assert_allclose(alone, whole, rtol=rounding)

    def test_equal_texts_have_equal_scores(self, model: QualityModel) -> None:
        first, _, again = model.score([CORPUS[0], "something else", CORPUS[0]])
        np.testing.assert_allclose(first, again, rtol=1e-6)

    def test_the_input_is_left_alone(self, model: QualityModel) -> None:
        given = tuple(TEXTS)
        model.score(given)
        assert given == tuple(TEXTS)

    def test_the_card_is_a_value_for_json_under_the_registered_name(
        self, model: QualityModel, request: pytest.FixtureRequest
    ) -> None:
        card = dataclasses.asdict(model.card)
        assert QualityCard(**json.loads(json.dumps(card))) == model.card
        assert len(model.card.fingerprint) == 64
        named = request.node.callspec.params["model"].partition(":")[0]
        assert model.card.name.partition(" (")[0] == named


@pytest.mark.parametrize("name", ALL)
def test_made_twice_it_is_the_same_model(
    name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = place(name, request, tmp_path_factory)
    first, second = made(name, folder, CORPUS), made(name, folder, CORPUS)
    assert first.card == second.card
    assert np.array_equal(first.score(TEXTS), second.score(TEXTS))


def test_no_two_models_share_a_fingerprint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folders = {name: place(name, request, tmp_path_factory) for name in ALL}
    prints = [made(name, folders[name], CORPUS).card.fingerprint for name in ALL]
    assert len(set(prints)) == len(ALL)


class TestFitting:
    """Of the models that read their corpus first."""

    @pytest.fixture(params=[name for name in NAMES if name in ("cdd", "perplexity")])
    def recipe(self, request: pytest.FixtureRequest) -> QualityRecipe:
        found: QualityRecipe = registry.load("quality", request.param)()
        assert found.name == request.param
        return found

    def test_another_corpus_is_another_model(self, recipe: QualityRecipe) -> None:
        first, second = recipe.fit(iter(CORPUS)), recipe.fit(iter(CORPUS[1:]))
        assert first.card.fingerprint != second.card.fingerprint
        assert not np.array_equal(first.score(CORPUS), second.score(CORPUS))
        third = recipe.fit(iter(CORPUS))  # nothing of a corpus stays in the recipe
        assert third.card == first.card
        assert np.array_equal(third.score(CORPUS), first.score(CORPUS))

    @pytest.mark.parametrize("corpus", [[], [""], ["...", " "]])
    def test_a_corpus_without_a_word_is_refused(
        self, recipe: QualityRecipe, corpus: list[str]
    ) -> None:
        with pytest.raises(BadData, match="without a word"):
            recipe.fit(iter(corpus))

    def test_the_order_of_the_corpus_does_not_matter(self, recipe: QualityRecipe) -> None:
        forth, back = recipe.fit(iter(CORPUS)), recipe.fit(reversed(CORPUS))
        assert np.array_equal(forth.score(TEXTS), back.score(TEXTS))

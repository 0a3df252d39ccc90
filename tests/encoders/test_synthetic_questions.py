"""The round trip, and questions of a sequence-to-sequence model made here."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: E402
from transformers import (  # noqa: E402
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from tamis.core.errors import BadArguments, BadData, MissingResource  # noqa: E402
from tamis.core.records import Passage  # noqa: E402
from tamis.encoders.training.questions.seq2seq_questions import Seq2SeqQuestions, _Draws  # noqa: E402
from tamis.encoders.training.questions.synthetic_questions import RowQuestion, round_trip  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tamis.core.records import Int64Array


def test_the_round_trip_keeps_what_finds_its_passage() -> None:
    ranked = {"a": [4, 7, 1], "b": [1], "c": []}

    def search(questions: Sequence[str], depth: int) -> list[Int64Array]:
        return [np.array(ranked[text][:depth], np.int64) for text in questions]

    asked = [RowQuestion("a", 7), RowQuestion("b", 7), RowQuestion("a", 4), RowQuestion("c", 0)]
    assert round_trip(asked, search, 1) == [asked[2]]
    assert round_trip(asked, search, 2) == [asked[0], asked[2]]
    assert round_trip([], search, 2) == []


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only lose time to threads that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


VOCABULARY = ["<pad>", "</s>", "<unk>", *(f"w{number}" for number in range(60))]
PASSAGES = [
    Passage(f"p{length}", " ".join(f"w{(length * 7 + place) % 60}" for place in range(length)))
    for length in (31, 32, 33, 5)
]
"""Three of them fill one batch, with padding."""


def words() -> PreTrainedTokenizerFast:
    numbers = {word: number for number, word in enumerate(VOCABULARY)}
    rust = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))  # noqa: S106
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=rust,
        pad_token="<pad>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of one layer that knows nothing, as transformers saves it."""
    torch.manual_seed(3)
    config = T5Config(
        vocab_size=len(VOCABULARY),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_decoder_layers=1,
        num_heads=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        initializer_factor=2.0,
    )
    place = tmp_path_factory.mktemp("models") / "t5"
    T5ForConditionalGeneration(config).eval().save_pretrained(place)
    words().save_pretrained(place)
    return place


def test_a_model_asks_within_the_contract(folder: Path) -> None:
    made = Seq2SeqQuestions(folder).questions(PASSAGES, 4, 0)
    assert len(made) == len(PASSAGES)
    for own in made:
        assert len(own) <= 4
        assert len(set(own)) == len(own)
        assert all(set(each.split()) <= set(VOCABULARY[2:]) for each in own)
        assert all(len(each.split()) <= 64 for each in own)
    assert sum(len(own) > 1 for own in made) >= 2
    assert Seq2SeqQuestions(folder).questions(PASSAGES, 0, 0) == [[]] * len(PASSAGES)
    assert Seq2SeqQuestions(folder).questions([], 3, 0) == []


def test_a_question_does_not_depend_on_its_batch(folder: Path) -> None:
    generator = Seq2SeqQuestions(folder)
    together = generator.questions(PASSAGES, 6, 7)
    assert together == [generator.questions([passage], 6, 7)[0] for passage in PASSAGES]
    assert together == generator.questions(PASSAGES[::-1], 6, 7)[::-1]
    assert together != generator.questions(PASSAGES, 6, 8)
    torch.manual_seed(1)
    assert together == generator.questions(PASSAGES, 6, 7)
    twin = Passage("another id", PASSAGES[0].text)
    assert together[0] != generator.questions([twin], 6, 7)[0]


def test_the_likeliest_token_alone_is_greedy_decoding(folder: Path) -> None:
    model = T5ForConditionalGeneration.from_pretrained(folder)
    tokenizer = words()
    generator = Seq2SeqQuestions(folder, top_k=1)
    said = 0
    for passage in PASSAGES:
        ids = tokenizer(passage.full_text, return_tensors="pt")["input_ids"]
        out = model.generate(ids, do_sample=False, num_beams=1, max_new_tokens=64)
        expected = tokenizer.decode(out[0], skip_special_tokens=True)
        assert generator.questions([passage], 2, 0) == [[expected] if expected else []]
        said += bool(expected)
    assert said >= 2


def test_a_prefix_is_read_before_the_passage(folder: Path) -> None:
    whole = Passage("p", "w1 w2 w3 w4")
    rest = Passage("p", "w3 w4")
    prefixed = Seq2SeqQuestions(folder, prefix="w1 w2 ").questions([rest], 2, 0)
    assert prefixed == Seq2SeqQuestions(folder).questions([whole], 2, 0)
    assert prefixed != Seq2SeqQuestions(folder).questions([rest], 2, 0)


def test_draws_follow_the_softmax_of_the_best() -> None:
    """10,000 draws of one step against the probabilities themselves."""
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, 3.0]]).repeat(10_000, 1)
    drawn = _Draws(3, list(range(10_000)))(logits, logits).argmax(1).tolist()
    counts = Counter(drawn)
    weights = np.exp([3.0, 2.0, 1.0])
    expected = dict(zip([4, 0, 1], 10_000 * weights / weights.sum(), strict=True))
    assert set(counts) == set(expected)
    assert sum((counts[k] - expected[k]) ** 2 / expected[k] for k in expected) < 13.8  # p = 0.001


def test_wrong_models_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingResource, match=r"the question generator .*nowhere"):
        Seq2SeqQuestions(tmp_path / "nowhere")
    small = BertConfig(
        vocab_size=63,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    BertModel(small).save_pretrained(tmp_path / "bert")
    words().save_pretrained(tmp_path / "bert")
    with pytest.raises(BadData, match="no encoder and decoder"):
        Seq2SeqQuestions(tmp_path / "bert")
    shutil.copytree(folder, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(BadData, match="is a pickle"):
        Seq2SeqQuestions(tmp_path / "pickled")
    with pytest.raises(BadArguments, match="top_k is 0"):
        Seq2SeqQuestions(folder, top_k=0)


def test_code_in_a_model_folder_is_not_run(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "theirs"
    shutil.copytree(folder, place)
    config: dict[str, Any] = json.loads((place / "config.json").read_text("utf-8"))
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Theirs"}}
    (place / "config.json").write_text(json.dumps(config), "utf-8")
    (place / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", "utf-8")
    with pytest.raises(MissingResource):
        Seq2SeqQuestions(place)
    assert not (tmp_path / "ran").exists()

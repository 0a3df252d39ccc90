"""monoT5: truth from the whole T5 with all its logits, over a tiny random model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.core.protocols import Candidates
from tamis.core.records import Passage, Query, Ranking
from tamis.rerank.monot5 import MonoT5Reranker
from tamis.rerank.pair_batches import pair_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOM = 40
TEXTS = [
    "a flea lives for days",
    "the dog",
    "bread for the sea " * 3,
    "wind for the sea, long days " * 2,
    "cat",
]
QUESTION = "how long lives a flea?"


@pytest.fixture(scope="module")
def folder(tiny_t5: Path) -> Path:
    return tiny_t5


def candidates(question: str, texts: Sequence[str]) -> Candidates:
    n = len(texts)
    scores = np.linspace(1, 0, n, dtype=np.float32)
    ranking = Ranking(Query("q", question), np.arange(n, dtype=np.int64), scores)
    return Candidates(ranking, [Passage(f"p{i}", text) for i, text in enumerate(texts)])


def oracle(
    folder: Path, prompts: Sequence[str], answers: Sequence[str] = ("true", "false")
) -> np.ndarray:
    """One prompt at a time through the whole model, its whole output layer."""
    import torch
    from transformers import AutoTokenizer, T5ForConditionalGeneration

    model = T5ForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in answers]
    found = []
    for prompt in prompts:
        ids = [*tokenizer(prompt, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        with torch.inference_mode():
            out = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([[0]]))
        true, false = out.logits[0, 0, rows].double().log_softmax(0).tolist()
        found.append(true - false)
    return np.array(found)


def prompt(question: str, text: str) -> str:
    return f"Query: {question} Document: {text} Relevant:"


@pytest.mark.parametrize("tied", [False, True])
def test_scores_are_the_log_odds_of_the_whole_model(
    save_t5: Callable[..., Path], tmp_path: Path, tied: bool
) -> None:
    folder = save_t5(tmp_path / "model", tied=tied)
    found = MonoT5Reranker(model=folder).score([candidates(QUESTION, TEXTS)])[0]
    expected = oracle(folder, [prompt(QUESTION, text) for text in TEXTS])
    assert np.ptp(expected) > 0.01, "a model that says the same of everything tests nothing"
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert found.dtype == np.float32


def test_other_words_may_answer(folder: Path) -> None:
    reranker = MonoT5Reranker(model=folder, positive="cat", negative="dog")
    found = reranker.score([candidates(QUESTION, TEXTS)])[0]
    expected = oracle(folder, [prompt(QUESTION, text) for text in TEXTS], ("cat", "dog"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert reranker.fingerprint != MonoT5Reranker(model=folder).fingerprint
    with pytest.raises(BadData, match=r"'zebra' is \[.*one token"):
        MonoT5Reranker(model=folder, positive="zebra").prepare()


def test_a_long_passage_loses_its_end_and_nothing_else(folder: Path) -> None:
    """Of the 40 tokens 14 are not the passage's."""
    found = MonoT5Reranker(model=folder).score([candidates("the sea wind cat", ["dog " * 90])])[0]
    room = ROOM - (3 + 4 + 3 + 3 + 1)
    exact = None
    for words in range(room - 6, room + 7):  # the prompt of exactly 40 tokens
        text = prompt("the sea wind cat", ("dog " * words).strip())
        if _length(folder, text) == ROOM:
            exact = text
    assert exact is not None
    np.testing.assert_allclose(found, oracle(folder, [exact]), rtol=0, atol=1e-4)


def _length(folder: Path, text: str) -> int:
    from transformers import AutoTokenizer

    return 1 + len(
        AutoTokenizer.from_pretrained(folder)(text, add_special_tokens=False)["input_ids"]
    )


def test_an_endless_query_leaves_room_for_the_passage(folder: Path) -> None:
    reranker = MonoT5Reranker(model=folder)
    found = reranker.score([candidates("cat " * 300, ["flea", "dog"])])[0]
    expected = oracle(folder, [prompt(("cat " * 20).strip(), text) for text in ("flea", "dog")])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_neither_order_nor_company_matters(folder: Path) -> None:
    reranker = MonoT5Reranker(model=folder)
    batch = [
        candidates(QUESTION, TEXTS),
        candidates("bread", []),
        candidates("sea wind", TEXTS[::-1] * 9),
        candidates("the cat", [TEXTS[1], TEXTS[1]]),
    ]
    together = reranker.score(batch)
    assert [len(scores) for scores in together] == [5, 0, 45, 2]
    assert together[3][0] == pytest.approx(together[3][1], abs=1e-5)
    for scores, each in zip(together, batch, strict=True):
        np.testing.assert_allclose(scores, reranker.score([each])[0], rtol=0, atol=1e-4)
    turned = reranker.score([candidates(QUESTION, TEXTS[::-1])])[0]
    np.testing.assert_allclose(turned[::-1], together[0], rtol=0, atol=1e-4)


def test_odd_passages_have_finite_scores(folder: Path) -> None:
    odd = [" ", "?!", "日本語の文", "flea " * 3000, "\u200b", "a\nb\tc"]
    for question in (QUESTION, "???", " "):
        assert np.isfinite(MonoT5Reranker(model=folder).score([candidates(question, odd)])).all()


def test_nothing_is_loaded_before_the_first_score(tmp_path: Path) -> None:
    reranker = MonoT5Reranker(model=tmp_path / "absent")
    assert reranker.score([]) == []
    with pytest.raises(MissingResource, match=r"absent.*--rerank monot5=FOLDER"):
        reranker.prepare()


def test_only_a_t5_in_safetensors_is_read(folder: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    pickled = Path(shutil.copytree(folder, tmp_path / "pickled"))
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(MissingResource, match="safetensors"):
        MonoT5Reranker(model=pickled).prepare()
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    settings = json.loads((other / "config.json").read_text("utf-8"))
    (other / "config.json").write_text(json.dumps({**settings, "model_type": "bart"}), "utf-8")
    with pytest.raises(BadData, match=r"is a 'bart' model; expected one of t5"):
        MonoT5Reranker(model=other).prepare()


def test_the_fingerprint_follows_the_weights(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    first = MonoT5Reranker(model=folder).fingerprint
    assert MonoT5Reranker(model=copy).fingerprint == first
    body = bytearray((copy / "model.safetensors").read_bytes())
    body[-1] ^= 1
    (copy / "model.safetensors").write_bytes(body)
    assert MonoT5Reranker(model=copy).fingerprint != first


def test_a_device_that_is_not_there_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadArguments, match=r"cuda:0.*--device cpu"):
        MonoT5Reranker(model=folder, device="cuda:0").prepare()


def test_the_name_tells_models_apart(folder: Path) -> None:
    assert MonoT5Reranker().name == "monot5"
    assert MonoT5Reranker(model=folder).name == "monot5 (tiny)"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 90), max_size=40), st.integers(1, 200))
def test_batches_hold_every_pair_once_within_the_budget(lengths: list[int], budget: int) -> None:
    given = np.array(lengths, np.int64)
    batches = list(pair_batches(given, budget))
    assert sorted(np.concatenate([*batches, np.empty(0, np.int64)]).tolist()) == list(
        range(len(lengths))
    )
    for rows in batches:
        assert len(rows) == 1 or len(rows) * given[rows].max() <= budget
    longest = [given[rows].max() for rows in batches]
    assert longest == sorted(longest, reverse=True)

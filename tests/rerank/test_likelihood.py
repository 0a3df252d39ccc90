"""Query likelihood: truth is a plain forward pass for each pair, token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tamis
from tamis.core.errors import BadArguments
from tamis.core.protocols import Candidates
from tamis.core.records import Passage, Query, Ranking
from tamis.encoders.quality.language_model import load_language_model
from tamis.rerank import likelihood
from tamis.rerank.likelihood import LikelihoodReranker

if TYPE_CHECKING:
    from pathlib import Path

QUESTION = "how long a flea lives"
TEXTS = [
    "flea lives for days",
    "the dog",
    "bread the sea wind days of long",
    "wind sea " * 4,
    "",
    "cat",
]


def candidates(question: str, texts: list[str]) -> Candidates:
    n = len(texts)
    ranking = Ranking(Query("q", question), np.arange(n, dtype=np.int64), np.zeros(n, np.float32))
    return Candidates(ranking, [Passage(f"p{i}", text) for i, text in enumerate(texts)])


def language(folder: Path) -> Any:
    return load_language_model("likelihood", folder, "cpu", lambda *_: None)


def of_causal(folder: Path, question: str, prompt: str) -> float:
    """Sum of log p of the query's tokens after start sign and prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    before = [1, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
    query = tokenizer(question, add_special_tokens=False)["input_ids"]
    total = 0.0
    for place, token in enumerate(query):
        with torch.no_grad():
            logits = model(torch.tensor([before + query[:place]])).logits[0, -1]
        total += float(torch.log_softmax(logits.double(), 0)[token])
    return total


def of_t5(folder: Path, question: str, prompt: str) -> float:
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    read = torch.tensor([[*tokenizer(prompt, add_special_tokens=False)["input_ids"], 1]])
    query = tokenizer(question, add_special_tokens=False)["input_ids"]
    total = 0.0
    for place, token in enumerate(query):
        with torch.no_grad():
            logits = model(
                input_ids=read, decoder_input_ids=torch.tensor([[0, *query[:place]]])
            ).logits[0, -1]
        total += float(torch.log_softmax(logits.double(), 0)[token])
    return total


@pytest.mark.parametrize("budget", [1, 40, 4096])
def test_a_causal_model_foresees_the_query(
    tiny_gpt2: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setitem(likelihood._BUDGET, "cpu", budget)
    prompt = "the Document: {passage} for: "
    reranker = LikelihoodReranker(language=language(tiny_gpt2), prompt=prompt)
    found = reranker.score([candidates(QUESTION, TEXTS), candidates("dog", TEXTS[:2])])
    expected = [of_causal(tiny_gpt2, QUESTION, prompt.format(passage=each)) for each in TEXTS]
    assert np.ptp(expected) > 0.5, "a model that says the same of everything tests nothing"
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    assert found[0].dtype == np.float32
    expected = [of_causal(tiny_gpt2, "dog", prompt.format(passage=each)) for each in TEXTS[:2]]
    np.testing.assert_allclose(found[1], expected, rtol=1e-5)


@pytest.mark.parametrize("budget", [1, 40, 4096])
def test_a_decoder_foresees_the_query(
    tiny_t5: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setitem(likelihood._BUDGET, "cpu", budget)
    reranker = LikelihoodReranker(language=language(tiny_t5))
    found = reranker.score([candidates(QUESTION, TEXTS), candidates("dog", TEXTS[:2])])
    expected = [of_t5(tiny_t5, QUESTION, each) for each in TEXTS]
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    expected = [of_t5(tiny_t5, "dog", each) for each in TEXTS[:2]]
    np.testing.assert_allclose(found[1], expected, rtol=1e-5)


def test_a_model_that_gives_all_logits_says_the_same(tiny_gpt2: Path) -> None:
    reranker = LikelihoodReranker(language=language(tiny_gpt2))
    expected = reranker.score([candidates(QUESTION, TEXTS)])[0]
    assert reranker._keeps_logits
    reranker._keeps_logits = False
    found = reranker.score([candidates(QUESTION, TEXTS)])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_long_passage_loses_its_end_and_nothing_else(tiny_gpt2: Path) -> None:
    prompt = "the {passage} for"
    reranker = LikelihoodReranker(language=language(tiny_gpt2), prompt=prompt)
    found = reranker.score([candidates(QUESTION, ["sea " * 400])])[0]
    # 60 tokens: the start, "the", "for" and the query's five leave 52 of the passage
    asked = len(language(tiny_gpt2).tokenizer(QUESTION)["input_ids"])
    expected = of_causal(tiny_gpt2, QUESTION, f"the {'sea ' * (60 - 3 - asked)}for")
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


def test_windows_take_the_best(tiny_gpt2: Path) -> None:
    model = language(tiny_gpt2)
    parts = ["sea wind", "flea lives", "dog cat", "bread days"]
    alone = LikelihoodReranker(language=model).score([candidates(QUESTION, parts)])[0]
    whole = LikelihoodReranker(language=model, words=2, stride=2)
    found = whole.score([candidates(QUESTION, [" ".join(parts), parts[0]])])[0]
    np.testing.assert_allclose(found, [alone.max(), alone[0]], rtol=1e-5)


def test_a_query_of_nothing_scores_nothing(tiny_gpt2: Path, tiny_t5: Path) -> None:
    for folder in (tiny_gpt2, tiny_t5):
        reranker = LikelihoodReranker(language=language(folder))
        batch = [candidates("", TEXTS), candidates("dog", TEXTS[:1])]
        found = reranker.score(batch)
        assert found[0].tolist() == [0.0] * len(TEXTS)
        assert found[1][0] < 0


def test_by_name_with_a_model_and_never_without(tiny_t5: Path) -> None:
    made = tamis.reranker("likelihood", model=str(tiny_t5), keep=3, prompt="Document: {passage}")
    assert (made.name, made.keep) == ("likelihood (tiny)", 3)
    with pytest.raises(BadArguments, match=r"likelihood needs a language model.*likelihood=FOLDER"):
        tamis.reranker("likelihood")
    with pytest.raises(BadArguments, match=r"expected \{passage\} in it, once"):
        tamis.reranker("likelihood", model=str(tiny_t5), prompt="Document:")
    with pytest.raises(BadArguments, match=r"goes on for \d+ tokens after \{passage\}"):
        LikelihoodReranker(language=language(tiny_t5), prompt="{passage}" + " sea" * 300)


def test_prompt_and_windows_make_another_fingerprint(tiny_t5: Path) -> None:
    model = language(tiny_t5)
    marks = {
        LikelihoodReranker(language=model).fingerprint,
        LikelihoodReranker(language=model, prompt="a {passage}").fingerprint,
        LikelihoodReranker(language=model, words=5).fingerprint,
    }
    assert len(marks) == 3

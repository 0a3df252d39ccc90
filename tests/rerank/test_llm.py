"""Listwise windows over an endpoint: a stub server answers, well and badly."""

from __future__ import annotations

import json
import logging
import socket
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tamis
from tamis.core.errors import BadArguments, FailedWhileRunning
from tamis.core.protocols import Candidates
from tamis.core.records import Passage, Query, Ranking
from tamis.rerank import chat_endpoint
from tamis.rerank.chat_endpoint import ChatEndpoint
from tamis.rerank.llm import LlmReranker, permutation

SECRET = "sk-not-to-be-told"  # noqa: S105


def candidates(texts: list[str], question: str = "which is\nthe longest?") -> Candidates:
    n = len(texts)
    scores = np.linspace(1, 0, n, dtype=np.float32)
    ranking = Ranking(Query("q", question), np.arange(n, dtype=np.int64), scores)
    return Candidates(ranking, [Passage(f"p{i}", text) for i, text in enumerate(texts)])


def words(*lengths: int) -> list[str]:
    return ["x" * length for length in lengths]


def shown(seen: Any) -> list[list[int]]:
    """Lengths of the passages of each request."""
    requests = [body["messages"][-1]["content"] for _, body, _ in seen]
    return [
        [len(line.split("] ")[1]) for line in text.splitlines() if line.startswith("[")]
        for text in requests
    ]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(chat_endpoint.time, "sleep", found.append)
    return found


def test_windows_go_from_the_back_to_the_front(stub_endpoint: Any) -> None:
    llm = LlmReranker(model="m", url=stub_endpoint.url, window=4, stride=2)
    texts = words(3, 1, 2, 5, 4, 9, 7)
    found = llm.score([candidates(texts)])[0]
    # places 3-6, then 1-4, then 0-2 and what of the last window comes first
    assert shown(stub_endpoint.seen) == [[5, 4, 9, 7], [1, 2, 9, 7], [3, 9, 7]]
    order = [len(texts[place]) for place in np.argsort(-found)]
    assert order == [9, 7, 3, 2, 1, 5, 4]
    assert sorted(found.tolist()) == [1, 2, 3, 4, 5, 6, 7]
    assert (llm.asked, llm.malformed) == (3, 0)


def test_what_is_sent(stub_endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_TEST_KEY", SECRET)
    url = stub_endpoint.url + "/"
    llm = LlmReranker(model="m", url=url, key="TAMIS_TEST_KEY", passage_words=2)
    llm.score([candidates(["one two three", "four\nfive six"])])
    path, body, headers = stub_endpoint.seen[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert (body["model"], body["temperature"]) == ("m", 0)
    text = body["messages"][-1]["content"]
    assert text.startswith("[1] one two\n[2] four five\n\nSearch query: which is the longest?\n")
    assert SECRET not in json.dumps(body) + llm.fingerprint + repr(llm._endpoint)


def test_the_order_before_is_that_of_the_scores(stub_endpoint: Any) -> None:
    given = candidates(words(1, 2, 3))
    ranking = Ranking(given.ranking.query, np.array([7, 5, 6]), np.array([0.1, 0.5, 0.5], "f4"))
    stub_endpoint.reply = lambda _: "[1] > [2] > [3]"
    llm = LlmReranker(model="m", url=stub_endpoint.url)
    found = llm.score([Candidates(ranking, given.passages)])[0]
    assert shown(stub_endpoint.seen) == [[2, 3, 1]]
    assert found.tolist() == [1, 3, 2]


@pytest.mark.parametrize(
    "answer",
    [
        "[2] > [1]",
        "[2] > [1] > [3] > [3]",
        "[2] > [1] > [4]",
        "[0] > [1] > [2]",
        "[2] > [1] > [3].",
        "Sure: [2] > [1] > [3]",
        "2 > 1 > 3",
        "[2], [1], [3]",
        "",
    ],
)
def test_a_malformed_answer_keeps_the_order_and_is_told(
    stub_endpoint: Any, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    stub_endpoint.reply = lambda _: answer
    llm = LlmReranker(model="m", url=stub_endpoint.url)
    with caplog.at_level(logging.WARNING):
        found = llm.score([candidates(words(1, 2, 3)), candidates(words(4))])
    assert [scores.tolist() for scores in found] == [[3, 2, 1], [1]]
    assert (llm.asked, llm.malformed) == (1, 1)
    assert "1 of 1 windows stay as they were" in caplog.text
    assert repr(answer) in caplog.text


@pytest.mark.parametrize(
    "body", [{}, {"choices": []}, {"choices": [{"message": {"content": None}}]}, [], b"no JSON"]
)
def test_a_reply_without_an_answer_is_malformed(stub_endpoint: Any, body: object) -> None:
    stub_endpoint.reply = lambda _: (200, body)
    llm = LlmReranker(model="m", url=stub_endpoint.url)
    assert llm.score([candidates(words(1, 2))])[0].tolist() == [2, 1]
    assert llm.malformed == 1


def test_one_bad_window_spoils_no_other(stub_endpoint: Any) -> None:
    good = stub_endpoint.reply
    stub_endpoint.reply = lambda body: "?" if len(stub_endpoint.seen) == 2 else good(body)
    llm = LlmReranker(model="m", url=stub_endpoint.url, window=4, stride=2)
    found = llm.score([candidates(words(3, 1, 2, 5, 4, 9, 7))])[0]
    assert shown(stub_endpoint.seen) == [[5, 4, 9, 7], [1, 2, 9, 7], [3, 1, 2]]
    assert sorted(found.tolist()) == [1, 2, 3, 4, 5, 6, 7]
    assert (llm.asked, llm.malformed) == (3, 1)


def test_a_busy_endpoint_is_asked_again(stub_endpoint: Any, pauses: list[float]) -> None:
    good = stub_endpoint.reply
    stub_endpoint.reply = lambda body: (503, {}) if len(stub_endpoint.seen) < 3 else good(body)
    llm = LlmReranker(model="m", url=stub_endpoint.url)
    assert llm.score([candidates(words(1, 2))])[0].tolist() == [1, 2]
    assert pauses == [1.0, 2.0]


def test_patience_ends(
    stub_endpoint: Any, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAMIS_TEST_KEY", SECRET)
    stub_endpoint.reply = lambda _: (429, {})
    stub_endpoint.headers = {"Retry-After": "600"}
    llm = LlmReranker(model="m", url=stub_endpoint.url, key="TAMIS_TEST_KEY", retries=3)
    with pytest.raises(FailedWhileRunning, match=r"HTTP 429.*, 4 times") as told:
        llm.score([candidates(words(1, 2))])
    assert len(stub_endpoint.seen) == 4
    assert pauses == [30.0] * 3
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_a_refusal_is_not_repeated(stub_endpoint: Any, pauses: list[float], status: int) -> None:
    stub_endpoint.reply = lambda _: (status, {})
    stub_endpoint.headers = {"Location": f"{stub_endpoint.url}/elsewhere"}
    with pytest.raises(FailedWhileRunning, match=f"HTTP {status}"):
        ChatEndpoint(stub_endpoint.url, "m").answer([])
    assert len(stub_endpoint.seen) == 1
    assert not pauses


def test_an_endpoint_that_hangs_or_is_not_there(pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(FailedWhileRunning, match="timed out, 2 times"):
            ChatEndpoint(url, "m", timeout=0.05, retries=1).answer([])
    with pytest.raises(FailedWhileRunning, match="efused"):
        ChatEndpoint(url, "m", retries=0).answer([])
    assert pauses == [1.0]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "it is off until both are named"),
        ({"url": "http://localhost"}, "it is off until both are named"),
        ({"model": "m", "url": "file:///etc/passwd"}, "expected the base of an OpenAI"),
        ({"model": "m", "url": "http://me:pw@localhost/v1"}, "without a name or password"),
        ({"model": "m", "url": "http://[::1/v1"}, "expected the base of an OpenAI"),
        ({"model": "m", "url": "http://localhost", "key": "TAMIS_NO_KEY"}, "'TAMIS_NO_KEY' is not"),
        ({"model": "m", "url": "http://localhost", "stride": 20}, "windows that overlap"),
        ({"model": "m", "url": "http://localhost", "timeout": 0.0}, "timeout is 0"),
        ({"model": "m", "url": "http://localhost", "at_once": 0}, "at_once 0"),
    ],
)
def test_it_is_off_until_it_is_named_rightly(options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadArguments, match=told):
        tamis.reranker("llm", **options)


@given(st.permutations(range(6)))
def test_every_permutation_is_read(order: list[int]) -> None:
    assert permutation(" > ".join(f"[{place + 1}]" for place in order), 6) == order


def test_a_key_that_is_none_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for secret in ("tok\nen", "tok\u00e9n"):
        monkeypatch.setenv("TAMIS_TEST_KEY", secret)
        with pytest.raises(BadArguments, match="one line of ASCII") as refused:
            ChatEndpoint("http://localhost", "m", "TAMIS_TEST_KEY")
        assert "tok" not in str(refused.value)

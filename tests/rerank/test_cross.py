"""The cross-encoder: truth from sentence-transformers itself, over a tiny random model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import tamis
from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.core.protocols import Candidates
from tamis.core.records import Passage, Query, Ranking
from tamis.rerank.cross import CrossReranker

if TYPE_CHECKING:
    from collections.abc import Callable


def candidates(question: str, texts: list[str], title: str = "") -> Candidates:
    n = len(texts)
    scores = np.linspace(1, 0, n, dtype=np.float32)
    ranking = Ranking(Query("q", question), np.arange(n, dtype=np.int64), scores)
    return Candidates(ranking, [Passage(f"p{i}", text, title) for i, text in enumerate(texts)])


def oracle(tiny_cross: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    import torch
    from sentence_transformers import CrossEncoder

    encoder = CrossEncoder(str(tiny_cross), device="cpu")
    return encoder.predict(pairs, activation_fn=torch.nn.Identity(), batch_size=1)


TEXTS = [
    "a flea lives for days",
    "the dog",
    "bread recipe of the sea " * 3,
    "wind in the sea for long days " * 2,
    "cat",
]
QUESTION = "how long does a flea live"


def test_scores_are_the_raw_logits_of_sentence_transformers(tiny_cross: Path) -> None:
    found = CrossReranker(model=tiny_cross).score([candidates(QUESTION, TEXTS)])
    expected = oracle(tiny_cross, [(QUESTION, text) for text in TEXTS])
    assert np.ptp(expected) > 0.1, "a model that says the same of everything tests nothing"
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-5)
    assert found[0].dtype == np.float32


def test_the_title_is_read_before_the_text(tiny_cross: Path) -> None:
    found = CrossReranker(model=tiny_cross).score([candidates(QUESTION, ["dog"], title="cat")])
    expected = oracle(tiny_cross, [(QUESTION, "cat dog")])
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-5)


def test_queries_of_a_batch_share_forward_passes_without_meeting(tiny_cross: Path) -> None:
    batch = [
        candidates(QUESTION, TEXTS),
        candidates("bread", []),
        candidates("sea wind", TEXTS[::-1] * 9),
        candidates("the cat", TEXTS[:2]),
    ]
    reranker = CrossReranker(model=tiny_cross)
    together = reranker.score(batch)
    assert [len(scores) for scores in together] == [5, 0, 45, 2]
    for scores, each in zip(together, batch, strict=True):
        np.testing.assert_allclose(scores, reranker.score([each])[0], rtol=0, atol=1e-5)


def test_a_long_passage_is_cut_and_the_query_stays(tiny_cross: Path) -> None:
    long = "sea wind " * 60
    reranker = CrossReranker(model=tiny_cross)
    query = "flea " * 24  # cutting the longer side of the two would take some of it
    expected = oracle(tiny_cross, [(query, "sea wind " * 10 + "sea")])  # 48 - 24 - 3 = 21 tokens
    np.testing.assert_allclose(
        reranker.score([candidates(query, [long])])[0], expected, rtol=0, atol=1e-5
    )


def test_an_endless_query_leaves_an_eighth_of_the_room(
    tiny_cross: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reranker = CrossReranker(model=tiny_cross)
    given = candidates("flea " * 500, ["cat", "dog", "bread recipe " * 90])
    scores = reranker.score([given, given])[0]
    kept = "flea " * 40  # of 48 - 3, five are the passage's
    pairs = [(kept, "cat"), (kept, "dog"), (kept, "bread recipe " * 2 + "bread")]
    np.testing.assert_allclose(scores, oracle(tiny_cross, pairs), rtol=0, atol=1e-5)
    told = [record.message for record in caplog.records if "leaves no room" in record.message]
    assert told == ["a query of 500 tokens leaves no room for a passage: its first 40 are read"]


def test_of_two_classes_the_log_odds_of_the_second(
    tmp_path: Path, save_cross_encoder: Callable[..., Path]
) -> None:
    folder = save_cross_encoder(tmp_path / "monobert", labels=2)
    found = CrossReranker(model=folder).score([candidates(QUESTION, TEXTS)])[0]
    both = oracle(folder, [(QUESTION, text) for text in TEXTS])
    assert both.shape == (len(TEXTS), 2)
    np.testing.assert_allclose(found, both[:, 1] - both[:, 0], rtol=0, atol=1e-5)


def test_a_body_without_a_head_is_refused(tiny_cross: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_cross, tmp_path / "body"))
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    settings["architectures"] = ["BertModel"]
    (folder / "config.json").write_text(json.dumps(settings), "utf-8")
    with pytest.raises(BadData, match=r"BertModel and has no head.*ForSequenceClassification"):
        CrossReranker(model=folder).score([candidates("cat", ["dog"])])


def test_windows_find_what_the_cut_would_lose(tiny_cross: Path) -> None:
    """The best text of several is put at the end of a long passage."""
    plain = CrossReranker(model=tiny_cross)
    filler, other = "wind in the sea", "flea dog days"
    found = plain.score([candidates(QUESTION, [filler, other])])[0]
    needle, hay = (filler, other) if found[0] > found[1] else (other, filler)
    passage = f"{hay} " * 30 + needle
    size = len(needle.split())
    every = CrossReranker(model=tiny_cross, words=size, stride=1)
    first = CrossReranker(model=tiny_cross, words=size, stride=1, combine="first")
    best = every.score([candidates(QUESTION, [passage])])[0][0]
    assert best >= plain.score([candidates(QUESTION, [needle])])[0][0] - 1e-5
    beginning = plain.score([candidates(QUESTION, [" ".join(passage.split()[:size])])])[0][0]
    blind = first.score([candidates(QUESTION, [passage])])[0][0]
    assert blind == pytest.approx(beginning, abs=1e-5)
    assert best > blind + 1e-3
    cut = plain.score([candidates(QUESTION, [passage, f"{hay} " * 30])])[0]
    assert cut[0] == pytest.approx(cut[1], abs=1e-5), "without windows the end is not seen"


def test_windows_make_another_fingerprint(tiny_cross: Path) -> None:
    marks = {
        CrossReranker(model=tiny_cross).fingerprint,
        CrossReranker(model=tiny_cross, words=9).fingerprint,
        CrossReranker(model=tiny_cross, words=9, stride=9).fingerprint,
        CrossReranker(model=tiny_cross, words=9, combine="sum").fingerprint,
    }
    assert len(marks) == 4
    assert (
        CrossReranker(model=tiny_cross, words=9, stride=4).fingerprint
        == CrossReranker(model=tiny_cross, words=9).fingerprint
    )


def test_nothing_is_loaded_before_the_first_score(tmp_path: Path) -> None:
    reranker = CrossReranker(model=tmp_path / "absent")
    with pytest.raises(MissingResource, match=r"absent.*name a local folder.*--rerank PATH"):
        reranker.score([candidates("cat", ["dog"])])


def test_no_pair_needs_no_model(tmp_path: Path) -> None:
    reranker = CrossReranker(model=tmp_path / "absent")
    assert reranker.score([]) == []
    assert [len(scores) for scores in reranker.score([candidates("cat", [])])] == [0]


def test_weights_come_from_safetensors_only(tiny_cross: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = Path(shutil.copytree(tiny_cross, tmp_path / "pickled"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingResource, match="safetensors"):
        CrossReranker(model=folder).score([candidates("cat", ["dog"])])


def test_code_in_a_model_folder_is_not_run(tiny_cross: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_cross, tmp_path / "foreign"))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", "utf-8")
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    settings["model_type"] = "own-kind"
    settings["auto_map"] = {
        "AutoConfig": "own.OwnConfig",
        "AutoModelForSequenceClassification": "own.OwnModel",
    }
    (folder / "config.json").write_text(json.dumps(settings), "utf-8")
    with pytest.raises(MissingResource):
        CrossReranker(model=folder).score([candidates("cat", ["dog"])])
    assert not (tmp_path / "ran").exists()


def test_a_classifier_of_three_is_refused(
    tmp_path: Path, save_cross_encoder: Callable[..., Path]
) -> None:
    folder = save_cross_encoder(tmp_path / "nli", labels=3)
    with pytest.raises(BadData, match="3 scores a pair; expected one or two"):
        CrossReranker(model=folder).score([candidates("cat", ["dog"])])


def test_a_device_that_is_not_there_is_named(
    tiny_cross: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadArguments, match=r"cuda:0.*--device cpu"):
        CrossReranker(model=tiny_cross, device="cuda:0").score([candidates("cat", ["dog"])])


def test_the_name_tells_models_apart(tiny_cross: Path) -> None:
    assert CrossReranker().name == "cross"
    assert CrossReranker(model=tiny_cross).name == "cross (tiny)"


def test_a_path_is_a_model_already(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match="is a model already, and 'org/other' is given"):
        tamis.reranker(str(tmp_path), model="org/other")

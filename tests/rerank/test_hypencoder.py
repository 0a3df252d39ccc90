"""The query's network: against weights written out, as a product of vectors, and from a folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tamis
from tamis.core.errors import BadArguments, BadData, CorruptFile, Mismatch, MissingResource
from tamis.core.protocols import Candidates
from tamis.core.records import Passage, Query, Ranking
from tamis.pipeline.components import reranker_factory
from tamis.rerank.hypencoder.folder import build, load, save
from tamis.rerank.hypencoder.kind import is_hypencoder
from tamis.rerank.hypencoder.reranker import HypencoderReranker
from tamis.rerank.hypencoder.spec import HypencoderSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tamis.rerank.hypencoder.scorer import HypencoderScorer

TEXTS = ["A flea lives for days.", "The sea.", "Bread and salt", "", "A flea lives for days."]


def _change(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _spoil(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["scale"] = torch.tensor(float("nan"))
    save_file(tensors, path)


def candidates(text: str, texts: list[str]) -> Candidates:
    rows = np.arange(len(texts), dtype=np.int64)
    ranking = Ranking(Query("1", text), rows, -rows.astype(np.float32))
    return Candidates(ranking, [Passage(f"p{i}", each) for i, each in enumerate(texts)])


def by_hand(scorer: HypencoderScorer, query: str, text: str) -> float:
    """The paper's formula, one query and one passage, in float64 numpy."""
    (read,), (passage,) = scorer.read_queries([query]), scorer.read_passages([Passage("p", text)])
    state = {name: x.double().numpy() for name, x in scorer.model.state_dict().items()}
    own, tokens, x = read[0].astype(float), read[1:].astype(float), passage[0].astype(float)
    score = float(state["scale"]) * float(own @ x) if "scale" in state else 0.0
    number = len(scorer.model.heads)

    def normal(y: np.ndarray) -> np.ndarray:
        return (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)

    for place in range(number):
        part = {k.split(".", 2)[2]: v for k, v in state.items() if k.startswith(f"heads.{place}.")}
        keys = tokens @ part["keys.weight"].T + part["keys.bias"]
        values = tokens @ part["values.weight"].T + part["values.bias"]
        fit = np.exp(part["asks"] @ keys.T / np.sqrt(keys.shape[1]))
        seen = np.maximum(fit / fit.sum(1, keepdims=True) @ values, 0)
        seen = normal(seen) * part["norm.weight"] + part["norm.bias"]
        made = seen @ part["makes.weight"].T + part["makes.bias"]
        y = (part["shared"] + made[:, :-1]) @ x + made[:, -1]
        if place == number - 1:
            return score + float(y[0])
        y = normal(np.maximum(y, 0))
        x = x + y if len(x) == len(y) and place < number - 2 else y
    raise AssertionError("a network ends with one number")


class TestNetwork:
    @pytest.mark.parametrize("layers", [0, 1, 2, 3])
    @pytest.mark.parametrize("dense", [True, False])
    def test_scores_are_those_of_the_formula(
        self, hypencoder_scorer: Callable[..., HypencoderScorer], layers: int, dense: bool
    ) -> None:
        scorer = hypencoder_scorer(layers=layers, dense=dense)
        (found,) = scorer.score([candidates("how long does a flea live", TEXTS[:3])])
        expected = [by_hand(scorer, "how long does a flea live", text) for text in TEXTS[:3]]
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)

    def test_without_layers_it_is_a_product_with_one_vector(
        self, hypencoder_scorer: Callable[..., HypencoderScorer]
    ) -> None:
        scorer = hypencoder_scorer(layers=0, dense=False)
        (read,) = scorer.read_queries(["flea"])
        tokens = torch.from_numpy(read[None, 1:])
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
        with torch.no_grad():
            weights, bias = scorer.model.heads[0](tokens, mask)
        vectors = np.concatenate(scorer.read_passages([Passage("", t) for t in TEXTS]))
        (found,) = scorer.score([candidates("flea", TEXTS)])
        expected = vectors @ weights[0, 0].numpy() + float(bias)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)

    def test_training_begins_at_the_plain_score(self) -> None:
        encoder = tamis.encoder("tamis-tiny")
        spec = HypencoderSpec("tamis-tiny", encoder.card.fingerprint, encoder.card.dim)
        torch.manual_seed(0)
        from tamis.rerank.hypencoder.scorer import HypencoderScorer

        scorer = HypencoderScorer(build(spec).eval(), encoder, spec)  # type: ignore[arg-type]
        (found,) = scorer.score([candidates("flea", TEXTS[:3])])
        plain = encoder.encode_passages(TEXTS[:3]) @ encoder.encode_queries(["flea"])[0]
        np.testing.assert_allclose(found / 10, plain, atol=0.02)
        assert (np.argsort(found) == np.argsort(plain)).all()

    def test_tokens_beyond_the_limit_do_not_count(
        self, hypencoder_scorer: Callable[..., HypencoderScorer]
    ) -> None:
        (read,) = hypencoder_scorer().read_queries(["flea " * 50])
        assert len(read) == 1 + 8


class TestStoredVectors:
    def test_an_index_lends_its_own(
        self, hypencoder_scorer: Callable[..., HypencoderScorer], tmp_path: Path
    ) -> None:
        lines = [json.dumps({"_id": f"p{i}", "text": f"{t} {i}"}) for i, t in enumerate(TEXTS)]
        (tmp_path / "c.jsonl").write_text("\n".join(lines))
        index = tamis.build(
            tmp_path / "c.jsonl", tmp_path / "i", encoder="tamis-tiny", query_encoder="own"
        )
        plain = HypencoderReranker(hypencoder_scorer(), name="h", keep=5)
        lent = index.lending(plain)
        assert isinstance(lent, HypencoderReranker)
        given = candidates("flea", [json.loads(line)["text"] for line in lines])
        np.testing.assert_allclose(lent.score([given])[0], plain.score([given])[0], atol=1e-4)
        blank = candidates("flea", ["x"] * 5)  # the texts are not looked at any more
        np.testing.assert_array_equal(lent.score([blank])[0], lent.score([given])[0])
        assert lent.fingerprint == plain.fingerprint

    def test_an_index_of_another_encoder_lends_nothing(
        self, hypencoder_scorer: Callable[..., HypencoderScorer], tmp_path: Path
    ) -> None:
        (tmp_path / "c.jsonl").write_text('{"_id": "1", "text": "a flea"}\n')
        index = tamis.build(tmp_path / "c.jsonl", tmp_path / "i", encoder="hashing")
        plain = HypencoderReranker(hypencoder_scorer(), name="h")
        assert index.lending(plain) is plain
        other = tamis.reranker("lambdamart")
        assert index.lending(other) is other


class TestFolder:
    def test_it_comes_back_the_same(
        self, hypencoder_scorer: Callable[..., HypencoderScorer], tmp_path: Path
    ) -> None:
        scorer = hypencoder_scorer()
        save(scorer, tmp_path / "m", trained_on="By hand.", extra={"training.toml": "x"})
        assert is_hypencoder(tmp_path / "m")
        assert "By hand." in (tmp_path / "m" / "README.md").read_text()
        again = tamis.reranker(str(tmp_path / "m"), keep=7)
        assert (again.keep, again.name) == (7, "hypencoder (m)")
        before = HypencoderReranker(scorer, name="x")
        given = [candidates("flea", TEXTS)]
        np.testing.assert_array_equal(again.score(given)[0], before.score(given)[0])
        assert again.fingerprint == before.fingerprint  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("harm", "error"),
        [
            (lambda m: (m / "config.json").unlink(), MissingResource),
            (lambda m: (m / "config.json").write_text("{"), CorruptFile),
            (lambda m: _change(m, fingerprint="other"), Mismatch),
            (lambda m: _change(m, colour="red"), BadData),
            (lambda m: _change(m, options={"width": 9}), BadData),
            (lambda m: (m / "model.safetensors").write_bytes(b"x"), CorruptFile),
            (lambda m: (m / "model.safetensors").unlink(), MissingResource),
            (_spoil, BadData),
        ],
    )
    def test_a_damaged_folder_is_refused(
        self,
        hypencoder_scorer: Callable[..., HypencoderScorer],
        tmp_path: Path,
        harm: Callable[[Path], Any],
        error: type[Exception],
    ) -> None:
        scorer = hypencoder_scorer()
        save(scorer, tmp_path / "m", trained_on="")
        harm(tmp_path / "m")
        with pytest.raises(error):
            load(tmp_path / "m", lambda _: scorer.encoder)

    def test_wrong_options_are_refused(self) -> None:
        for options in ({"width": 0}, {"layers": 17}, {"heads": 2}):
            with pytest.raises((BadArguments, BadData)):
                HypencoderSpec("e", "f", 4, options=options)

    def test_another_folder_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("[]")
        assert not is_hypencoder(tmp_path)
        assert not is_hypencoder(tmp_path / "none")
        assert reranker_factory(str(tmp_path)).__name__ == "CrossReranker"

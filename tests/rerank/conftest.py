"""Tiny models of random weights: cross-encoder and T5 as real ones are saved, neural rankers."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tamis.rerank.hypencoder.scorer import HypencoderScorer
    from tamis.rerank.neural.scorer import Scorer
    from tamis.rerank.neural.words import Words

_T5_WORDS = (
    "Query Document Relevant true false flea lives for days cat dog bread long how a the sea wind"
)
_T5_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:.,?!"
WORDS = "flea lives for days cat dog bread recipe long how does a the of in sea wind"


def _save(folder: Path, labels: int = 1, length: int = 48) -> Path:
    """A BERT of two tiny layers with random weights, as sentence-transformers saves one."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    torch.manual_seed(7)
    folder.mkdir(parents=True)
    letters = [form for c in "abcdefghijklmnopqrstuvwxyz" for form in (c, f"##{c}")]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split(), *letters]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(dict.fromkeys(tokens)), "utf-8")
    config = BertConfig(
        vocab_size=len(dict.fromkeys(tokens)),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=length,
        num_labels=labels,
        initializer_range=0.6,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(vocab=str(vocabulary), model_max_length=length).save_pretrained(folder)
    CrossEncoder(str(folder), device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def save_cross_encoder() -> Callable[..., Path]:
    """(folder, labels=1, length=48) -> the folder, with a tiny cross-encoder in it."""
    return _save


@pytest.fixture(scope="session")
def tiny_cross(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(tmp_path_factory.mktemp("models") / "tiny")


def _pieces_tokenizer(room: int) -> tuple[Any, int]:
    """Words are one piece, all else is spelled; and how many pieces there are."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(f"▁{word}", -2.0) for word in _T5_WORDS.split()]
    pieces += [("▁", -4.0), *((letter, -6.0) for letter in _T5_LETTERS)]
    rust = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    made = PreTrainedTokenizerFast(tokenizer_object=rust, model_max_length=room, **special)
    return made, len(pieces)


def _save_t5(folder: Path, *, tied: bool = False, room: int = 40) -> Path:
    """Two layers each side, 32 wide, random; words are one piece, all else is spelled."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer, vocabulary = _pieces_tokenizer(room)
    config = T5Config(
        vocab_size=vocabulary,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        relative_attention_num_buckets=8,
        tie_word_embeddings=tied,
        decoder_start_token_id=0,
        feed_forward_proj="relu" if tied else "gated-gelu",
        initializer_factor=1.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = T5ForConditionalGeneration(config).eval()
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def save_t5() -> Callable[..., Path]:
    """(folder, tied=False, room=40) -> the folder, with a tiny T5 in it."""
    return _save_t5


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save_t5(tmp_path_factory.mktemp("t5") / "tiny")


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal model of two layers, 32 wide, random, that reads 60 tokens."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer, vocabulary = _pieces_tokenizer(60)
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=60,
        n_embd=32,
        n_layer=2,
        n_head=4,
        bos_token_id=1,
        eos_token_id=1,
        initializer_range=0.5,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        model = GPT2LMHeadModel(config).eval()
    folder = tmp_path_factory.mktemp("gpt2") / "causal"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class StubEndpoint:
    """An OpenAI-compatible server in a thread. ``reply`` turns a request's body into a status and
    a body, or into the text of an answer; ``seen`` are the bodies and headers that came."""

    def __init__(self) -> None:
        self.reply: Callable[[dict[str, Any]], str | tuple[int, Any]] = in_order_of_length
        self.headers: dict[str, str] = {}
        self.seen: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub.seen.append((self.path, body, dict(self.headers)))
                found = stub.reply(body)
                if isinstance(found, str):
                    found = 200, {"choices": [{"message": {"content": found}}]}
                raw = found[1] if isinstance(found[1], bytes) else json.dumps(found[1]).encode()
                self.send_response(found[0])
                for name, value in stub.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def passages_shown(body: dict[str, Any]) -> list[str]:
    """What stands after [1], [2], ... in a request."""
    return re.findall(r"^\[\d+\] ?(.*)$", body["messages"][-1]["content"], re.MULTILINE)


def in_order_of_length(body: dict[str, Any]) -> str:
    """The longest first; equal lengths by text."""
    texts = passages_shown(body)
    order = sorted(range(len(texts)), key=lambda place: (-len(texts[place]), texts[place]))
    return " > ".join(f"[{place + 1}]" for place in order)


@pytest.fixture
def stub_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubEndpoint]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    stub = StubEndpoint()
    yield stub
    stub.close()


def small_options(model: str) -> dict[str, int]:
    """Widths that a test can afford."""
    return {
        "conv-knrm": {"grams": 2, "width": 8},
        "mv-lstm": {"width": 16, "strongest": 5, "hidden": 8},
        "recurrent": {"width": 32, "layers": 1},
        "tk": {"width": 16, "layers": 1, "heads": 2, "hidden": 16},
        "tkl": {"width": 16, "layers": 1, "heads": 2, "hidden": 16, "chunk": 5, "window": 4},
    }.get(model, {})


@pytest.fixture(scope="session")
def tiny_words(tmp_path_factory: pytest.TempPathFactory) -> Words:
    """Whole words as pieces, 16 dimensions, random vectors of different lengths."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    from tamis.encoders.word_pieces import WordPieces
    from tamis.rerank.neural.words import Words

    vocabulary = ["[UNK]", *dict.fromkeys(WORDS.split())]
    rust = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(vocabulary)}, unk_token="[UNK]")  # noqa: S106
    )
    rust.normalizer = normalizers.Lowercase()
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    rust.save(str(path))
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((len(vocabulary), 16)) * rng.uniform(0.2, 2, (len(vocabulary), 1))
    return Words.of(WordPieces(path), vectors.astype(np.float32))


@pytest.fixture(scope="session")
def neural_scorer(tiny_words: Words) -> Callable[..., Scorer]:
    """(model, **options) -> an untrained scorer, its weights drawn from seed 5."""
    import torch

    from tamis.rerank.neural.scorer import Scorer
    from tamis.rerank.neural.spec import NeuralSpec, build

    def make(model: str, **options: object) -> Scorer:
        spec = NeuralSpec(
            model=model,
            vocabulary=len(tiny_words.directions),
            dim=tiny_words.dim,
            query_pieces=8,
            passage_pieces=24,
            words_of="tiny",
            options={**small_options(model), **options},
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            return Scorer(build(spec).eval(), tiny_words, spec)

    return make


@pytest.fixture(scope="session")
def hypencoder_scorer() -> Callable[..., HypencoderScorer]:
    """(**options) -> an untrained hypencoder over tamis-tiny, its weights far from the start."""
    import torch

    import tamis
    from tamis.rerank.hypencoder.folder import build
    from tamis.rerank.hypencoder.scorer import HypencoderScorer
    from tamis.rerank.hypencoder.spec import HypencoderSpec

    encoder = tamis.encoder("tamis-tiny")

    def make(**options: object) -> HypencoderScorer:
        card, small = encoder.card, {"width": 8, "layers": 2, "attention": 8}
        spec = HypencoderSpec(
            card.name, card.fingerprint, card.dim, query_pieces=8, options={**small, **options}
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            model = build(spec)
            for weights in model.parameters():
                torch.nn.init.normal_(weights, std=0.3)
        return HypencoderScorer(model.eval(), encoder, spec)  # type: ignore[arg-type]

    return make

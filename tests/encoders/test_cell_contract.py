"""What every registered cell promises: one suite, a line in ``tamis.cells`` joins it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tamis.core import registry
from tamis.encoders.recurrent.spec import RecurrentSpec

torch = pytest.importorskip("torch")
tokenizers = pytest.importorskip("tokenizers")

from tamis.encoders.recurrent.encoder import RecurrentEncoder  # noqa: E402
from tamis.encoders.recurrent.encoder_folder import load  # noqa: E402
from tamis.encoders.recurrent.mixer import Mixer  # noqa: E402
from tamis.encoders.recurrent.model import is_whole_body  # noqa: E402
from tamis.encoders.recurrent.untrained import seeded  # noqa: E402
from tamis.encoders.word_pieces import WordPieces  # noqa: E402
from tamis.kernels.dispatch import forced  # noqa: E402
from tamis.kernels.packing import pack_lengths  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


CELLS = registry.names("cell")
MIXERS = [name for name in CELLS if not is_whole_body(name)]
WIDTH = 16
LENGTHS = (7, 0, 1, 12, 0, 4, 1)
WORDS = [f"w{n}" for n in range(30)]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> WordPieces:
    """Thirty words, each its own token."""
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    model = tokenizers.models.WordLevel(vocabulary, unk_token=WORDS[0])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("pieces") / "tokenizer.json"
    path.write_text(tokenizer.to_str(), "utf-8")
    return WordPieces(path)


def spec_of(cell: str, **options: Any) -> RecurrentSpec:
    own = {"pooling": "own"} if is_whole_body(cell) else {}
    asked = {"vocabulary": len(WORDS), "width": WIDTH, "max_length": 0, **own, **options}
    return RecurrentSpec(cell, **asked)


def made(cell: str, *, bidirectional: bool, width: int = WIDTH) -> Any:
    """The cell alone, no parameter at a start that hides it (zeros, a layer that is the first)."""
    kind = registry.load("cell", cell)
    assert issubclass(kind, Mixer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return shaken(kind(width, bidirectional=bidirectional, layer=1, layers=2))


def shaken(module: Any) -> Any:
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.05)
    return module


def inputs(tokens: int, width: int = WIDTH, seed: int = 3) -> Any:
    return torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed))


def rows_of(packed: Any, segment: int) -> slice:
    return slice(int(packed.cu_seqlens[segment]), int(packed.cu_seqlens[segment + 1]))


@pytest.mark.parametrize("cell", MIXERS)
class TestMixer:
    @pytest.mark.parametrize("bidirectional", [True, False])
    def test_no_passage_sees_another(self, cell: str, bidirectional: bool) -> None:
        mixer, packed = made(cell, bidirectional=bidirectional), pack_lengths(LENGTHS)
        x = inputs(packed.tokens)
        found = mixer(x, packed)
        assert found.shape == x.shape
        assert found.dtype == x.dtype
        own = rows_of(packed, 3)
        x[own] = inputs(12, seed=4) * 3
        changed = (mixer(x, packed) - found).abs().amax(1)
        assert changed[own].min() > 1e-4
        changed[own] = 0
        assert changed.max() <= 1e-6

    def test_no_gradient_crosses_a_passage(self, cell: str) -> None:
        mixer, packed = made(cell, bidirectional=True), pack_lengths(LENGTHS)
        x = inputs(packed.tokens).requires_grad_()
        own = rows_of(packed, 3)
        mixer(x, packed)[own].square().sum().backward()
        reached = x.grad.abs().amax(1)
        assert reached[own].min() > 0
        reached[own] = 0
        assert not reached.any()

    def test_one_direction_never_looks_ahead(self, cell: str) -> None:
        mixer, packed = made(cell, bidirectional=False), pack_lengths([12])
        x = inputs(12)
        found = mixer(x, packed)
        x[7] += 1
        changed = (mixer(x, packed) - found).abs().amax(1)
        assert changed[:7].max() <= 1e-6
        assert changed[7:].min() > 1e-6

    def test_two_directions_look_both_ways(self, cell: str) -> None:
        mixer, packed = made(cell, bidirectional=True), pack_lengths([12])
        x = inputs(12)
        found = mixer(x, packed)
        x[7] += 1
        changed = (mixer(x, packed) - found).abs().amax(1)
        assert changed.min() > 1e-6

    def test_the_fast_form_is_the_loop_over_time(self, cell: str) -> None:
        mixer, packed = made(cell, bidirectional=True), pack_lengths([40, 0, 1, 17, 64, 65])
        x = inputs(packed.tokens)
        fast = mixer(x, packed)
        with forced("reference"):
            loop = mixer(x, packed)
        assert ((fast - loop).abs() / loop.abs().clamp_min(rms(loop))).max() <= 1e-5

    def test_gradients_stay_finite_over_2048_tokens(self, cell: str) -> None:
        mixer = made(cell, bidirectional=True, width=8)
        x = inputs(2048, 8).requires_grad_()
        mixer(x, pack_lengths([2048])).square().mean().backward()
        assert x.grad.isfinite().all()
        assert all(parameter.grad.isfinite().all() for parameter in mixer.parameters())

    def test_autocast_to_bfloat16_changes_little(self, cell: str) -> None:
        mixer, packed = made(cell, bidirectional=True), pack_lengths([40, 0, 1, 17])
        x = inputs(packed.tokens)
        expected = mixer(x, packed)
        with torch.autocast("cpu", torch.bfloat16):
            found = mixer(x, packed)
        assert rms(found - expected) <= 0.03 * rms(expected)
        found.float().square().sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in mixer.parameters())

    def test_passages_of_no_and_of_one_token(self, cell: str) -> None:
        mixer = made(cell, bidirectional=True)
        assert mixer(inputs(0), pack_lengths([])).shape == (0, WIDTH)
        assert mixer(inputs(0), pack_lengths([0, 0])).shape == (0, WIDTH)
        x = inputs(3)
        alone = torch.cat([mixer(row[None], pack_lengths([1])) for row in x])
        together = mixer(x, pack_lengths([1, 0, 1, 1, 0]))
        torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def rms(x: Any) -> Any:
    return x.square().mean().sqrt()


@pytest.mark.parametrize("cell", CELLS)
class TestEncoder:
    def test_alone_or_among_fifty_a_text_has_one_vector(
        self, cell: str, pieces: WordPieces
    ) -> None:
        encoder = encoder_of(cell, pieces)
        rng = np.random.default_rng(5)
        texts = [" ".join(rng.choice(WORDS, size=n % 23)) for n in range(50)]
        whole = encoder.encode_passages(texts)
        assert np.isfinite(whole).all()
        norms = np.linalg.norm(whole, axis=1)
        assert np.abs(norms - [len(text) > 0 for text in texts]).max() <= 1e-6
        for row in (0, 1, 2, 9, 22, 49):
            alone = encoder.encode_passages([texts[row]])[0]
            assert np.abs(alone - whole[row]).max() <= 1e-6

    def test_the_order_of_the_words_matters(self, cell: str, pieces: WordPieces) -> None:
        encoder = encoder_of(cell, pieces)
        there, back, swapped = encoder.encode_passages(
            ["w1 w2 w3 w4 w5", "w5 w4 w3 w2 w1", "w1 w3 w2 w4 w5"]
        )
        assert np.abs(there - back).max() > 1e-3
        assert np.abs(there - swapped).max() > 1e-4

    def test_every_parameter_learns(self, cell: str) -> None:
        layers = 1 if is_whole_body(cell) else 2
        model = shaken(seeded(spec_of(cell, layers=layers), 1))
        packed = pack_lengths(LENGTHS)
        ids = torch.randint(len(WORDS), (packed.tokens,), generator=torch.Generator())
        target = inputs(len(LENGTHS), seed=6)
        (model(ids, packed) * target).sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name

    def test_texts_without_a_token_are_zero(self, cell: str) -> None:
        model, nothing = seeded(spec_of(cell), 1), torch.zeros(0, dtype=torch.long)
        assert model(nothing, pack_lengths([])).shape == (0, WIDTH)
        assert torch.equal(model(nothing, pack_lengths([0, 0])), torch.zeros(2, WIDTH))

    def test_the_seed_decides_the_vectors(self, cell: str) -> None:
        ids, packed = torch.arange(12), pack_lengths([5, 7])
        first, again, other = (seeded(spec_of(cell), seed)(ids, packed) for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert (first - other).abs().max() > 0.1

    def test_a_saved_encoder_comes_back(
        self, cell: str, pieces: WordPieces, tmp_path: Path
    ) -> None:
        encoder = encoder_of(cell, pieces)
        encoder.save(tmp_path / "model")
        texts = ["w1 w2 w3", "", "w4", "w5 w6 w5 w6"]
        again = load(tmp_path / "model")
        assert np.array_equal(again.encode_passages(texts), encoder.encode_passages(texts))


def encoder_of(cell: str, pieces: WordPieces) -> RecurrentEncoder:
    model = shaken(seeded(spec_of(cell), 1))
    return RecurrentEncoder(model, pieces, name=cell, fingerprint="", space="")


def test_no_cell_is_missing() -> None:
    dense = {"gru", "lstm", "slstm"}
    gated = {"hgrn", "mingru", "minlstm", "paragru", "paralstm", "rglru"}
    states = {"aaren", "gateloop", "lru", "mamba", "rwkv4", "s4d"}
    matrices = {"gla", "hgrn2", "linear-attention", "mlstm", "retnet", "rwkv6"}
    deltas = {"deltanet", "deltaproduct"}
    bodies = {"bigru-attention", "dc-bilstm", "hbmp", "infersent", "read-twice"}
    assert dense | gated | states | matrices | deltas <= set(MIXERS)
    assert bodies <= set(CELLS) - set(MIXERS)

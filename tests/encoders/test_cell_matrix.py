"""The cells with a matrix for a memory against other people's code and the papers' equations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tamis.encoders.recurrent.cells.gla import GLA
from tamis.encoders.recurrent.cells.heads import head_width
from tamis.encoders.recurrent.cells.hgrn2 import HGRN2
from tamis.encoders.recurrent.cells.linear_attention import LinearAttention
from tamis.encoders.recurrent.cells.mlstm import MLSTM
from tamis.encoders.recurrent.cells.retnet import RetNet
from tamis.encoders.recurrent.cells.rwkv6 import RWKV6
from tamis.kernels.matrix_state import matrix_state
from tamis.kernels.packing import pack_lengths

if TYPE_CHECKING:
    from tamis.encoders.recurrent.mixer import Mixer

LENGTHS = [5, 0, 1, 40]
WIDTH = 48  # two heads of 24, with keys of 12 where they are half as wide
EVERY = [LinearAttention, RetNet, GLA, HGRN2, RWKV6, MLSTM]
CELLS = pytest.mark.parametrize("cell", EVERY)
DIRECTIONS = pytest.mark.parametrize("bidirectional", [False, True])


def made(cell: type[Mixer], bidirectional: bool = True, width: int = WIDTH, **depth: int) -> Any:
    """The cell with every weight moved away from where it starts, in float64."""
    torch.manual_seed(3)
    mixer = cell(width, bidirectional=bidirectional, **depth)
    for weight in mixer.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    return mixer.double()


def words(tokens: int, width: int = WIDTH) -> Tensor:
    return torch.randn(tokens, width, generator=torch.Generator().manual_seed(5)).double()


def check(mixer: Any, by_hand: Any, bound: float = 1e-9) -> None:
    """by_hand(branch, x [T, width]): what the branch gives, in the order of its walk."""
    x = words(sum(LENGTHS))
    found = mixer(x, pack_lengths(LENGTHS)).detach()
    expected = []
    for part in x.split(LENGTHS):
        walks = [by_hand(b, part.flip(0) if n else part) for n, b in enumerate(mixer.branches)]
        states = [y.flip(0) if n else y for n, y in enumerate(walks)]
        expected.append(mixer.out(torch.cat(states, 1)).detach())
    torch.testing.assert_close(found, torch.cat(expected), rtol=bound, atol=bound)


def s(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def silu(x: np.ndarray) -> np.ndarray:
    return x * s(x)


def split(layer: Any, x: Tensor, *sizes: int) -> list[np.ndarray]:
    return np.split((x @ layer.weight.T).detach().numpy(), np.cumsum(sizes)[:-1], axis=1)


def heads(*arrays: np.ndarray) -> list[list[np.ndarray]]:
    """By head, then by array: [T, size of a head]."""
    return [list(parts) for parts in zip(*(np.split(a, 2, axis=1) for a in arrays), strict=True)]


def rms_normed(x: np.ndarray, norm: Any) -> np.ndarray:
    scale = np.sqrt((x**2).mean(-1, keepdims=True) + norm.eps)
    return x / scale * norm.weight.detach().numpy()  # type: ignore[no-any-return]


def walk(q: np.ndarray, k: np.ndarray, v: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """S = diag(decay) S + k v^T, o = S^T q."""
    state, out = np.zeros((q.shape[1], v.shape[1])), np.zeros_like(v)
    for t in range(len(q)):
        state = decay[t][:, None] * state + np.outer(k[t], v[t])
        out[t] = state.T @ q[t]
    return out


def linear_attention(branch: Any, x: Tensor) -> Tensor:
    q, k, v = split(branch.into, x, WIDTH, WIDTH, WIDTH)
    outs = []
    for qh, kh, vh in heads(q, k, v):
        qh, kh = (np.where(y > 0, y + 1, np.exp(np.minimum(y, 0))) for y in (qh, kh))  # noqa: PLW2901
        similar = np.tril(qh @ kh.T)
        outs.append(similar @ vh / (similar.sum(1, keepdims=True) + 1e-6))
    return torch.from_numpy(np.concatenate(outs, 1))


def gla(branch: Any, x: Tensor) -> Tensor:
    q, k, v, gate = split(branch.into, x, WIDTH // 2, WIDTH // 2, WIDTH, WIDTH)
    first, second = (layer.weight.detach().numpy() for layer in branch.decay)
    logits = x.numpy() @ first.T @ second.T + branch.decay[1].bias.detach().numpy()
    parts = heads(q * 12**-0.5, k, v, s(logits) ** (1 / 16))
    normed = [rms_normed(walk(*part), branch.norm) for part in parts]
    return torch.from_numpy(np.concatenate(normed, 1) * silu(gate))


def hgrn2(branch: Any, x: Tensor) -> Tensor:
    q, f, v = split(branch.into, x, WIDTH, WIDTH, WIDTH)
    y = 0.0
    if branch.shares is not None:
        shares = np.exp(branch.shares.detach().numpy())
        y = (shares / shares.sum(0))[1 : branch.layer + 1].sum(0)
    f = y + (1 - y) * s(f)
    o = np.concatenate([walk(*part) for part in heads(silu(q), 1 - f, v, f)], 1)
    return torch.from_numpy(rms_normed(o, branch.norm))


def rwkv6(branch: Any, x: Tensor) -> Tensor:
    p = {name: value.detach().numpy() for name, value in branch.named_parameters()}
    now = x.numpy()
    before = np.concatenate([np.zeros((1, WIDTH)), now])[:-1]
    rank = p["blend_out"].shape[1]
    low = np.tanh((now + (before - now) * p["blend"]) @ p["blend_in"])
    seen = []
    for j in range(5):
        mix = p["blends"][j] + low[:, j * rank : (j + 1) * rank] @ p["blend_out"][j]
        seen.append(now + (before - now) * mix)
    w = np.exp(-np.exp(p["decay"] + np.tanh(seen[0] @ p["decay_in"]) @ p["decay_out"]))
    k, v, r, g = (
        seen[j] @ p[f"{name}.weight"].T
        for j, name in enumerate(("key", "value", "read", "gate"), start=1)
    )
    outs = []
    for u, (rh, kh, vh, wh) in zip(p["bonus"], heads(r, k, v, w), strict=True):
        state, out = np.zeros((24, 24)), np.zeros_like(vh)
        for t in range(len(rh)):
            new = np.outer(kh[t], vh[t])
            out[t] = (state + u[:, None] * new).T @ rh[t]
            state = wh[t][:, None] * state + new
        centred = out - out.mean(1, keepdims=True)
        outs.append(centred / np.sqrt((centred**2).mean(1, keepdims=True) + 64e-5))
    normed = np.concatenate(outs, 1) * p["norm.weight"] + p["norm.bias"]
    return torch.from_numpy(normed * silu(g))


@DIRECTIONS
@pytest.mark.parametrize(
    ("cell", "by_hand"),
    [(LinearAttention, linear_attention), (GLA, gla), (HGRN2, hgrn2), (RWKV6, rwkv6)],
)
def test_a_cell_is_its_equations(cell: Any, by_hand: Any, bidirectional: bool) -> None:
    check(made(cell, bidirectional, layer=1, layers=3), by_hand)


def test_hgrn2_in_the_first_layer_has_no_bound() -> None:
    check(made(HGRN2, layers=3), hgrn2)


@DIRECTIONS
def test_retnet_is_its_equations(bidirectional: bool) -> None:
    """By pairs of tokens, and with the rotation as a product of complex numbers."""
    mixer, x = made(RetNet, bidirectional), words(sum(LENGTHS))
    found = mixer(x, pack_lengths(LENGTHS)).detach()
    turns = 10000.0 ** -np.linspace(0, 1, 12)
    expected = []
    for part in x.split(LENGTHS):
        q, k, v, gate = split(mixer.into, part, *[WIDTH] * 4)
        place = np.arange(len(part))
        gap = np.abs(place[:, None] - place[None, :])
        outs = []
        for head, (qh, kh, vh) in enumerate(heads(q, k, v)):
            angle = np.exp(1j * place[:, None] * turns)
            qc, kc = ((y[:, ::2] + 1j * y[:, 1::2]) * angle for y in (qh, kh))
            similar = (qc @ kc.conj().T).real * 24**-0.5 * (1 - 2.0 ** (-5 - head)) ** gap
            o = (similar if bidirectional else np.tril(similar)) @ vh
            outs.append(o / np.sqrt((o**2).mean(1, keepdims=True) + 1e-6))
        states = torch.from_numpy(np.concatenate(outs, 1) * silu(gate))
        expected.append(mixer.out(states).detach())
    # the cell has its angles and decays in float32
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-5, atol=1e-5)


def test_retnet_in_bfloat16_turns_by_exact_angles() -> None:
    mixer = made(RetNet).float()
    x, packed = words(300).float(), pack_lengths([300])
    expected = mixer(x, packed)
    error = mixer.bfloat16()(x.bfloat16(), packed) - expected
    assert error.square().mean() <= 0.03**2 * expected.square().mean()


def xlstm_layer(branch: Any) -> Any:
    """The layer of transformers with a branch's weights, its out-projection the identity."""
    pytest.importorskip("transformers")
    from transformers import xLSTMConfig
    from transformers.models.xlstm import modeling_xlstm as theirs

    config = xLSTMConfig(hidden_size=WIDTH, num_heads=2, chunk_size=16)
    layer = theirs.xLSTMLayer(config).double()
    q, k, v, gate = branch.into.weight.split(branch.sizes)
    enter, keep = branch.gates.weight.chunk(2)
    enter_bias, keep_bias = branch.gates.bias.chunk(2)
    weights = {
        "q": q,
        "k": k,
        "v": v,
        "ogate_preact": gate,
        "igate_preact": enter,
        "fgate_preact": keep,
        "multihead_norm": branch.norm.weight,
        "out_proj": torch.eye(WIDTH),
    }
    with torch.no_grad():
        for name, weight in weights.items():
            getattr(layer, name).weight.copy_(weight)
        layer.igate_preact.bias.copy_(enter_bias)
        layer.fgate_preact.bias.copy_(keep_bias)
    return layer


@DIRECTIONS
@pytest.mark.parametrize("louder", [1, 20])
def test_mlstm_is_the_layer_of_transformers(bidirectional: bool, louder: int) -> None:
    """Also with gates at their caps, where e^15 meets e^-15."""
    mixer = made(MLSTM, bidirectional)
    for branch in mixer.branches:
        branch.norm.bias.data.zero_()  # theirs has none
        branch.gates.weight.data *= louder

    def by_hand(branch: Any, x: Tensor) -> Tensor:
        return xlstm_layer(branch)(x[None])[0][0] if len(x) else x

    # their small number under the fraction is relative to another maximum
    with torch.no_grad():
        check(mixer, by_hand, 2e-5)


def test_one_decay_a_head_is_minimaxs_lightning_attention() -> None:
    pytest.importorskip("transformers")
    from transformers import MiniMaxConfig
    from transformers.models.minimax import modeling_minimax as theirs

    config = MiniMaxConfig(
        hidden_size=16, num_attention_heads=2, head_dim=8, block_size=7, num_hidden_layers=4
    )
    torch.manual_seed(4)
    layer = theirs.MiniMaxLightningAttention(config, 0).double()
    x = words(33, 16)
    with torch.no_grad():
        expected = layer(x[None], None, None)[0][0]
        q, k, v = layer.act_fn(layer.qkv_proj(x)).view(33, 2, 3, 8).unbind(2)
        slopes = -layer.slope_rate.flatten().double()
        o = matrix_state(q, k, v, pack_lengths([33]), log_decay=slopes, direction="forward")
        found = layer.out_proj(layer.output_gate(x).sigmoid() * layer.norm(o.flatten(1)))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


@DIRECTIONS
@CELLS
def test_word_order_matters(cell: Any, bidirectional: bool) -> None:
    mixer, packed, x = made(cell, bidirectional), pack_lengths([6]), words(6)
    order = torch.tensor([0, 3, 2, 1, 4, 5])
    there, back = mixer(x, packed), mixer(x[order], packed)
    # read from one side only, linear attention knows which words came before, not their order
    last = 2 if cell is LinearAttention else 5
    assert not torch.allclose(there[last], back[last], atol=1e-4)
    assert not torch.allclose(there.mean(0), back.mean(0), atol=1e-4)


@CELLS
def test_loud_words_leave_gradients_finite(cell: Any) -> None:
    mixer = made(cell, layer=1, layers=2).float()
    x = (300 * words(70).float()).requires_grad_()
    mixer(x, pack_lengths([64, 6])).square().mean().backward()
    for name, weight in [("x", x), *mixer.named_parameters()]:
        assert torch.isfinite(weight.grad).all(), name


def test_rwkv6_may_forget_faster_than_floats_can_say() -> None:
    mixer = made(RWKV6).float()
    for branch in mixer.branches:
        branch.decay.data.fill_(200)
    out = mixer(words(9).float(), pack_lengths([9]))
    out.square().sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in mixer.parameters())


@DIRECTIONS
@CELLS
def test_any_multiple_of_eight_is_a_width(cell: Any, bidirectional: bool) -> None:
    for width in (8, 40, 200):
        out = made(cell, bidirectional, width)(words(3, width), pack_lengths([1, 2]))
        assert out.shape == (3, width)


def test_heads_are_32_wide_or_the_next_divisor() -> None:
    assert [head_width(width) for width in (8, 40, 64, 200, 384)] == [8, 20, 32, 25, 32]
    assert head_width(200, even=True) == 20


def test_hgrn2_forgets_less_in_deeper_layers() -> None:
    """With the gates shut, what is left of a word is the bound: layer / layers at the start."""
    for layer in (1, 2, 3):
        branch = HGRN2(16, bidirectional=False, layer=layer, layers=4).branches[0]
        y = branch.shares.softmax(0)[1 : layer + 1].sum(0)
        torch.testing.assert_close(y, torch.full_like(y, layer / 4))


def test_cells_start_as_their_authors_start_them() -> None:
    decays = RetNet(128).log_decay().exp()
    torch.testing.assert_close(decays, 1 - 2.0 ** -torch.arange(5.0, 9.0))
    rates = RWKV6(64, layer=0, layers=4).branches[1].decay
    assert rates[[0, -1]].tolist() == [-6, -1]
    gates = MLSTM(64).branches[0].gates
    assert gates.bias[2:].tolist() == [3, 6]
    assert gates.bias[:2].abs().max() < 1
    assert not gates.weight.any()

"""Cells and pooling over softmax averages: numpy's full attention and transformers' RWKV."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tamis.core.errors import BadArguments
from tamis.encoders.recurrent.attention_pooling import AttentionPooling
from tamis.encoders.recurrent.cells.aaren import Aaren
from tamis.encoders.recurrent.cells.rwkv4 import RWKV4
from tamis.kernels.packing import pack_lengths

LENGTHS = [5, 1, 0, 23, 2]
WIDTH = 40
Array = np.ndarray


def draw(width: int = WIDTH) -> tuple[Tensor, list[Tensor]]:
    torch.manual_seed(5)
    x = torch.randn(sum(LENGTHS), width, dtype=torch.float64)
    return x, list(x.split(LENGTHS))


def array(parameter: Tensor) -> Array:
    return parameter.detach().double().numpy()


def softmax(scores: Array) -> Array:
    weights = np.exp(scores - scores.max(0))
    return weights / weights.sum(0)


def prefix_attention(branch: Any, x: Array) -> Array:
    """Full attention of every head's query over every prefix, from scratch each time."""
    query, key, value = (
        array(part) for part in (branch.query, branch.key.weight, branch.value.weight)
    )
    heads, channels = query.shape
    keys = (x @ key.T).reshape(len(x), heads, channels)
    values = (x @ value.T + array(branch.value.bias)).reshape(keys.shape)
    out = np.zeros_like(values)
    for t in range(len(x)):
        weights = softmax(np.einsum("thc,hc->th", keys[: t + 1], query))
        out[t] = np.einsum("th,thc->hc", weights, values[: t + 1])
    return out.reshape(x.shape)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["causal", "both"])
def test_aaren_is_softmax_attention_over_every_prefix(bidirectional: bool) -> None:
    torch.manual_seed(1)
    cell = Aaren(WIDTH, bidirectional=bidirectional).double()
    with torch.no_grad():
        cell.branches[0].query.mul_(20)  # peaked: a wrong normalisation could not hide
    x, parts = draw()
    expected = []
    for part in parts:
        text = part.numpy()
        ways = [prefix_attention(cell.branches[0], text)]
        if bidirectional:
            ways.append(prefix_attention(cell.branches[1], text[::-1])[::-1])
        expected.append(np.concatenate(ways, 1) @ array(cell.out.weight).T + array(cell.out.bias))
    found = cell(x, pack_lengths(LENGTHS))
    np.testing.assert_allclose(array(found), np.concatenate(expected), atol=1e-10)


def their_time_mixing(branch: Any, out: Tensor) -> nn.Module:
    rwkv = pytest.importorskip("transformers.models.rwkv.modeling_rwkv")
    config = rwkv.RwkvConfig(hidden_size=WIDTH, attention_hidden_size=WIDTH)
    theirs: nn.Module = rwkv.RwkvSelfAttention(config)
    weights = {
        "time_decay": branch.decay,
        "time_first": branch.bonus,
        "time_mix_key": branch.mix_key.view(1, 1, -1),
        "time_mix_value": branch.mix_value.view(1, 1, -1),
        "time_mix_receptance": branch.mix_gate.view(1, 1, -1),
        "key.weight": branch.key.weight,
        "value.weight": branch.value.weight,
        "receptance.weight": branch.gate.weight,
        "output.weight": out,
    }
    theirs.load_state_dict(weights)
    return theirs


@pytest.mark.parametrize("bidirectional", [False, True], ids=["causal", "both"])
@pytest.mark.parametrize("layer", [0, 2])
def test_rwkv_is_that_of_transformers(bidirectional: bool, layer: int) -> None:
    torch.manual_seed(2)
    cell = RWKV4(WIDTH, bidirectional=bidirectional, layer=layer, layers=3)
    x, parts = draw()
    # each direction by their causal code, the second over the text turned round
    outs = cell.out.weight.split(WIDTH, 1)
    theirs = [their_time_mixing(*pair) for pair in zip(cell.branches, outs, strict=True)]
    expected = []
    for part in parts:
        text = part.float()[None]
        total = torch.zeros_like(part)
        if len(part):
            total += theirs[0](text)[0][0]
            if bidirectional:
                total += theirs[1](text.flip(1))[0][0].flip(0)
        expected.append(total)
    found = cell(x.float(), pack_lengths(LENGTHS))
    torch.testing.assert_close(found.double(), torch.cat(expected), rtol=1e-5, atol=1e-5)


def test_rwkv_starts_with_memories_of_every_length() -> None:
    branches = [RWKV4(64, layer=layer, layers=4).branches[0] for layer in range(4)]
    for branch in branches:
        assert branch.decay[0].item() == -5  # e^-5: half-life of a hundred tokens
        assert branch.decay[-1].item() == pytest.approx(3)  # gone with the next token
        assert (branch.decay.diff() > 0).all()
    # deeper layers look further back
    assert all(a.decay[32] > b.decay[32] for a, b in itertools.pairwise(branches))


@pytest.mark.parametrize("cell", [Aaren, RWKV4])
def test_word_order_matters(cell: Any) -> None:
    torch.manual_seed(3)
    x = torch.randn(6, 16)
    mixer = cell(16)
    packed = pack_lengths([6])
    turned = mixer(x.flip(0), packed)
    assert (mixer(x, packed).mean(0) - turned.mean(0)).abs().max() > 1e-3


def test_attention_pooling_starts_as_the_mean() -> None:
    x, parts = draw()
    pooled = AttentionPooling(WIDTH).double()(x, pack_lengths(LENGTHS))
    expected = [part.mean(0) if len(part) else part.sum(0) for part in parts]
    torch.testing.assert_close(pooled, torch.stack(expected))


@pytest.mark.parametrize("heads", [1, 4])
def test_a_head_of_attention_pooling_averages_its_channels_by_its_softmax(heads: int) -> None:
    pooling = AttentionPooling(WIDTH, heads=heads).double()
    torch.manual_seed(4)
    nn.init.normal_(pooling.query.weight)
    parts = [part.numpy() for part in draw()[1]]
    expected = np.zeros((len(parts), heads, WIDTH // heads))
    for place, text in enumerate(parts):
        if len(text):
            weights = softmax(text @ array(pooling.query.weight).T)
            expected[place] = np.einsum("th,thc->hc", weights, text.reshape(len(text), heads, -1))
    found = array(pooling(torch.from_numpy(np.concatenate(parts)), pack_lengths(LENGTHS)))
    np.testing.assert_allclose(found, expected.reshape(len(parts), WIDTH), atol=1e-12)


def test_heads_share_the_width_evenly() -> None:
    with pytest.raises(BadArguments, match="40 channels cannot be shared among 3"):
        AttentionPooling(40, heads=3)

"""The packed linear layer against torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tamis.kernels.packed_linear import onednn
from tamis.kernels.packed_linear.onednn import PackedLinear, pack_linears

pytestmark = pytest.mark.skipif(
    not onednn.available(), reason="this torch has no oneDNN packing for linear layers"
)


@settings(max_examples=60, deadline=None)
@given(
    leading=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    width=st.integers(1, 70),
    out=st.integers(1, 70),
    bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_packed_agrees_with_torch(
    leading: list[int], width: int, out: int, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = nn.Linear(width, out, bias=bias)
    x = torch.randn(*leading, width)
    with torch.inference_mode():
        torch.testing.assert_close(PackedLinear(layer)(x), layer(x), rtol=1e-5, atol=1e-5)


def test_every_linear_layer_of_a_model_is_replaced_and_nothing_else() -> None:
    class Special(nn.Linear):
        """A subclass may compute something else, so it stays."""

    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(6, 4), nn.GELU(), Special(4, 4))
    model = nn.Sequential(nn.Linear(8, 6), inner, nn.Linear(4, 2).double()).eval()
    x = torch.randn(3, 8)
    with torch.inference_mode():
        expected = model[:2](x)
        assert pack_linears(model) == 2
        torch.testing.assert_close(model[:2](x), expected, rtol=1e-5, atol=1e-5)
    assert [type(child) for child in (model[0], inner[0])] == [PackedLinear, PackedLinear]
    assert type(inner[2]) is Special
    assert type(model[2]) is nn.Linear


def test_a_torch_without_the_op_keeps_its_own_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise RuntimeError("no such op")

    monkeypatch.setattr(PackedLinear, "__init__", missing)
    onednn.available.cache_clear()
    model = nn.Sequential(nn.Linear(4, 4))
    try:
        assert pack_linears(model) == 0
    finally:
        onednn.available.cache_clear()
    assert type(model[0]) is nn.Linear

"""The gated scan in Triton, interpreted on the CPU or compiled on a GPU, against the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tamis.kernels.bi_gated_scan import bi_gated_scan
from tamis.kernels.dispatch import forced
from tamis.kernels.packing import pack_lengths

Compare = Callable[[Tensor, Tensor, float], None]

GATES = {"mingru": 2, "mingru_pos": 2, "minlstm": 3, "rglru": 3, "hgrn": 2, "paragru": 3}
GATES["paralstm"] = 3
SATURATED = {"minlstm": 2, "rglru": 2, "paragru": 3, "paralstm": 3}
# every cell with token states, every pool with some cell
CASES: list[tuple[Any, Any, torch.dtype]] = [
    *((cell, None, torch.float32) for cell in GATES),
    ("mingru", ("mean", "max"), torch.float32),
    ("rglru", "last", torch.float32),
    ("paragru", "mean", torch.float32),
    ("paralstm", "max", torch.float32),
    ("mingru", "last", torch.bfloat16),
    ("rglru", None, torch.bfloat16),
    ("hgrn", ("mean", "max"), torch.bfloat16),
    ("paralstm", None, torch.bfloat16),
]


def case(
    cell: str, tokens: int, channels: int = 5, *, saturate: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Pre-activations and parameters, float32; the last channel's gates at +-80 if asked."""
    u = torch.randn(tokens, 2, GATES[cell], channels)
    if saturate:
        gates = u[:, :, : SATURATED.get(cell, 1), -1]
        gates.copy_(80 * torch.sign(gates))
    params = {
        "rglru": torch.randn(2, channels) - 4,
        "hgrn": 0.9 * torch.rand(2, channels),
        "paragru": torch.randn(2, 3, channels),
        "paralstm": torch.randn(2, 5, channels),
    }
    return u, params.get(cell)


def evaluate(backend: Any, cell: Any, u: Tensor, lengths: Any, params: Any, pool: Any) -> list:
    """The result and its gradients under a fixed random weight."""
    u = u.clone().requires_grad_()
    params = None if params is None else params.clone().requires_grad_()
    with forced(backend):
        y = bi_gated_scan(u, cell, pack_lengths(lengths, u.device), params=params, pool=pool)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    (y * weight.to(y)).sum().backward()
    return [y.detach(), u.grad] + ([] if params is None else [params.grad])


def check(
    lengths: list[int],
    channels: int,
    of: tuple[Any, Any, torch.dtype],
    device: torch.device,
    compare: tuple[Compare, float, float],
) -> None:
    """compare: how, the bound of the result, the bound of the gradients."""
    cell, pool, dtype = of
    # near-equal states would leave the maximum's place to the last bit
    saturate = dtype == torch.float32 and "max" not in (pool or ())
    torch.manual_seed(2)
    u, params = case(cell, sum(lengths), channels, saturate=saturate)
    u, params = u.to(device, dtype), None if params is None else params.to(device)
    wide = None if params is None else params.double()
    truth = evaluate("reference", cell, u.double(), lengths, wide, pool)
    found = evaluate("triton", cell, u, lengths, params, pool)
    how, of_result, of_gradients = compare
    how(found[0], truth[0], of_result)
    for grad, expected in zip(found[1:], truth[1:], strict=True):
        how(grad, expected, of_gradients)


@pytest.mark.parametrize("of", CASES, ids=str)
def test_interpreted(of: Any, interpreted: None, close: Compare, close_rms: Compare) -> None:
    # the interpreter cuts bfloat16 off where a GPU rounds: twice the error
    bounds = (close_rms, 6e-3, 12e-3) if of[2] == torch.bfloat16 else (close, 1e-5, 5e-5)
    check([4, 0, 9, 1], 5, of, torch.device("cpu"), bounds)


def test_interpreted_beyond_one_block_of_channels(interpreted: None, close: Compare) -> None:
    of = ("hgrn", ("mean", "max"), torch.float32)
    check([2, 3], 70, of, torch.device("cpu"), (close, 1e-5, 5e-5))


def test_interpreted_over_forty_tokens(interpreted: None, close: Compare) -> None:
    check([40], 3, ("minlstm", None, torch.float32), torch.device("cpu"), (close, 1e-5, 5e-5))


@pytest.mark.gpu
@pytest.mark.parametrize("of", CASES, ids=str)
@pytest.mark.parametrize("channels", [5, 192, 200])
def test_compiled(
    of: Any, channels: int, gpu: torch.device, close: Compare, close_rms: Compare
) -> None:
    bounds = (close_rms, 3e-3, 6e-3) if of[2] == torch.bfloat16 else (close, 1e-5, 5e-5)
    check([300, 0, 1, 7, 8, 9, 128, 511, 0, 33], channels, of, gpu, bounds)


@pytest.mark.gpu
def test_offsets_beyond_31_bits(gpu: torch.device) -> None:
    tokens, channels = 1_500_000, 384
    u = torch.randn(tokens, 2, 2, channels, device=gpu, dtype=torch.bfloat16)
    packed = pack_lengths([tokens - 50, 50], gpu)
    alone = bi_gated_scan(u[-50:], "mingru", pack_lengths([50], gpu))
    assert torch.equal(bi_gated_scan(u, "mingru", packed)[-50:], alone)


def independence(device: torch.device) -> None:
    torch.manual_seed(6)
    u, params = case("paralstm", 9)
    other = u.clone()
    other[3:7] += 5 * torch.randn_like(other[3:7])
    first, second = (
        evaluate("triton", "paralstm", x.to(device), [3, 4, 2], params.to(device), ("mean", "max"))
        for x in (u, other)
    )
    # the pooled rows of the other segments, and the gradients of their tokens
    for one, two, kept in zip(first[:2], second[:2], ([0, 2], [0, 1, 2, 7, 8]), strict=True):
        assert torch.equal(one[kept], two[kept])
        assert not torch.equal(one, two)


def test_no_bit_of_a_neighbour_arrives(interpreted: None) -> None:
    independence(torch.device("cpu"))


@pytest.mark.gpu
def test_no_bit_of_a_neighbour_arrives_on_a_gpu(gpu: torch.device) -> None:
    independence(gpu)


def test_of_equal_maxima_the_first_in_the_pack_has_the_gradient(interpreted: None) -> None:
    # a = 0 everywhere, so a state is its own value: equal values, equal states
    u = torch.zeros(7, 2, 2, 1)
    u[:, :, 0] = 200
    u[:, :, 1, 0] = torch.tensor([1, 3, 3, 2, 5, 5, 5.0])[:, None]
    u.requires_grad_()
    with forced("triton"):
        y = bi_gated_scan(u, "mingru", pack_lengths([4, 3]), pool="max")
    assert y.tolist() == [[3, 3], [5, 5]]
    y.sum().backward()
    assert u.grad[:, 0, 1, 0].tolist() == [0, 1, 0, 0, 1, 0, 0]
    assert u.grad[:, 1, 1, 0].tolist() == [0, 1, 0, 0, 1, 0, 0]


def test_a_walk_begins_without_its_neighbours_state(interpreted: None) -> None:
    torch.manual_seed(9)
    u = torch.randn(5, 2, 2, 3)
    u[:, :, 1] += 1000  # a neighbour's state would show in the gradient of k
    u.requires_grad_()
    with forced("triton"):
        y = bi_gated_scan(u, "mingru", pack_lengths([3, 2]))
    # the first steps of the walks: forward of segment 1, backward of segment 0
    (y[3, :3].sum() + y[2, 3:].sum()).backward()
    k, v = u.detach().unbind(2)
    z = torch.sigmoid(k)
    expected = torch.zeros_like(u)
    for token, d in ((3, 0), (2, 1)):
        expected[token, d, 0] = (z * (1 - z) * v)[token, d]
        expected[token, d, 1] = z[token, d]
    torch.testing.assert_close(u.grad, expected, rtol=1e-5, atol=0)
    assert not u.grad[expected == 0].any()


def test_the_root_of_rglru_near_one(interpreted: None, close: Compare) -> None:
    # from log a = -4e-8, where its gradient is cut at 1,000, to where 1 - e^x needs no series
    u = torch.randn(8, 2, 3, 1)
    u[:, :, 0, 0] = torch.tensor([-11.51, -11.3, -9, -6, -4.46, -2, 1, 30])[:, None]
    lam = torch.tensor([[-7.6], [1.0]])
    truth = evaluate("reference", "rglru", u.double(), [8], lam.double(), None)
    found = evaluate("triton", "rglru", u, [8], lam, None)
    for d in range(2):  # the two directions differ by orders of magnitude
        close(found[0][:, d], truth[0][:, d], 2e-6)
        close(found[1][:, d], truth[1][:, d], 5e-5)
        close(found[2][d], truth[2][d], 5e-5)


def test_pooling_writes_no_token_states_and_reads_no_gradient_of_them(
    interpreted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tamis.kernels.bi_gated_scan import fused

    launched: list[list[int]] = []
    launch = fused._launch

    def noting(kernel: Any, u: Tensor, tensors: Any, packed: Any, constants: Any) -> None:
        launched.append([0 if tensor is None else tensor.numel() for tensor in tensors])
        launch(kernel, u, tensors, packed, constants)

    monkeypatch.setattr(fused, "_launch", noting)
    u, packed = torch.randn(7, 2, 3, 5), pack_lengths([4, 3])
    of_tokens = 7 * 2 * 5
    with forced("triton"):
        bi_gated_scan(u, "minlstm", packed)
        bi_gated_scan(u, "minlstm", packed, pool=("mean", "max"))
        y = bi_gated_scan(u.requires_grad_(), "minlstm", packed, pool=("mean", "max"))
        y.sum().backward()
    # the states themselves; nothing; the states kept for the backward pass, which reads them
    assert [sizes.count(of_tokens) for sizes in launched] == [1, 0, 1, 1]
    assert y.numel() in launched[-1]

"""The folded student as it is trained, unfolded: plain torch, any dtype, the only oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed
    from .weights import Float32Array, FoldedWeights


def folded_reference(
    weights: FoldedWeights, ids: Tensor, packed: Packed, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Unit vectors [N, dim]; ids [tokens] int64 packed. Zeros for a passage without tokens."""

    def tensor(array: Float32Array) -> Tensor:
        return torch.from_numpy(array).to(dtype)

    tokens = ids.numpy()
    embedded = tensor(weights.table.rows(tokens))
    base = embedded if weights.base is None else embedded @ tensor(weights.base)
    vectors = _mean(base * tensor(weights.weight[tokens])[:, None], packed)
    states = None
    for layer in weights.layers:
        u = embedded @ tensor(layer.tokens) + tensor(layer.bias)
        if states is not None and layer.states is not None:
            u = u + states @ tensor(layer.states)
        forward, backward = u.reshape(len(u), 2, 2, len(layer.gain) // 2).unbind(1)
        hidden = torch.cat([_scan(forward, packed, False), _scan(backward, packed, True)], 1)
        square = hidden.square().mean(1, keepdim=True)
        states = hidden * (square + weights.epsilon).rsqrt() * tensor(layer.gain)
    if states is not None and weights.output is not None:
        vectors = vectors + _mean(states, packed) @ tensor(weights.output)
    return torch.nn.functional.normalize(vectors, dim=1)


def _scan(u: Tensor, packed: Packed, reverse: bool) -> Tensor:
    """minGRU (2410.01201): u [tokens, 2, C] of gate k and value v; h += s(k) (v - h), h_0 = 0."""
    if not len(u):
        return u[:, 0]
    steps = packed.steps(reverse=reverse)
    h = u.new_zeros(len(packed), u.shape[2])
    outputs = []
    for rows in steps.rows:
        gate, value = u[rows].unbind(1)
        h = h[: len(rows)]
        h = h + torch.sigmoid(gate) * (value - h)
        outputs.append(h)
    return steps.to_tokens(outputs)


def _mean(x: Tensor, packed: Packed) -> Tensor:
    sums = x.new_zeros(len(packed), x.shape[1]).index_add(0, packed.segment_ids, x)
    lengths = torch.from_numpy(packed.lengths).clamp_min(1)
    return sums / lengths[:, None].to(x.dtype)

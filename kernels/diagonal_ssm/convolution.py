"""The same map as one long convolution: what a CPU does faster than a loop over time.

A linear recurrence that treats every token alike is a convolution with its impulse response
K_t = 2 Re sum_n w_n abar_n^t. Segments are padded to one of few sizes, chosen by their own length
alone, so that a passage's result does not depend on its neighbours, and multiplied in frequency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from .discretise import discretise
from .reference import reference

if TYPE_CHECKING:
    from torch import Tensor

    from ..packing import Packed

_SMALLEST = 16


def convolution(
    x: Tensor,
    log_dt: Tensor,
    A_re: Tensor,
    A_im: Tensor,
    C_re: Tensor,
    C_im: Tensor,
    D: Tensor,
    packed: Packed,
    *,
    reverse: bool = False,
) -> Tensor:
    """As ``diagonal_ssm``."""
    if not packed.tokens:
        return reference(x, log_dt, A_re, A_im, C_re, C_im, D, packed)
    wide = torch.promote_types(x.dtype, torch.float32)
    u = x.to(wide)
    sizes = np.array([_size(int(length)) for length in packed.lengths])
    response = impulse_response(log_dt, A_re, A_im, C_re, C_im, int(sizes.max())).to(wide)
    y = u * D.to(wide)
    for size in np.unique(sizes[packed.lengths > 0]):
        rows, slots, count = _places(packed, sizes == size, int(size), reverse=reverse)
        chosen = u.index_select(0, rows)
        padded = u.new_zeros(count * int(size), u.shape[1]).index_copy(0, slots, chosen)
        mixed = _causal(padded.view(count, int(size), -1), response[:size]).flatten(0, 1)
        y = y.index_add(0, rows, mixed.index_select(0, slots))
    return y.to(x.dtype)


def impulse_response(
    log_dt: Tensor, A_re: Tensor, A_im: Tensor, C_re: Tensor, C_im: Tensor, length: int
) -> Tensor:
    """K [length, channels] in float64: what a single 1 at t = 0 leaves at each later step.

    abar^t = abar^(b i) abar^j for t = b i + j: 2 sqrt(length) powers instead of ``length``, and
    one product of matrices. Float64 because the phase grows with t.
    """
    _, _, w_re, w_im = discretise(log_dt, A_re, A_im, C_re, C_im)
    dt = log_dt.double().exp()[:, None]
    inner = max(1, int(length**0.5))
    outer = -(-length // inner)
    near_re, near_im = _powers(dt * A_re, dt * A_im, range(inner))
    far_re, far_im = _powers(dt * A_re, dt * A_im, range(0, outer * inner, inner))
    w_re, w_im = w_re[:, None], w_im[:, None]
    left = torch.cat([w_re * far_re - w_im * far_im, -w_re * far_im - w_im * far_re], 2)
    right = torch.cat([near_re, near_im], 2)
    response = 2 * torch.bmm(left, right.transpose(1, 2))
    return response.flatten(1)[:, :length].T


def _powers(real: Tensor, imaginary: Tensor, exponents: range) -> tuple[Tensor, Tensor]:
    """exp(t (real + i imaginary)) as real and imaginary part [channels, len(exponents), N]."""
    t = torch.tensor(list(exponents), dtype=real.dtype, device=real.device)[:, None]
    size, phase = (t * real[:, None]).exp(), t * imaginary[:, None]
    return size * phase.cos(), size * phase.sin()


def _causal(padded: Tensor, response: Tensor) -> Tensor:
    """padded [count, size, channels] convolved with response [size, channels] along its size."""
    size = padded.shape[1]
    spectrum = torch.fft.rfft(padded, n=2 * size, dim=1)
    spectrum = spectrum * torch.fft.rfft(response, n=2 * size, dim=0)
    mixed: Tensor = torch.fft.irfft(spectrum, n=2 * size, dim=1)
    return mixed[:, :size]


def _size(length: int) -> int:
    """The next of 16, 24, 32, 48, 64, ...: fast to transform, at most a third of it padding."""
    power = max(_SMALLEST, 1 << (length - 1).bit_length())
    return power * 3 // 4 if _SMALLEST <= length <= power * 3 // 4 else power


def _places(
    packed: Packed, members: np.ndarray, size: int, *, reverse: bool
) -> tuple[Tensor, Tensor, int]:
    """Tokens of the member segments, their places when padded to ``size``, how many segments."""
    lengths = packed.lengths[members]
    starts = (np.cumsum(packed.lengths) - packed.lengths)[members]
    inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows = np.repeat(starts, lengths) + inside
    if reverse:
        inside = np.repeat(lengths, lengths) - 1 - inside
    slots = np.repeat(np.arange(len(lengths)) * size, lengths) + inside
    device = packed.device
    return torch.from_numpy(rows).to(device), torch.from_numpy(slots).to(device), len(lengths)

"""The folded student as a torch module: unfolded, trainable, and the form of its stored file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...kernels.bi_gated_scan import bi_gated_scan
from ...kernels.folded.weights import FoldedWeights, Layer, TokenTable
from ...kernels.segment_pool import segment_pool
from ..recurrent.text_model import TextModel
from .half_product import half_product

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ...kernels.packing import Packed
    from .spec import FoldedSpec

    Product = Callable[[Tensor, Tensor], Tensor]

_EPSILON = 1e-6
_EXACT = ("embedding", "embedding_scale", "weight")


class FoldedLayer(nn.Module):
    """u = E[id] tokens + bias (+ states read), minGRU both ways, RMSNorm with a gain."""

    states: nn.Parameter | None

    def __init__(self, spec: FoldedSpec, *, first: bool) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(spec.rank, 2 * spec.width))
        self.bias = nn.Parameter(torch.empty(2 * spec.width))
        self.states = None if first else nn.Parameter(torch.empty(spec.width, 2 * spec.width))
        self.gain = nn.Parameter(torch.empty(spec.width))

    def forward(
        self,
        embedded: Tensor,
        place: Tensor,
        below: Tensor | None,
        packed: Packed,
        product: Product,
    ) -> Tensor:
        """embedded [different pieces, rank], place [tokens] of each token in it, below [tokens,
        width] or None, to [tokens, width]."""
        u = nn.functional.embedding(place, product(embedded, self.tokens) + self.bias)
        if below is not None and self.states is not None:
            u = u + product(below, self.states)
        hidden = bi_gated_scan(u.view(len(u), 2, 2, len(self.gain) // 2), "mingru", packed)
        return nn.functional.rms_norm(hidden, self.gain.shape, self.gain, _EPSILON)


class FoldedModel(TextModel):
    """The same vectors as ``FoldedEncoder`` gives, to 2e-5, with gradients.

    Parameters are float32; ``state_dict`` is what the file holds: the embedding as int8 with a
    scale a row, ``weight`` in float32, all else in fp16. So a model that is saved and loaded is
    the rounded one; to go on with a training run keep ``named_parameters``.
    """

    spec: FoldedSpec
    base: nn.Parameter | None
    output: nn.Parameter | None
    in_bfloat16: bool
    """Multiply in bfloat16: for training on a CPU."""

    def __init__(self, spec: FoldedSpec) -> None:
        super().__init__()
        self.spec = spec
        self.in_bfloat16 = False
        self.embedding = nn.Parameter(torch.zeros(spec.vocabulary, spec.rank))
        self.weight = nn.Parameter(torch.ones(spec.vocabulary))
        same = spec.rank == spec.dim
        self.base = None if same else nn.Parameter(torch.zeros(spec.rank, spec.dim))
        self.layers = nn.ModuleList(
            FoldedLayer(spec, first=number == 0) for number in range(spec.layers)
        )
        self.output = nn.Parameter(torch.zeros(spec.width, spec.dim)) if spec.layers else None
        self.register_state_dict_post_hook(_pack_tensors)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_unpack_tensors)  # type: ignore[no-untyped-call]

    def forward(self, ids: Tensor, packed: Packed) -> Tensor:
        return nn.functional.normalize(self.run_means(ids, packed, packed), dim=1)

    def run_means(self, ids: Tensor, packed: Packed, runs: Packed) -> Tensor:
        """[runs, dim]: the mean over each run of tokens of what becomes, pooled over a text and
        brought to unit length, its vector. ``runs`` cuts the texts of ``packed``.

        Products with the table are made once for each different word piece of the pack.
        """
        pieces, place = torch.unique(ids, return_inverse=True)
        embedded = nn.functional.embedding(pieces, self.embedding)
        return self.means_of(embedded, self.weight[pieces], place, packed, runs)

    def means_of(
        self, embedded: Tensor, weight: Tensor, place: Tensor, packed: Packed, runs: Packed
    ) -> Tensor:
        """``run_means`` from the rows of the token table: embedded [pieces, rank], weight
        [pieces], and place [tokens], the piece that each token is."""
        product = half_product if self.in_bfloat16 else torch.mm
        base = embedded if self.base is None else product(embedded, self.base)
        weighted = base * weight[:, None]
        means = segment_pool(nn.functional.embedding(place, weighted), runs, "mean")
        states = None
        for layer in self.layers:
            states = layer(embedded, place, states, packed, product)
        if states is not None and self.output is not None:
            means = means + product(segment_pool(states, runs, "mean"), self.output)
        return means

    @classmethod
    def of(cls, spec: FoldedSpec, weights: FoldedWeights) -> FoldedModel:
        """A model with exactly these weights."""
        model = cls(spec)
        found: dict[str, np.ndarray | None] = {
            "embedding": weights.table.rows(slice(None)),
            "weight": weights.weight,
            "base": weights.base,
            "output": weights.output,
        }
        for number, layer in enumerate(weights.layers):
            for name in ("tokens", "bias", "states", "gain"):
                found[f"layers.{number}.{name}"] = getattr(layer, name)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(torch.from_numpy(found[name]))
        return model

    def hold_equal_weights(self) -> None:
        """Keep the weights of word pieces from being trained if all are equal.

        Learned ones bring the vectors nearer to a teacher's and make the student's own queries find
        less: docs/training.md has figures.
        """
        self.weight.requires_grad_(not bool((self.weight == self.weight[0]).all()))

    def weights(self) -> FoldedWeights:
        """The parameters as they are, nothing rounded."""
        found = {name: x.detach().cpu().numpy() for name, x in self.named_parameters()}
        layers = [
            Layer(
                tokens=found[f"layers.{number}.tokens"],
                bias=found[f"layers.{number}.bias"],
                states=found.get(f"layers.{number}.states"),
                gain=found[f"layers.{number}.gain"],
            )
            for number in range(self.spec.layers)
        ]
        table = TokenTable.exact(found["embedding"])
        base, output = found.get("base"), found.get("output")
        return FoldedWeights(table, found["weight"], base, layers, output, _EPSILON)


def _pack_tensors(module: nn.Module, state: dict[str, Any], prefix: str, _: object) -> None:
    """float32 parameters to the stored form; works on the meta device too."""
    del module
    embedding = state[prefix + "embedding"]
    scale = embedding.abs().amax(1) / 127
    safe = torch.where(scale > 0, scale, 1)[:, None]
    for name in list(state):
        own = name.removeprefix(prefix)
        if name.startswith(prefix) and own not in _EXACT:
            state[name] = state[name].half()
    state[prefix + "embedding"] = (embedding / safe).round().to(torch.int8)
    state[prefix + "embedding_scale"] = scale


def _unpack_tensors(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    del module
    scale = state.pop(prefix + "embedding_scale", None)
    if scale is not None:
        state[prefix + "embedding"] = state[prefix + "embedding"].float() * scale[:, None]

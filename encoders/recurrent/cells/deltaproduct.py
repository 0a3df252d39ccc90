"""DeltaProduct: two corrections a token, which together can rotate what is remembered."""

from __future__ import annotations

from .deltanet import DeltaBranch, DeltaNet


class DeltaProduct(DeltaNet):
    """Gated DeltaProduct of Siems et al. (2025), arXiv 2502.10297, with two steps a token.

    As DeltaNet, but a token writes two pairs, by beta in (0, 2): a reflection each at 2, so that
    their product is a rotation, where one step can only shrink or reflect. A scalar gate a head
    decays the state once before the two.
    """

    def branch(self, width: int, *, reverse: bool) -> DeltaBranch:
        return DeltaBranch(width, reverse=reverse, steps=2, most=2.0, gated=True)

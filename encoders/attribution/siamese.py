"""A bi-encoder's score as a matrix: how much each query token and passage token make together.

Moeller, Nikolaev, Pado: "An Attribution Method for Siamese Encoders" (EMNLP 2023, arXiv
2310.05703); with the norms of a cosine held fixed as in "Approximate Attributions for
Off-the-Shelf Siamese Transformers" (EACL 2024, arXiv 2402.02883).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import BadArguments

if TYPE_CHECKING:
    from torch import Tensor

    from ...core.protocols import Role
    from ...core.records import Float32Array
    from .token_inputs import ReadsTokens, TokenInputs

TOLERANCE = 0.005
"""Of the score, unexplained, at which no finer walk is made."""

_FIRST, _LAST = 16, 128  # points of the walk; each try doubles them
_STEP = 0.01  # of the way so far, for the slope by a token of the query
_AT_ONCE = 4096  # tokens in a forward pass


@dataclass(frozen=True, slots=True)
class Attribution:
    """``score`` is the sum of ``matrix`` [query tokens, passage tokens], float32, and of
    ``references``, up to ``error``.

    ``references``: s(q, r) + s(r, p) - s(r, r), what a query and a passage that say nothing score
    with the other and with each other. ``error`` is the share of the score that is left over: the
    walk's coarseness. ``points`` is how fine it was.
    """

    query_tokens: tuple[str, ...]
    passage_tokens: tuple[str, ...]
    matrix: Float32Array
    score: float
    references: float
    error: float
    points: int

    def strongest(self, most: int) -> list[tuple[str, str, float]]:
        """The pairs of tokens of the largest magnitude, the largest first."""
        order = np.argsort(-np.abs(self.matrix), axis=None, kind="stable")[:most]
        places = zip(*np.unravel_index(order, self.matrix.shape), strict=True)
        return [
            (self.query_tokens[i], self.passage_tokens[j], float(self.matrix[i, j]))
            for i, j in places
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "query_tokens": list(self.query_tokens),
            "passage_tokens": list(self.passage_tokens),
            "matrix": self.matrix.tolist(),
            "score": self.score,
            "references": self.references,
            "error": self.error,
            "points": self.points,
        }


def attribute(
    model: ReadsTokens,
    query: str,
    passage: str,
    *,
    queries: ReadsTokens | None = None,
    points: int | None = None,
) -> Attribution:
    """The score of a query and a passage, token by token; ``queries`` reads the query if given.

    Both texts walk from their reference to themselves. With J the mean Jacobian of a text's vector
    along its walk, and d how far each token's own vector goes, the pair (i, j) gets
    (d_i J_q) . (d_j J_p), over the norms of both vectors where the score is a cosine. The mean is
    Gauss and Legendre's over ``points`` (see ``_walk``); without a number they double from 16
    until ``error`` is below TOLERANCE, up to 128. The query's side is differences of values, two
    forward passes a token and point; the passage's is one backward pass a query token and point.

    Raises BadArguments when a text has no token or its vector is zero: no score to explain.
    """
    return AskedQuery(queries or model, query).attribute(model, passage, points)


class AskedQuery:
    """One query, for the scores of any number of passages: its own walk is made once.

    Raises BadArguments when it has no token.
    """

    def __init__(self, model: ReadsTokens, query: str) -> None:
        self._text = _read(model, query, "query")
        self._ends = _ends(self._text)
        self._slopes: dict[int, Tensor] = {}

    def attribute(self, model: ReadsTokens, passage: str, points: int | None = None) -> Attribution:
        """As the function ``attribute``; ``model`` reads the passage."""
        told = _read(model, passage, "passage")
        (q, q0), (p, p0) = self._ends, _ends(told)
        norms = [float(whole.norm()) if model.cosine else 1.0 for whole in (q, p)]
        if not all(norms):
            raise BadArguments("a text's vector is zero, so there is no score to attribute")
        scale = 1 / (norms[0] * norms[1])

        def product(left: Tensor, right: Tensor) -> float:
            return float(left.double() @ right.double()) * scale

        score = product(q, p)
        references = product(q, p0) + product(q0, p) - product(q0, p0)
        number = points or _FIRST
        while True:
            matrix = _matrix(told, self._walked(number), number).double() * scale
            error = abs(float(matrix.sum()) + references - score) / max(abs(score), 1e-12)
            if points is not None or error < TOLERANCE or 2 * number > _LAST:
                break
            number *= 2
        values: Float32Array = matrix.float().cpu().numpy()
        asked = self._text.tokens
        return Attribution(asked, told.tokens, values, score, references, error, number)

    def _walked(self, points: int) -> Tensor:
        if points not in self._slopes:
            self._slopes[points] = _slopes(self._text, points)
        return self._slopes[points]


def _read(model: ReadsTokens, text: str, role: Role) -> TokenInputs:
    found = model.read(text, role)
    if not found.tokens:
        raise BadArguments(f"the {role} {text[:60]!r} has no token, so there is no score")
    return found


def _ends(text: TokenInputs) -> tuple[Tensor, Tensor]:
    """The vectors of the text and of its reference, [dim] each."""
    import torch

    with torch.no_grad():
        both = text.pooled(torch.stack([text.inputs, text.reference]))
    return both[0], both[1]


def _walk(points: int) -> list[tuple[float, float]]:
    """(place from 0 to 1, weight), the weights adding to 1.

    Places are cubes of Gauss and Legendre's, dense at the reference: a layer that normalises
    states which are nearly zero there turns in the first thousandth of the way.
    """
    places, weights = np.polynomial.legendre.leggauss(points)
    halves = (places + 1) / 2
    return list(zip((halves**3).tolist(), (1.5 * weights * halves**2).tolist(), strict=True))


def _slopes(text: TokenInputs, points: int) -> Tensor:
    """[T, dim]: d_i J, what each token's own way adds to the vector, on the mean of the walk.

    By central differences: the cells of recurrent encoders know no forward derivatives, and a
    query has few tokens.
    """
    import torch

    way = text.inputs - text.reference
    number, width = way.shape
    alone = torch.zeros(number, number, width, device=way.device)
    alone[range(number), range(number)] = way  # one token moves, the others stay
    total = torch.zeros(())
    at_once = max(1, _AT_ONCE // number)
    with torch.no_grad():
        for place, weight in _walk(points):
            here = text.reference + place * way
            step = _STEP * place
            moved = torch.cat([here + step * alone, here - step * alone])
            parts = torch.split(moved, at_once)
            values = torch.cat([text.pooled(part) for part in parts])
            total = total.to(values.device) + weight * (values[:number] - values[number:]) / (
                2 * step
            )
    return total


def _matrix(text: TokenInputs, slopes: Tensor, points: int) -> Tensor:
    """[query tokens, T]: (d_j J) . slope_i."""
    import torch

    way = text.inputs - text.reference
    rows = torch.zeros(len(slopes), len(way), device=way.device)
    for place, weight in _walk(points):
        here = (text.reference + place * way).requires_grad_()
        (vector,) = text.pooled(here[None])
        for number, slope in enumerate(slopes):
            (found,) = torch.autograd.grad(vector @ slope, here, retain_graph=True)
            rows[number] += weight * (found * way).sum(1)
    return rows.detach()

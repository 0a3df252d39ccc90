"""Batches of texts that are near each other, so that a batch holds hard negatives."""

from __future__ import annotations

import numpy as np


def neighbourhoods(vectors: np.ndarray, leaf: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows of vectors [n, dim] in groups of at most ``leaf``, every row in exactly one.

    A random projection tree (Dasgupta and Freund 2008): cut at the median along the line between
    two random members, again and again. Other random numbers, other neighbourhoods.
    """
    done, waiting = [], [np.arange(len(vectors))] if len(vectors) else []
    while waiting:
        rows = waiting.pop()
        if len(rows) <= leaf:
            done.append(rows)
            continue
        a, b = rng.choice(rows, 2, replace=False)
        along = vectors[rows] @ (vectors[a] - vectors[b])
        order = np.argsort(along, kind="stable")
        middle = len(rows) // 2
        waiting += [rows[order[:middle]], rows[order[middle:]]]
    return done


def batches_within(
    groups: list[np.ndarray], lengths: np.ndarray, budget: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Groups in random order, put together until a batch holds ``budget`` tokens.

    lengths [n] in tokens; every row is in exactly one batch. A group is never cut, so a batch may
    exceed the budget by one group.
    """
    batches, batch, tokens = [], [], 0
    for number in rng.permutation(len(groups)):
        batch.append(groups[number])
        tokens += int(lengths[groups[number]].sum())
        if tokens >= budget:
            batches.append(np.concatenate(batch))
            batch, tokens = [], 0
    return [*batches, np.concatenate(batch)] if batch else batches

"""The folded student's C and numpy twins against its unfolded form in float64."""

from __future__ import annotations

import ctypes
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import BadArguments, BadData
from tamis.kernels.folded import plain
from tamis.kernels.folded.native import NativeTables
from tamis.kernels.folded.plain import PlainTables
from tamis.kernels.folded.reference import folded_reference
from tamis.kernels.folded.stack import FoldedStack
from tamis.kernels.folded.weights import FoldedWeights, Layer, TokenTable, panel_order
from tamis.kernels.native.loading import library
from tamis.kernels.packing import pack_lengths

LENGTHS = [0, 1, 5, 300, 0, 11, 12, 13, 1, 511, 520, 2, 64, 0]
VOCABULARY = 500


def student(
    layers: int, width: int = 64, rank: int = 48, dim: int = 32, *, scale: float = 1.0
) -> FoldedWeights:
    rng = np.random.default_rng(layers)

    def matrix(*shape: int) -> np.ndarray:
        return (scale * rng.standard_normal(shape) / shape[0] ** 0.5).astype(np.float32)

    stack = [
        Layer(
            tokens=matrix(rank, 2 * width),
            bias=rng.standard_normal(2 * width).astype(np.float32),
            states=matrix(width, 2 * width) if number else None,
            gain=rng.uniform(0.5, 2, width).astype(np.float32),
        )
        for number in range(layers)
    ]
    return FoldedWeights(
        table=TokenTable.quantised(rng.standard_normal((VOCABULARY, rank)).astype(np.float32)),
        weight=rng.uniform(0.1, 1, VOCABULARY).astype(np.float32),
        base=None if rank == dim else matrix(rank, dim),
        layers=stack,
        output=matrix(width, dim) if layers else None,
    )


def pack(lengths: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(seed).integers(0, VOCABULARY, sum(lengths)).astype(np.int32)
    return ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def expected(weights: FoldedWeights, ids: np.ndarray, lengths: list[int]) -> np.ndarray:
    return folded_reference(weights, torch.from_numpy(ids).long(), pack_lengths(lengths)).numpy()


@pytest.fixture(params=["plain", "avx2", "avx512", "numpy"])
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each instruction set of the C library in turn, and numpy."""
    if request.param == "numpy":
        monkeypatch.setenv("TAMIS_KERNELS", "torch")
    else:
        request.getfixturevalue("limit_instruction_set")(request.param)
    return request.param


@pytest.mark.parametrize("layers", [0, 1, 2, 4])
def test_equals_the_unfolded_student(twin: str, layers: int) -> None:
    weights = student(layers)
    ids, bounds = pack(LENGTHS)
    found = FoldedStack(weights).encode(ids, bounds)
    assert found.dtype == np.float32
    assert np.abs(found - expected(weights, ids, LENGTHS)).max() < 2e-5
    assert not found[[0, 4, 13]].any()  # no tokens, no direction
    assert np.allclose(np.linalg.norm(found[1], axis=-1), 1, atol=1e-6)


def test_saturated_gates_and_base_without_projection(twin: str) -> None:
    weights = student(2, rank=32, dim=32, scale=25.0)
    ids, bounds = pack(LENGTHS)
    found = FoldedStack(weights).encode(ids, bounds)
    assert np.abs(found - expected(weights, ids, LENGTHS)).max() < 2e-5


def test_word_order_counts(twin: str) -> None:
    ids, bounds = pack([9])
    stack = FoldedStack(student(1))
    difference = stack.encode(ids, bounds) - stack.encode(ids[::-1].copy(), bounds)
    assert np.abs(difference).max() > 1e-2


def test_a_vector_depends_on_its_passage_alone(twin: str) -> None:
    stack = FoldedStack(student(3))
    ids, bounds = pack(LENGTHS)
    together = stack.encode(ids, bounds)
    for i, n in enumerate(LENGTHS):
        alone = stack.encode(ids[bounds[i] : bounds[i + 1]], np.array([0, n]))
        if twin == "numpy":  # its products are BLAS's, whose sums follow the number of rows
            assert np.abs(alone[0] - together[i]).max() < 1e-6
        else:
            assert (alone[0] == together[i]).all()


def test_own_rows_and_whole_tables_give_the_same_bits(twin: str) -> None:
    weights = student(2)
    ids, bounds = pack(LENGTHS)
    few = ids[:3]
    stack = FoldedStack(weights)
    before = stack.encode(few, np.array([0, 3]))
    for _ in range(3):  # by now the whole vocabulary has been paid for
        stack.encode(ids, bounds)
    assert stack.materialised
    after = stack.encode(few, np.array([0, 3]))
    assert np.abs(after - before).max() <= (1e-6 if twin == "numpy" else 0)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=20), st.integers(0, 3))
def test_any_pack(lengths: list[int], layers: int) -> None:
    weights = student(layers, width=32)
    ids, bounds = pack(lengths, seed=len(lengths))
    found = FoldedStack(weights).encode(ids, bounds)
    assert found.shape == (len(lengths), 32)
    if lengths:
        assert np.abs(found - expected(weights, ids, lengths)).max() < 2e-5


def test_more_passages_than_a_tile_holds() -> None:
    weights = student(2, width=32)
    lengths = [0] * 700 + [1] * 1300
    ids, bounds = pack(lengths)
    found = FoldedStack(weights).encode(ids, bounds)
    assert np.abs(found - expected(weights, ids, lengths)).max() < 2e-5


def test_numpy_works_on_few_passages_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = student(2)
    ids, bounds = pack(LENGTHS)
    monkeypatch.setenv("TAMIS_KERNELS", "torch")
    together = FoldedStack(weights).encode(ids, bounds)
    monkeypatch.setattr(plain, "_TILE", 32)
    tiles = list(plain._tiles(bounds))
    assert [i for first, end in tiles for i in range(first, end)] == list(range(len(LENGTHS)))
    assert all(end == first + 1 or bounds[end] - bounds[first] <= 32 for first, end in tiles)
    assert len(tiles) < len(LENGTHS)
    assert np.abs(FoldedStack(weights).encode(ids, bounds) - together).max() < 1e-6


def test_however_the_arrays_lie_in_memory(twin: str) -> None:
    weights = student(0, rank=32)
    columns = np.asfortranarray(weights.table.rows(slice(None)))
    odd = dataclasses.replace(
        weights, table=TokenTable.exact(columns), weight=weights.weight.astype(np.float64)
    )
    ids, bounds = pack([3, 300, 0, 5])
    stack = FoldedStack(odd)
    for _ in range(2):  # the rows of the call, then the whole table
        difference = stack.encode(ids, bounds) - FoldedStack(weights).encode(ids, bounds)
        assert np.abs(difference).max() < 1e-6
        stack.materialise()


def test_a_rank_whose_rows_fill_a_stack(twin: str) -> None:
    """200,000 floats in blocks of 12 rows are more than the 8 MB that a thread may have."""
    rank = 200_000
    table = TokenTable.exact(np.ones((2, rank), np.float32))
    base = np.full((rank, 32), 1 / rank, np.float32)
    wide = FoldedWeights(table, np.ones(2, np.float32), base, layers=[], output=None)
    found = FoldedStack(wide).encode(np.array([1], np.int32), np.array([0, 1]))
    assert np.abs(found - 32**-0.5).max() < 1e-6


def test_quantised_rows_are_near_and_zero_rows_stay() -> None:
    embedding = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    embedding[3] = 0
    table = TokenTable.quantised(embedding)
    assert table.values.dtype == np.int8
    error = np.abs(table.rows(slice(None)) - embedding)
    assert (error <= np.abs(embedding).max(axis=1, keepdims=True) / 254 + 1e-6).all()
    assert not table.rows(np.array([3])).any()


def test_panel_order_keeps_gate_and_value_of_a_block_together() -> None:
    order = panel_order(64)  # two directions of 32 channels
    assert order[:16].tolist() == list(range(16))  # forward gates 0-15
    assert order[16:32].tolist() == list(range(32, 48))  # their values
    assert order[32:48].tolist() == list(range(16, 32))
    assert order[64] == 64  # backward begins
    assert sorted(order) == list(range(128))


@pytest.mark.parametrize(
    ("ids", "bounds", "said"),
    [
        ([0, 500], [0, 2], "0 to 499"),
        ([0, -1], [0, 2], "-1"),
        ([0, 1], [0, 1], "number of tokens"),
        ([0, 1], [0, 2, 1, 2], "rise"),
        ([0, 1], [1, 2], "rise"),
    ],
)
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])  # differences of unsigned numbers wrap
def test_wrong_input_never_reaches_the_c_code(
    ids: list[int], bounds: list[int], said: str, dtype: type
) -> None:
    with pytest.raises(BadArguments, match=said):
        FoldedStack(student(1)).encode(np.array(ids, np.int32), np.array(bounds, dtype))


def test_shapes_that_do_not_fit_are_named() -> None:
    good = student(2)
    with pytest.raises(BadData, match="weight has shape"):
        dataclasses.replace(good, weight=good.weight[:-1])
    with pytest.raises(BadData, match="layer 1 states has shape None"):
        dataclasses.replace(
            good, layers=[good.layers[0], dataclasses.replace(good.layers[1], states=None)]
        )
    with pytest.raises(BadData, match="output projection"):
        dataclasses.replace(good, output=None)
    with pytest.raises(BadData, match="multiple of 32, not 48"):
        student(1, width=48)


def test_native_asked_for_by_name_fails_loudly_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tamis.kernels.folded.stack.library", lambda: None)
    assert isinstance(FoldedStack(student(1))._tables, PlainTables)
    monkeypatch.setenv("TAMIS_KERNELS", "native")
    with pytest.raises(BadArguments, match="not built"):
        FoldedStack(student(1))
    monkeypatch.setenv("TAMIS_KERNELS", "triton")
    with pytest.raises(BadArguments, match="'triton': folded students come as native"):
        FoldedStack(student(1))


def test_the_library_is_what_runs_here() -> None:
    built = library()
    if built is None:
        pytest.skip("the C library was not built")
    assert isinstance(built, ctypes.CDLL)
    assert isinstance(FoldedStack(student(1))._tables, NativeTables)

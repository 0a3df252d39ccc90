"""The folded student as an encoder: its folder, its torch form, and what runs without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors

import tamis
from tamis.core.errors import BadArguments, BadData, CorruptFile, MissingResource
from tamis.encoders.folded.encoder import FoldedEncoder, load_folded, static_of
from tamis.encoders.folded.model import FoldedModel
from tamis.encoders.folded.spec import FoldedSpec
from tamis.encoders.recurrent.encoder_folder import load as load_in_torch
from tamis.kernels.packing import pack_lengths

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [
    "how long does a flea live?",
    "",
    "a",
    "The sieve lets small grains through and keeps large ones. " * 20,
    "two passages of different lengths lie end to end",
]


@pytest.fixture(scope="module")
def student() -> FoldedEncoder:
    return tamis.folded(2, 64, rank=48, dim=96, seed=3, query_prefix="query: ")


@pytest.fixture(scope="module")
def folder(student: FoldedEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "student"
    student.save(path)
    return path


def largest(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


def test_equals_its_trainable_form(student: FoldedEncoder) -> None:
    model = FoldedModel.of(student.spec, student.weights)
    packed = student.pieces.pack(TEXTS)
    vectors = model(
        torch.from_numpy(packed.ids).long(), pack_lengths(np.diff(packed.bounds))
    ).detach()
    assert largest(vectors.numpy(), student.encode_passages(TEXTS)) < 2e-5


def test_every_parameter_of_the_trainable_form_learns(student: FoldedEncoder) -> None:
    model = FoldedModel.of(student.spec, student.weights)
    packed = student.pieces.pack(TEXTS)
    vectors = model(torch.from_numpy(packed.ids).long(), pack_lengths(np.diff(packed.bounds)))
    target = torch.nn.functional.normalize(torch.randn(vectors.shape), dim=1)
    (vectors * target).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_weights_survive_the_trainable_form(student: FoldedEncoder) -> None:
    back = FoldedModel.of(student.spec, student.weights).weights()
    assert (back.table.values == student.weights.table.values).all()
    for ours, theirs in zip(back.layers, student.weights.layers, strict=True):
        assert (ours.tokens == theirs.tokens).all()
        assert (ours.gain == theirs.gain).all()


def test_the_folder_gives_the_same_vectors_to_all_who_read_it(folder: Path) -> None:
    ours = tamis.encoder(str(folder))
    assert isinstance(ours, FoldedEncoder)
    vectors = ours.encode_passages(TEXTS)
    assert largest(load_in_torch(folder).encode_passages(TEXTS), vectors) < 1e-6
    theirs = tamis.sentence_transformer(folder)
    assert largest(theirs.encode(TEXTS), vectors) < 1e-6
    assert largest(theirs.encode_query(TEXTS), ours.encode_queries(TEXTS)) < 1e-6
    assert largest(vectors, ours.encode_queries(TEXTS)) > 1e-3  # the prefix is read


def test_saving_rounds_a_little_and_only_once(
    student: FoldedEncoder, folder: Path, tmp_path: Path
) -> None:
    loaded = load_folded(folder)
    vectors = loaded.encode_passages(TEXTS)
    assert 0 < largest(vectors, student.encode_passages(TEXTS)) < 5e-3
    assert loaded.card.fingerprint == student.card.fingerprint  # of the folder it would be
    loaded.save(tmp_path / "again")
    assert (load_folded(tmp_path / "again").encode_passages(TEXTS) == vectors).all()
    tamis.sentence_transformer(folder).save(str(tmp_path / "theirs"))
    assert largest(load_folded(tmp_path / "theirs").encode_passages(TEXTS), vectors) < 1e-6


def test_the_file_is_small(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    assert stored["embedding"].dtype == np.int8
    assert {x.dtype.name for name, x in stored.items() if name.startswith("layers")} == {"float16"}


def test_no_torch_is_imported_to_encode(folder: Path) -> None:
    program = (
        "import sys, tamis\n"
        f"vectors = tamis.encoder({str(folder)!r}).encode_queries(['how long does a flea live?'])\n"
        "assert vectors.shape == (1, 96)\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_long_texts_are_cut_and_counted() -> None:
    short = tamis.folded(1, 32, max_length=4)
    long = short.encode([TEXTS[3], "the sieve lets small"], "passage")
    assert long.tokens.tolist() == [240, 5]
    assert (short.count_tokens(TEXTS, "passage") == short.encode(TEXTS, "passage").tokens).all()
    assert (long.vectors[0] == long.vectors[1]).all()  # its first four tokens


def test_static_is_the_same_table_without_order(student: FoldedEncoder) -> None:
    static = static_of(student)
    assert static.card.fingerprint != student.card.fingerprint
    assert static.card.space != student.card.space  # neither finds what the other indexed
    there, back = static.encode_passages(["one two three", "three two one"])
    assert largest(there, back) < 1e-6
    rows = student.weights.base_rows(student.pieces.pack(["one two three"]).ids.astype(np.int64))
    mean = rows.mean(axis=0)
    assert largest(there, mean / np.linalg.norm(mean)) < 1e-6


def test_seeds_make_encoders() -> None:
    vectors = [tamis.folded(1, 32, seed=s).encode_passages(TEXTS) for s in (0, 0, 1)]
    assert (vectors[0] == vectors[1]).all()
    assert largest(vectors[0], vectors[2]) > 1e-2


def damaged(folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (copy / name).write_bytes((folder / name).read_bytes())
    return copy


def test_a_cut_file_is_named(folder: Path, tmp_path: Path) -> None:
    copy = damaged(folder, tmp_path)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CorruptFile, match=r"model\.safetensors"):
        load_folded(copy)
    weights.unlink()
    with pytest.raises(MissingResource, match=r"model\.safetensors"):
        load_folded(copy)


@pytest.mark.parametrize("name", ["embedding", "layers.1.states"])
def test_a_tensor_of_another_shape_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    copy = damaged(folder, tmp_path)
    tensors = load_file(copy / "model.safetensors")
    tensors[name] = tensors[name][:-1].copy()
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(BadData, match=name):
        load_folded(copy)
    del tensors[name]
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(BadData, match=name):
        load_folded(copy)


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.bfloat16, "BF16"), (torch.float8_e4m3fn, "F8_E4M3")]
)
def test_a_type_that_numpy_does_not_know_is_named(
    folder: Path, tmp_path: Path, dtype: torch.dtype, name: str
) -> None:
    copy = damaged(folder, tmp_path)
    tensors = load_tensors(copy / "model.safetensors")
    tensors["layers.0.tokens"] = tensors["layers.0.tokens"].to(dtype)
    save_tensors(tensors, copy / "model.safetensors")
    with pytest.raises(BadData, match=rf"layers\.0\.tokens is {name} .*expected F16"):
        load_folded(copy)


def test_numbers_that_are_not_finite_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = damaged(folder, tmp_path)
    tensors = load_file(copy / "model.safetensors")
    tensors["layers.0.bias"][3] = np.inf
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(BadData, match=r"layers\.0\.bias"):
        load_folded(copy)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": "2"}, "'layers' is"),
        ({"wdith": 64}, "wdith"),
        ({"width": 60}, "multiples of 32"),
        ({"layers": 0}, "one of them is zero"),
        ({"layers": 10**9}, "layers of a folded student is 1000000000, expected 0 to 1024"),
        ({"vocabulary": 7}, "embedding"),
    ],
)
def test_a_wrong_spec_is_refused(
    folder: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    copy = damaged(folder, tmp_path)
    spec = json.loads((copy / "config.json").read_text("utf-8"))
    (copy / "config.json").write_text(json.dumps({**spec, **change}), "utf-8")
    with pytest.raises((BadData, CorruptFile), match=said):
        load_folded(copy)


def test_a_spec_says_what_is_too_small() -> None:
    with pytest.raises(BadArguments, match="rank"):
        FoldedSpec(1, 32, 0, 32, 10)

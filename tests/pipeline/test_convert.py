"""Pickled weights to safetensors: the same numbers, and nothing that a pickle names is run."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from tamis.core.errors import BadArguments, BadData, CorruptFile, MissingResource
from tamis.pipeline.cli import app
from tamis.pipeline.converting import convert

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.tensor([1, 2], dtype=torch.int64),
    "c": torch.tensor([0.5], dtype=torch.float16),
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "t5"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "modeling.py").write_text("raise SystemExit")
    return folder


def saved(model: Path, weights: Any) -> Path:
    torch.save(weights, model / "pytorch_model.bin")
    return model


def test_the_same_tensors_under_the_same_names(model: Path, tmp_path: Path) -> None:
    shared = {**WEIGHTS, "tied": WEIGHTS["a"], "transposed": WEIGHTS["a"].T}
    assert convert(saved(model, shared), tmp_path / "out") == 5
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == shared.keys()
    for name, tensor in shared.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_settings_are_copied_and_code_is_not(model: Path, tmp_path: Path) -> None:
    convert(saved(model, WEIGHTS), tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"config.json", "tokenizer.json", "model.safetensors"}


def test_weights_in_parts(model: Path, tmp_path: Path) -> None:
    torch.save({"a": WEIGHTS["a"]}, model / "pytorch_model-1.bin")
    torch.save({"b": WEIGHTS["b"]}, model / "pytorch_model-2.bin")
    names = {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}
    (model / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": names}))
    assert convert(model, tmp_path / "out") == 2
    assert load_file(tmp_path / "out" / "model.safetensors").keys() == {"a", "b"}


class Runs:
    """A pickle of it would make a file when read by Python's own loader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("form", ["torch", "plain"])
def test_nothing_is_run(model: Path, tmp_path: Path, form: str) -> None:
    evil, path = {"a": Runs(tmp_path / "ran")}, model / "pytorch_model.bin"
    if form == "torch":
        torch.save(evil, path)
    else:
        path.write_bytes(pickle.dumps(evil))
    with pytest.raises(BadData, match="more than tensors"):
        convert(model, tmp_path / "out")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def test_refusals(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(MissingResource, match="neither"):
        convert(model, out)
    with pytest.raises(BadData, match="expected tensors by name"):
        convert(saved(model, {"a": [1.0]}), out)
    whole = saved(model, WEIGHTS) / "pytorch_model.bin"
    whole.write_bytes(whole.read_bytes()[:200])
    with pytest.raises(CorruptFile, match=r"pytorch_model\.bin"):
        convert(model, out)
    assert not out.exists()
    (model / "model.safetensors").write_bytes(b"")
    with pytest.raises(BadArguments, match="nothing to convert"):
        convert(model, out)


@pytest.mark.parametrize("name", ["../away.bin", "/etc/passwd", "gone.bin", 3])
def test_an_index_stays_inside_its_folder(model: Path, tmp_path: Path, name: Any) -> None:
    torch.save(WEIGHTS, tmp_path / "away.bin")
    (model / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises((BadData, MissingResource), match=r"no file of this folder|does not exist"):
        convert(model, tmp_path / "out")


def test_the_command(model: Path, tmp_path: Path) -> None:
    saved(model, WEIGHTS)
    done = CliRunner().invoke(app, ["convert", str(model), "-o", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"output": str(tmp_path / "out"), "tensors": 3}
    again = CliRunner().invoke(app, ["convert", str(model), "-o", str(tmp_path / "out")])
    assert isinstance(again.exception, BadArguments)

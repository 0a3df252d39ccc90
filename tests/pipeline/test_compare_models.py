"""Which files a system reads its models from: every stage has its own, none hides another."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tamis.pipeline.cascade import Cascade, RerankStage
from tamis.pipeline.comparing.systems import model_files
from tamis.pipeline.comparing.systems.model_files import models_of

if TYPE_CHECKING:
    from pathlib import Path

    from tamis.pipeline.opening import Index

NO_INDEX = cast("Index", None)  # asked for its encoder alone, which a lexical search has not


def test_two_forests_are_two_models(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("tree")
    second.write_text("other tree")
    stages = [RerankStage("lambdamart", 9, {"model": str(path)}) for path in (first, second)]
    cascade = Cascade(lexical=10, rerank=tuple(stages))
    found = models_of(cascade, NO_INDEX)
    assert found.bytes == {"lambdamart": 4, "lambdamart 2": 10}
    before = found.fingerprint
    first.write_text("tale")
    assert models_of(cascade, NO_INDEX).fingerprint != before


def test_folders_of_one_name_are_two_models(tmp_path: Path) -> None:
    folders = [tmp_path / parent / "model" for parent in "ab"]
    for size, folder in enumerate(folders, 1):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}" + " " * size)
    cascade = Cascade(lexical=10, rerank=tuple(RerankStage(str(each), 9) for each in folders))
    assert models_of(cascade, NO_INDEX).bytes == {"model": 3, "model 2": 4}


def test_a_model_that_two_stages_share_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("tree")
    stage = RerankStage("lambdamart", 9, {"model": str(path)})
    found = models_of(Cascade(lexical=10, rerank=(stage, stage)), NO_INDEX)
    assert found.bytes == {"lambdamart": 4, "lambdamart 2": 0}


@pytest.mark.parametrize("kind", ["encoder", "maxsim"])
def test_a_stage_that_compares_vectors_reads_its_encoder(kind: str) -> None:
    named = models_of(
        Cascade(lexical=10, rerank=(RerankStage(kind, 9, {"model": "tamis-tiny"}),)), NO_INDEX
    )
    assert named.fingerprint
    assert (named.bytes[kind] or 0) > 100_000


def test_the_second_opinion_is_minilms_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(model_files, "_of_encoder", lambda name: asked.append(name) or ())
    models_of(Cascade(lexical=10, rerank=(RerankStage("encoder", 9),)), NO_INDEX)
    assert asked == ["minilm"]

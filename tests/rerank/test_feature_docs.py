"""The page on learning to rank names every feature, with the meaning that the code gives it."""

from __future__ import annotations

from pathlib import Path

import pytest

import tamis
from tamis.rerank.features import FEATURES
from tamis.rerank.stage_scores import STAGES

PAGE = (Path(tamis.__file__).parent / "docs" / "learning_to_rank.md").read_text("utf-8")


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_is_documented_as_it_is_defined(name: str) -> None:
    stage = name.split("_", 1)[0]
    if stage in STAGES:
        meaning = FEATURES[name].removeprefix(f"{stage}: ")
        assert f"| `STAGE_{name.split('_', 1)[1]}` | {meaning} |" in PAGE
    else:
        assert f"| `{name}` | {FEATURES[name]} |" in PAGE

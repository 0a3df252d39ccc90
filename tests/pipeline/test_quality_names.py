"""How a quality model is named, and what is said to a wrong name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tamis.core.errors import BadArguments, MissingResource, UnknownComponent
from tamis.encoders.quality.regression import FeatureQuality, Weight
from tamis.encoders.transformer import TransformerEncoder
from tamis.pipeline.components import quality

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["a dog", "the old king of the city and the war", "river bank"]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "features.json"
    FeatureQuality(0.0, {"words": Weight(0.0, 1.0, 1.0)}).save(path)
    return path


@pytest.fixture(scope="module")
def dot_folder(teacher_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher without its last module, which makes vectors one long."""
    import shutil

    folder = tmp_path_factory.mktemp("dot") / "dot"
    shutil.copytree(teacher_folder, folder)
    modules = json.loads((folder / "modules.json").read_text("utf-8"))[:2]
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    said = json.dumps({"similarity_fn_name": "dot"})
    (folder / "config_sentence_transformers.json").write_text(said, "utf-8")
    return folder


def test_a_stored_model_by_its_path_and_behind_its_kind(stored: Path) -> None:
    bare, named = quality(str(stored)), quality(f"features:{stored}")
    assert bare.card == named.card  # type: ignore[union-attr]


def test_the_magnitude_of_an_encoder_from_a_folder(dot_folder: Path) -> None:
    expected = np.linalg.norm(TransformerEncoder(dot_folder).encode_passages(TEXTS), axis=1)
    assert len(set(expected.tolist())) == 3
    for name, sign in (("magnitude", 1), ("minus-magnitude", -1)):
        scores = quality(f"{name}:{dot_folder}").score(TEXTS)  # type: ignore[union-attr]
        np.testing.assert_allclose(scores, sign * expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("prefect", UnknownComponent, r"'prefect', and no file or folder; known: .*NAME:MODEL"),
        ("prefect:model", UnknownComponent, "'prefect:model', and no file or folder"),
        ("itn:model", BadArguments, "'itn' takes no other model, and 'model' is given: write itn"),
        ("magnitude", BadArguments, "needs an encoder to work with: write magnitude:ENCODER"),
        ("magnitude:", BadArguments, "needs an encoder to work with: write magnitude:ENCODER"),
        ("qualt5", BadArguments, "needs a model to work with: write qualt5:org/name"),
        ("qualt5:none", MissingResource, "'none' is no file and no folder, .* 'qualt5'"),
        ("perplexity:none", MissingResource, "'none' is no file and no folder"),
        ("magnitude:prefect", UnknownComponent, "no encoder is called 'prefect'"),
        ("magnitude:hashing", BadArguments, "'hashing' compares by cosine"),
        ("features", BadArguments, "features:FILE"),
        ("features:none.json", MissingResource, r"'none\.json' is no file and no folder"),
        ("features:no/one.json", MissingResource, r"no/one\.json is not there"),
    ],
)
def test_a_wrong_name_is_told_the_way_out(name: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        quality(name)

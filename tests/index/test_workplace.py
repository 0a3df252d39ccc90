"""Where a build works: locked, resumable, published by one rename, wary of what is not ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tamis.core.errors import BadArguments, FailedWhileRunning
from tamis.index.building.workplace import Workplace, sync_files

if TYPE_CHECKING:
    from pathlib import Path


def finished(folder: Path, content: str) -> Path:
    """Something that looks like an index of ours."""
    folder.mkdir()
    (folder / "tamis.json").write_text(content)
    return folder


def build(goal: Path, content: str = "new", *, overwrite: bool = False) -> None:
    with Workplace(goal, overwrite=overwrite) as place:
        (place.draft / "tamis.json").write_text(content)
        place.vectors.mkdir(exist_ok=True)
        place.publish()


def content(goal: Path) -> str:
    return (goal / "tamis.json").read_text()


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_draft_becomes_the_index_and_nothing_is_left(tmp_path: Path) -> None:
    build(tmp_path / "a" / "b" / "index")
    assert content(tmp_path / "a" / "b" / "index") == "new"
    assert names(tmp_path / "a" / "b") == ["index"]
    assert names(tmp_path / "a" / "b" / "index") == ["tamis.json"]


def test_an_empty_folder_is_a_welcome_goal(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    build(tmp_path / "index")
    assert content(tmp_path / "index") == "new"


def test_a_finished_index_is_replaced_only_when_told_so(tmp_path: Path) -> None:
    goal = finished(tmp_path / "index", "old")
    with pytest.raises(BadArguments, match="is a finished index; replace it with --overwrite"):
        build(goal)
    assert names(tmp_path) == ["index"]
    build(goal, overwrite=True)
    assert content(goal) == "new"
    assert names(tmp_path) == ["index"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["folder", "file", "dangling link", "loop"])
def test_what_is_no_index_is_left_alone(tmp_path: Path, kind: str, overwrite: bool) -> None:
    goal = tmp_path / "goal"
    if kind == "folder":
        goal.mkdir()
        (goal / "thesis.tex").write_text("mine")
    elif kind == "file":
        goal.write_text("mine")
    else:
        goal.symlink_to(goal if kind == "loop" else tmp_path / "missing" / "place")
    before = [path.as_posix() for path in sorted(tmp_path.rglob("*"))]
    if kind == "dangling link":  # it names a place, and that is free
        build(goal, overwrite=overwrite)
        assert goal.is_symlink()
        assert content(tmp_path / "missing" / "place") == "new"
        return
    with pytest.raises(BadArguments, match="no tamis index; choose another name"):
        build(goal, overwrite=overwrite)
    assert [path.as_posix() for path in sorted(tmp_path.rglob("*"))] == before


def test_a_link_to_an_index_stays_a_link(tmp_path: Path) -> None:
    finished(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    build(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "real") == "new"
    assert names(tmp_path) == ["link", "real"]


def test_places_without_a_name_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathlib import Path

    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    with pytest.raises(BadArguments, match="no tamis index"):
        build(Path(".."))
    build(Path())
    assert content(tmp_path / "here" / "below") == "new"
    with pytest.raises(BadArguments):
        build(Path("/"))


def test_a_mount_point_cannot_be_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path / "disk")
    with pytest.raises(BadArguments, match="mount point; name a folder inside it"):
        build(tmp_path / "disk")


def test_a_building_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "index.building"
    (theirs / "draft").mkdir(parents=True)
    (theirs / "plan.pdf").write_text("mine")
    (theirs / "draft" / "letter").write_text("mine")
    with pytest.raises(BadArguments, match=r"plan\.pdf.*is not ours"):
        build(tmp_path / "index")
    assert (theirs / "plan.pdf").exists()
    assert (theirs / "draft" / "letter").exists()


def test_two_at_once(tmp_path: Path) -> None:
    goal = tmp_path / "index"
    with Workplace(goal, overwrite=False) as place:
        (place.draft / "half").write_text("x")
        with pytest.raises(FailedWhileRunning, match="is locked: another process"):
            build(goal)
        assert (place.draft / "half").exists()
    build(goal)
    assert content(goal) == "new"


def test_failing_keeps_vectors_and_forgets_the_draft(tmp_path: Path) -> None:
    goal = tmp_path / "index"

    def work(place: Workplace) -> None:
        place.vectors.mkdir()
        (place.vectors / "00000.npy").write_text("costly")
        (place.draft / "docid").write_text("cheap")
        raise KeyError

    with pytest.raises(KeyError), Workplace(goal, overwrite=False) as place:
        work(place)
    assert not goal.exists()
    with Workplace(goal, overwrite=False) as place:
        assert (place.vectors / "00000.npy").read_text() == "costly"
        assert names(place.draft) == []


def test_scores_alone_are_worth_keeping(tmp_path: Path) -> None:
    with Workplace(tmp_path / "index", overwrite=False) as place:
        place.scores.mkdir()
        (place.scores / "00000.npy").write_text("costly")
    with Workplace(tmp_path / "index", overwrite=False) as place:
        assert (place.scores / "00000.npy").read_text() == "costly"


def test_failing_before_there_is_anything_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Workplace(tmp_path / "index", overwrite=False):
        raise KeyError
    assert names(tmp_path) == []


class TestCrashInASwap:
    def test_between_the_renames_the_old_index_comes_back(self, tmp_path: Path) -> None:
        finished(tmp_path / ".index.replaced", "old")
        (tmp_path / "index.building" / "draft").mkdir(parents=True)
        with pytest.raises(BadArguments, match="finished index"):
            build(tmp_path / "index")
        assert content(tmp_path / "index") == "old"
        with Workplace(tmp_path / "index", overwrite=True):
            assert content(tmp_path / "index") == "old"
        build(tmp_path / "index", overwrite=True)
        assert content(tmp_path / "index") == "new"
        assert names(tmp_path) == ["index"]

    def test_after_the_renames_the_old_index_goes(self, tmp_path: Path) -> None:
        finished(tmp_path / ".index.replaced", "old")
        finished(tmp_path / "index", "newer")
        build(tmp_path / "index", overwrite=True)
        assert names(tmp_path) == ["index"]

    def test_a_half_removed_old_index_is_not_put_back(self, tmp_path: Path) -> None:
        (tmp_path / ".index.replaced").mkdir()
        (tmp_path / ".index.replaced" / "docid").write_text("x")
        build(tmp_path / "index")
        assert content(tmp_path / "index") == "new"
        assert names(tmp_path) == ["index"]

    def test_the_old_index_answers_until_the_rename(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pathlib import Path

        goal = finished(tmp_path / "index", "old")
        seen = []
        rename = Path.rename

        def noted(self: Path, target: Path) -> Path:
            seen.append(content(goal) if goal.exists() else None)
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", noted)
        build(goal, overwrite=True)
        assert seen == ["old", None]


def test_files_are_listed_without_the_hidden(tmp_path: Path) -> None:
    (tmp_path / "lexical").mkdir()
    for name in ("b", "lexical/a", ".draft"):
        (tmp_path / name).write_text("x")
    assert sync_files(tmp_path) == ["b", "lexical/a"]

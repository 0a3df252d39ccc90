"""A folder of text files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tamis.core.corpus import Flaw, open_corpus
from tamis.core.corpus.textfolder import id_of_path
from tamis.core.records import Passage

if TYPE_CHECKING:
    from pathlib import Path


def test_every_text_file_is_a_passage_in_path_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two words.md").write_bytes(b"\xef\xbb\xbf# Title\r\nbody\r\n")
    (tmp_path / "b.txt").write_text("first", encoding="utf-8")
    (tmp_path / "a.TXT").write_text("zeroth", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.txt").write_text("no", encoding="utf-8")
    corpus = open_corpus(tmp_path)
    assert corpus.format == "text"
    assert list(corpus) == [
        Passage("a.TXT", "zeroth"),
        Passage("b.txt", "first"),
        Passage("b/two%20words.md", "# Title\nbody"),
    ]


def test_empty_and_undecodable_files_are_flaws(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b" \n")
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    first, second = open_corpus(tmp_path)
    assert isinstance(first, Flaw)
    assert isinstance(second, Flaw)
    assert (first.kind, first.where) == ("empty", "a.txt")
    assert (second.kind, second.where) == ("not utf-8", "b.txt")


def test_links_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret", encoding="utf-8")
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "own.txt").write_text("own", encoding="utf-8")
    (folder / "out.txt").symlink_to(outside / "secret.txt")
    (folder / "out").symlink_to(outside)
    (folder / "dead.txt").symlink_to(folder / "nothing")
    (folder / "inside.txt").symlink_to(folder / "sub" / "own.txt")
    (folder / "loop").symlink_to(folder)
    found = list(open_corpus(folder))
    assert [item for item in found if isinstance(item, Passage)] == [
        Passage("inside.txt", "own"),
        Passage("sub/own.txt", "own"),
    ]
    told = {item.where: item.message for item in found if isinstance(item, Flaw)}
    assert told.keys() == {"out.txt", "out", "dead.txt"}
    assert "out of the folder" in told["out.txt"]
    assert "nowhere" in told["dead.txt"]


def test_no_two_paths_share_an_id() -> None:
    paths = ["a b", "a%20b", "a%b", "a\u00a0b", os.fsdecode(b"a\xa0b"), "a\nb"]
    ids = [id_of_path(path) for path in paths]
    assert len(set(ids)) == len(paths)
    assert all(id_.split() == [id_] for id_ in ids)
    assert all(id_.encode("utf-8") for id_ in ids)

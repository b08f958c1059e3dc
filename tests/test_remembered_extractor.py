"""An extractor that is no longer where it was, beside the checkpoint that remembers it."""

from __future__ import annotations

import errno

from iel_fairseq import remembered_extractor
from iel_fairseq.files import file_sha256
from iel_fairseq.remembered_extractor import look_beside


def test_the_same_file_is_found_beside_the_checkpoint_and_no_other(tmp_path):
    (tmp_path / "extractor.pt").write_text("another")
    memory = {"extractor": "/gone/extractor.pt", "extractor_sha256": "0" * 64}
    look_beside(str(tmp_path / "model.pt"), memory)
    assert memory["extractor"] == "/gone/extractor.pt"
    memory["extractor_sha256"] = file_sha256(str(tmp_path / "extractor.pt"))
    look_beside(str(tmp_path / "model.pt"), memory)
    assert memory["extractor"] == str(tmp_path / "extractor.pt")


def test_what_cannot_be_read_is_not_the_one(tmp_path, monkeypatch):
    """Nor is what no checkpoint of ours remembers a reason to end."""

    def fails(path: str) -> str:
        raise OSError(errno.EIO, "Input/output error", path)

    monkeypatch.setattr(remembered_extractor, "file_sha256", fails)
    (tmp_path / "extractor.pt").touch()
    memory = {"extractor": "/gone/extractor.pt", "extractor_sha256": "0" * 64}
    look_beside(str(tmp_path / "model.pt"), memory)
    assert memory["extractor"] == "/gone/extractor.pt"
    look_beside(str(tmp_path / "model.pt"), "no memory of ours")


def test_the_one_beside_is_taken_where_another_file_has_the_remembered_name(tmp_path):
    """As after copying a folder, and training anew in the first one."""
    for name, text in (("first", "new"), ("copy", "right")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "extractor.round2.pt").write_text(text)
    first, copy = (tmp_path / name / "extractor.round2.pt" for name in ("first", "copy"))
    memory = {"extractor": str(first), "extractor_sha256": file_sha256(str(copy))}
    look_beside(str(tmp_path / "copy" / "model.pt"), memory)
    assert memory["extractor"] == str(copy)
    memory["extractor"] = str(first)
    first.write_text("right")  # both are it
    look_beside(str(tmp_path / "copy" / "model.pt"), memory)
    assert memory["extractor"] == str(first)

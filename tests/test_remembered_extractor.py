"""An extractor that is no longer where it was, beside the checkpoint that remembers it."""

from __future__ import annotations

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

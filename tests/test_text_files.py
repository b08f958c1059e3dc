"""Text is read as the tools that wrote it meant it."""

from __future__ import annotations

import gzip
import lzma

import pytest

from iel_fairseq.errors import IELError
from iel_fairseq.text_files import numbered_lines


def test_only_newlines_end_a_line(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("one\r\ntwo\u2028\x0b\x85still two\n\nlast, without an end".encode())
    assert list(numbered_lines(str(path))) == [
        (1, "one"), (2, "two\u2028\x0b\x85still two"), (3, ""), (4, "last, without an end"),
    ]  # fmt: skip


def test_a_byte_order_mark_at_the_start_is_no_text(tmp_path):
    path = tmp_path / "text"
    path.write_text("\ufeffone\n\ufefftwo\n", encoding="utf-8")
    assert list(numbered_lines(str(path))) == [(1, "one"), (2, "\ufefftwo")]


def test_packed_files_are_unpacked(tmp_path):
    for opener, name in ((gzip.open, "text.gz"), (lzma.open, "text.xz")):
        with opener(tmp_path / name, "wt", encoding="utf-8") as file:
            file.write("é\nb\n")
        assert list(numbered_lines(str(tmp_path / name))) == [(1, "é"), (2, "b")]
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:-6])
        with pytest.raises(IELError, match=rf"{name}: cannot be read after line "):
            list(numbered_lines(str(tmp_path / name)))
    with pytest.raises(IELError, match=r"none: cannot be read \(No such file"):
        list(numbered_lines(str(tmp_path / "none")))


def test_what_is_not_utf8_is_refused_with_its_place(tmp_path):
    (tmp_path / "text").write_bytes("Glück\nGl\xfcck\n".encode("latin1").replace(b"\xfc", "ü".encode(), 1))
    lines = numbered_lines(str(tmp_path / "text"))
    assert next(lines) == (1, "Glück")
    with pytest.raises(IELError, match=r"text, line 2: not UTF-8 \(byte 3 is 0xfc\); convert the file"):
        next(lines)

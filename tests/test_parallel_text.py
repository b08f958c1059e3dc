"""Parallel text is aligned line by line."""

from __future__ import annotations

import pytest

from iel_fairseq.corpora.parallel_text import aligned
from iel_fairseq.errors import IELError


def test_files_must_have_as_many_lines(tmp_path):
    (tmp_path / "a").write_text("1\n2\n")
    (tmp_path / "b").write_text("1\n2\n3\n4\n")
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    for pair in ((a, b), (b, a)):
        with pytest.raises(IELError, match=rf"{b}, line 3: no translation, {a} ends after 2 sentences"):
            list(aligned(*pair))
    assert list(aligned(a, a)) == [("1", "1"), ("2", "2")]

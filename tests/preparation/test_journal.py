"""Steps that are done are not done again, unless what they made or were made from has changed."""

from __future__ import annotations

import pytest

from iel_fairseq.errors import IELError
from iel_fairseq.preparation.journal import Journal


def work(folder, first: str = "one", request: str = "r") -> list[str]:
    """Two steps, the second of which reads what the first has made; which were done."""
    done: list[str] = []
    journal = Journal(str(folder), "journal.json", {"request": request, "inputs": {"a": "0" * 64}})

    def make(name: str, text: str):
        def write():
            (folder / name).write_text(text)
            done.append(name)
            return {"length": len(text)}

        return write

    assert journal.step("first", ["first"], make("first", first)) == {"length": len(first)}
    copied = (folder / "first").read_text() * 2
    assert journal.step("second", ["second"], make("second", copied), ["first"]) == {"length": len(copied)}
    return done


def test_a_step_is_done_once(tmp_path):
    assert work(tmp_path) == ["first", "second"]
    assert work(tmp_path) == []


def test_what_is_damaged_or_missing_is_made_again(tmp_path):
    work(tmp_path)
    (tmp_path / "first").write_text("on")
    assert work(tmp_path) == ["first"]  # the second was made of what the first is again
    (tmp_path / "second").unlink()
    assert work(tmp_path) == ["second"]


def test_what_was_made_of_something_else_is_made_again(tmp_path):
    work(tmp_path)
    (tmp_path / "first").unlink()
    assert work(tmp_path, first="two") == ["first", "second"]
    assert (tmp_path / "second").read_text() == "twotwo"


def test_another_request_and_a_damaged_journal_are_refused(tmp_path):
    work(tmp_path)
    with pytest.raises(IELError, match=f"{tmp_path}: made with request r, not q; name another folder, or remove this"):
        work(tmp_path, request="q")
    for damage in ("{", "[]", '{"request": {}}', '{"request": 1, "steps": {}}'):
        (tmp_path / "journal.json").write_text(damage)
        with pytest.raises(IELError, match=r"journal\.json: damaged; remove it|made with request nothing, not r"):
            work(tmp_path)


def test_a_request_that_names_less_is_another(tmp_path):
    work(tmp_path)
    with pytest.raises(IELError, match=r"made with inputs"):
        Journal(str(tmp_path), "journal.json", {"request": "r"})

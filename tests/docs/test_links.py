"""Links between the documents lead somewhere, and the map of the code is whole."""

from __future__ import annotations

import re

import pytest
from documents import DOCUMENTS, REPOSITORY

from iel_fairseq.cli import SUBCOMMANDS

MAP = REPOSITORY / "docs/how_it_works.md"


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
        if re.match("https?://", target):
            continue
        path, _, anchor = target.partition("#")
        found = (document.parent / path).resolve() if path else document
        assert found.exists(), target
        assert not anchor or anchor in anchors(found.read_text(encoding="utf-8")), target


def test_the_map_has_every_file_and_every_subcommand():
    text = MAP.read_text(encoding="utf-8")
    linked = re.findall(r"\]\(\.\./iel_fairseq/([^)]*)\)", text[text.index("## Code map") :])
    folders = tuple(target for target in linked if target.endswith("/"))
    files = [str(path.relative_to(REPOSITORY / "iel_fairseq")) for path in (REPOSITORY / "iel_fairseq").rglob("*.py")]
    missing = {file for file in files if file not in linked and not file.startswith(folders) and "__init__" not in file}
    assert not missing
    [row] = [line for line in text.splitlines() if line.startswith("| [`cli/`]")]
    assert set(re.findall("`([a-z-]+)`", row)) - {"iel"} == set(SUBCOMMANDS)


def test_readme_has_every_document():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for document in (REPOSITORY / "docs").glob("*.md"):
        assert f"(docs/{document.name})" in text

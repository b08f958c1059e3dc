"""Text with tags: WMT's SGML and IWSLT's XML test sets, and IWSLT's ``train.tags``.

None of them is well-formed XML: ``&`` stands for itself. They are read line by line, as everybody reads them, and
entities are left as they are, as sacreBLEU leaves them.
"""

from __future__ import annotations

import re

from iel_fairseq.errors import IELError
from iel_fairseq.text_files import Numbered, numbered_lines

SEGMENT = re.compile(r"<seg[^>]*>(.*)</seg>", re.IGNORECASE)
ABOUT_THE_TALK = re.compile(r"\s*</?(url|talkid|keywords|speaker|reviewer|translator|doc)\b", re.IGNORECASE)
TEXT_TAGS = re.compile(r"</?(title|description)>", re.IGNORECASE)


def segments(path: str) -> Numbered:
    """The ``<seg>`` elements of a test set, one per line in the file.

    Raises:
        IELError: there is none, or one does not end in its line, or the file cannot be read
    """
    found = 0
    for number, line in numbered_lines(path):
        if match := SEGMENT.search(line):
            found += 1
            yield number, " ".join(match[1].split())
        elif "<seg" in line.lower():
            raise IELError(f"{path}, line {number}: a <seg> without </seg> in the same line")
    if not found:
        raise IELError(f"{path}: holds no <seg>; it must be a test set in WMT's SGML or IWSLT's XML")


def untagged(path: str) -> Numbered:
    """The sentences of a ``train.tags`` file: lines about the talk are left out, titles and descriptions are text.

    Raises:
        IELError: the file cannot be read
    """
    for number, line in numbered_lines(path):
        if not ABOUT_THE_TALK.match(line):
            yield number, TEXT_TAGS.sub("", line).strip()

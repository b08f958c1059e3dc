"""The frame of the HTML pages that are written: each is one file that needs no other."""

from __future__ import annotations

import html


def html_page(title: str, style: str, body: str) -> str:
    """A page.

    Args:
        title: plain text
        style: CSS
        body: HTML, whose text is escaped already
    """
    head = f'<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n<style>{style}</style>'
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'

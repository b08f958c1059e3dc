"""What the help of every subcommand has in common."""

from __future__ import annotations

import argparse


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Leaves descriptions and their examples as they are written, and says each option's default."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if "default:" in text or isinstance(action.default, bool) or action.default in (None, argparse.SUPPRESS):
            return text
        shown = " ".join(map(str, action.default)) if isinstance(action.default, list) else "%(default)s"
        return f"{text}; default: {shown}"

"""What a process takes of the machine. Linux only."""

from __future__ import annotations

import os
import re
from pathlib import Path


def anonymous_mib(process: int | str = "self") -> float:
    """What it holds in memory for itself, without the pages of mapped files, in MiB; 0 when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = re.search(r"RssAnon:\s+(\d+) kB", status)  # which a zombie has not
    return int(found[1]) / 1024 if found else 0.0


def cpu_seconds(process: int | str = "self") -> float:
    """Seconds of a core that it has had, whatever else the machine did; 0 when it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

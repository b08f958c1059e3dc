"""The place where the documents' commands are run, made once for all test processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from documented_commands import make_workspace
from filelock import FileLock


@pytest.fixture(scope="session")
def workspace(tmp_path_factory, worker_id) -> Path:
    """Two folders, ``translation`` and ``classification``, in which what the documents name is there, and small."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "workspace"
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            make_workspace(folder)
            (folder / "made").touch()
    return folder

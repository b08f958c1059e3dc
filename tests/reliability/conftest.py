"""What the commands that are disturbed name, made once for all test processes."""

from __future__ import annotations

import json

import pytest
from disturbed_commands import make_names
from filelock import FileLock


@pytest.fixture(scope="session")
def names(workspace) -> dict[str, str]:
    folder = workspace.parent / "many"
    with FileLock(f"{folder}.lock"):
        if not (folder / "names.json").exists():
            folder.mkdir()
            (folder / "names.json").write_text(json.dumps(make_names(workspace, folder)))
    return json.loads((folder / "names.json").read_text())

"""The demo's corpus: user-interface texts of Home Assistant with their human translations.

Published as the wheel ``homeassistant`` on the Python package index (Apache License 2.0). The wheel is downloaded,
not installed, and checked against its SHA-256. Prints nothing but progress; writes ``SPLIT.LANGUAGE`` files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

VERSION = "2025.4.4"
WHEEL = f"homeassistant-{VERSION}-py3-none-any.whl"
SHA256 = "b7970fe3ce3a9d032a3a5dee3cbf71b227e7f23fad14a23855ee252542ef2631"
WORDS = range(3, 41)  # of the English side
SIZES = {"valid": 500, "test": 500}  # the rest is for training


def download(folder: Path) -> Path:
    """The wheel in *folder*, downloaded unless it is there."""
    wheel = folder / WHEEL
    if not wheel.exists():
        print(f"downloading {WHEEL} (43 MB)", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        anywhere = ["--python-version", "3.13", "--only-binary=:all:"]  # it is read, never run
        subprocess.run([*pip, *anywhere, "--dest", str(folder), f"homeassistant=={VERSION}"], check=True)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{wheel}: not the file that was published (SHA-256 {SHA256}); delete it and start again")
    return wheel


def texts(node: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in a tree of translations, with its path."""
    if isinstance(node, dict):
        for key, child in node.items():
            yield from texts(child, (*path, key))
    elif isinstance(node, str):
        yield path, node


def clean(text: str) -> str:
    """One line without the markup of a user interface."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)  # links
    return re.sub(r"\s+", " ", text.replace("`", "").replace("*", "")).strip()


def pairs(wheel: Path, language: str) -> dict[str, str]:
    """English text to its translation, one for each distinct English text, in a fixed order."""
    found: dict[str, str] = {}
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(f"/translations/{language}.json"))
        for name in names:
            english = name.replace(f"/{language}.json", "/en.json")
            if english not in archive.namelist():
                continue
            translated = dict(texts(json.loads(archive.read(name))))
            for path, text in texts(json.loads(archive.read(english))):
                source, target = clean(text), clean(translated.get(path, ""))
                usable = len(source.split()) in WORDS and target and target != source and "{" not in source + target
                if usable and 0.5 <= len(target) / len(source) <= 2:
                    found.setdefault(source, target)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the wheel and the splits go")
    parser.add_argument("--language", default="de", help="the side that is not English")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    found = pairs(download(arguments.folder), arguments.language)
    # By hash: the same split on every machine. English texts are distinct, so none is in two splits.
    order = sorted(found, key=lambda english: hashlib.sha256(english.encode()).digest())
    start = 0
    for split in ("valid", "test", "train"):
        chosen = order[start : start + SIZES.get(split, len(order))]
        start += len(chosen)
        for language, side in (("en", chosen), (arguments.language, [found[english] for english in chosen])):
            file = arguments.folder / f"{split}.{language}"
            temporary = file.with_suffix(f".{language}.part")
            temporary.write_text("".join(f"{line}\n" for line in side), encoding="utf-8")
            os.replace(temporary, file)
        print(f"{split}: {len(chosen):,} sentence pairs", file=sys.stderr)


if __name__ == "__main__":
    main()

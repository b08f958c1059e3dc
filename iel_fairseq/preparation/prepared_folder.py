"""What a prepared data folder remembers: how to get from raw text to its tokens, and back (paper, section 5.1)."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any

from iel_fairseq.errors import IELError
from iel_fairseq.files import file_sha256
from iel_fairseq.json_data import checked, read_json, write_json
from iel_fairseq.preparation.moses_text import MosesText

FILE = "preparation.json"
"""Beside the dictionaries, with the files that it names."""

FORMAT = 3
"""Of truecased folders: 1 gave every word its most frequent case, also inside sentences."""


@dataclass(frozen=True)
class PreparedFolder:
    """How a data folder was prepared.

    Attributes:
        folder: fairseq's data folder
        source_lang: source language
        target_lang: target language
        sets: the sets' own names by fairseq's: ``valid``, ``test``, ``test1``, ...
        truecasers: by language, file of the truecaser's model; empty: case was left as it is
        codes: by language, file of the BPE codes
        options: of the preparation
        inputs: SHA-256 of each file that it was prepared from
        versions: of the libraries that did the work
        sha256: of the files of truecasers and codes
        format: that it was written in; 1 where it is not said
    """

    folder: str
    source_lang: str
    target_lang: str
    sets: dict[str, str]
    truecasers: dict[str, str]
    codes: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    format: int = 1

    @classmethod
    def read(cls, folder: str) -> PreparedFolder:
        """Read what *folder* remembers.

        Raises:
            IELError: it was not made by ``iel prepare``, or its memory is damaged, or it was truecased in another way
        """
        path = os.path.join(folder, FILE)
        try:
            prepared = checked({**read_json(path, dict[str, Any]), "folder": folder}, cls)
            prepared._check()
        except OSError as error:
            raise IELError(
                f"{path}: cannot be read ({error.strerror}); iel prepare makes it, and --prepared-data, --data or "
                f"--eval-bleu-detok-args says where its folder is"
            ) from error
        except ValueError as error:
            raise IELError(f"{path}: damaged ({error}); run iel prepare again") from error
        if prepared.format > FORMAT or (prepared.truecasers and prepared.format < 2):
            raise IELError(
                f"{path}: prepared in format {prepared.format}, which this version cannot read; prepare another folder"
            )
        return prepared

    def _check(self) -> None:
        """Raise ValueError unless there are sets, and codes for both languages, and all files lie in the folder."""
        if not self.sets:
            raise ValueError("sets: there is none")
        if missing := {self.source_lang, self.target_lang} - self.codes.keys():
            raise ValueError(f"codes: none for {missing.pop()}")
        for name in [*self.codes.values(), *self.truecasers.values()]:
            if not name or os.path.basename(name) != name:
                raise ValueError(f"{name}: not the name of a file in the folder")

    def write(self) -> None:
        """Write it into its folder."""
        contents = asdict(self) | {"format": FORMAT}
        del contents["folder"]
        write_json(os.path.join(self.folder, FILE), contents)

    def text(self, language: str) -> MosesText:
        """The two ways between raw text and tokens of one of its languages.

        Raises:
            IELError: the truecaser's model cannot be read, or is not the one that was made
        """
        truecaser = self.truecasers.get(language)
        model = None if truecaser is None else self.file(truecaser)
        return MosesText(language, model, as_sacremoses=self.format < 3)

    def file(self, name: str) -> str:
        """Path of a file in the folder, for use.

        Raises:
            IELError: it is missing, or not the one that was made
        """
        path = os.path.join(self.folder, name)
        try:
            found = file_sha256(path)
        except OSError as error:
            raise IELError(f"{path}: cannot be read ({error.strerror}); run iel prepare again") from error
        if self.sha256.get(name, found) != found:
            raise IELError(f"{path}: not the file that iel prepare has made; run it again")
        return path

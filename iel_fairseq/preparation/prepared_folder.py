"""What a prepared data folder remembers: how to get from raw text to its tokens, and back (paper, section 5.1)."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

from iel_fairseq.errors import IELError
from iel_fairseq.files import whole_file
from iel_fairseq.preparation.moses_text import MosesText

FILE = "preparation.json"
"""Beside the dictionaries, with the files that it names."""


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

    @classmethod
    def read(cls, folder: str) -> PreparedFolder:
        """Read what *folder* remembers.

        Raises:
            IELError: it was not made by ``iel prepare``, or its memory is damaged
        """
        path = os.path.join(folder, FILE)
        try:
            with open(path, encoding="utf-8") as file:
                return cls(folder=folder, **json.load(file))
        except OSError as error:
            raise IELError(f"{path}: cannot be read ({error.strerror}); iel prepare makes it") from error
        except (ValueError, TypeError) as error:
            raise IELError(f"{path}: damaged ({error}); run iel prepare again") from error

    def write(self) -> None:
        """Write it into its folder."""
        contents = asdict(self)
        del contents["folder"]
        with whole_file(os.path.join(self.folder, FILE)) as file:
            json.dump(contents, file, indent=1, ensure_ascii=False)

    def text(self, language: str) -> MosesText:
        """The two ways between raw text and tokens of one of its languages.

        Raises:
            IELError: the truecaser's model cannot be read
        """
        truecaser = self.truecasers.get(language)
        return MosesText(language, truecaser and os.path.join(self.folder, truecaser))

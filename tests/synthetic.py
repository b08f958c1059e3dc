"""A language pair with known word alignment, small enough to be learnt in seconds.

A sentence is one to four phrases:

    adjective noun   ->  noun adjective      reordering            red house -> HOUSE RED
    verb             ->  two words           one source, two targets   sleeps -> SLEEPS.1 SLEEPS.2
    name             ->  name                seen once: unknown to the dictionaries
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

ADJECTIVES = [f"a{i}" for i in range(8)]
NOUNS = [f"n{i}" for i in range(8)]
VERBS = [f"v{i}" for i in range(6)]


@dataclass(frozen=True)
class Pair:
    """A sentence pair; *alignment* gives for each target word its source word, 1-based."""

    source: list[str]
    target: list[str]
    alignment: list[int]

    def known(self) -> tuple[list[str], list[str]]:
        """Source and target as the dictionaries see them: names are unknown."""
        return [_known(word) for word in self.source], [_known(word) for word in self.target]


def _known(word: str) -> str:
    return "<unk>" if word.startswith("x") else word


def make_pair(rng: random.Random, phrases: int | None = None) -> Pair:
    source: list[str] = []
    target: list[str] = []
    alignment: list[int] = []
    for _ in range(phrases or rng.randint(1, 4)):
        position = len(source) + 1
        kind = rng.random()
        if kind < 0.55:
            adjective, noun = rng.choice(ADJECTIVES), rng.choice(NOUNS)
            source += [adjective, noun]
            target += [noun.upper(), adjective.upper()]
            alignment += [position + 1, position]
        elif kind < 0.92:
            verb = rng.choice(VERBS)
            source += [verb]
            target += [f"{verb.upper()}.1", f"{verb.upper()}.2"]
            alignment += [position, position]
        else:
            name = f"x{rng.randrange(10**9)}"
            source += [name]
            target += [name]
            alignment += [position]
    return Pair(source, target, alignment)


def make_pairs(seed: int, count: int) -> list[Pair]:
    rng = random.Random(seed)
    return [make_pair(rng) for _ in range(count)]


def write_pairs(prefix: Path, pairs: list[Pair]) -> None:
    """Write *prefix*.src and *prefix*.tgt, one sentence a line."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    prefix.with_suffix(".src").write_text("".join(" ".join(pair.source) + "\n" for pair in pairs))
    prefix.with_suffix(".tgt").write_text("".join(" ".join(pair.target) + "\n" for pair in pairs))

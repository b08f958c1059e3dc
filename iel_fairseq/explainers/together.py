"""Explanations of many texts at once, whose questions to the model share batches.

A package's explainer calls the model as a function, for one text after another. Here each text's explainer runs in a
thread of its own, and stops where it calls the model; when all have stopped, their questions are answered together.
One thread at a time runs, each with numpy's random state to itself: results are those of one text after another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

Result = TypeVar("Result")

AT_ONCE = 64
"""Texts that are explained together by an explainer that asks."""

Ask: TypeAlias = Callable[[Sequence[str]], np.ndarray]
"""From texts to what the model thinks of them: ``(texts, classes)``."""


def answer_together(
    questions: Sequence[Callable[[Ask], Result]], answer: Ask, at_once: int, seeds: Sequence[int] | None = None
) -> Iterator[tuple[int, Result]]:
    """Run *questions* in parallel, but for what they compute themselves.

    Args:
        questions: each is called with a function that it may ask for answers
        answer: answers what several have asked, joined
        at_once: questions that are under way together
        seeds: of numpy's global random state, for each of *questions*; 0 by default

    Yields:
        number and result of each of *questions*, in the order in which they end
    """
    todo = iter(enumerate(questions))
    running: dict[int, _Asking[Result]] = {}
    try:
        while True:
            while len(running) < at_once and (following := next(todo, None)) is not None:
                number, question = following
                running[number] = _Asking(question, 0 if seeds is None else seeds[number])
                running[number].go_on(None)
            ended = [number for number, asking in running.items() if asking.question is None]
            for number in ended:
                yield number, running.pop(number).result()
            if ended:
                continue  # others take their places
            if not running:
                return
            joined = answer([text for asking in running.values() for text in asking.question or ()])
            done = 0
            for asking in running.values():
                count = len(asking.question or ())
                asking.go_on(joined[done : done + count])
                done += count
    finally:
        for asking in running.values():
            asking.give_up()


def remembering(ask: Ask) -> Ask:
    """*ask*, but for texts that it has been asked before."""
    known: dict[str, np.ndarray] = {}

    def ask_once(texts: Sequence[str]) -> np.ndarray:
        texts = [str(text) for text in texts]
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(new, ask(new), strict=True))
        return np.stack([known[text] for text in texts])

    return ask_once


class _GivenUp(BaseException):
    """Nobody waits for the result any more."""


class _Asking(Generic[Result]):
    """A function that runs until it asks, and goes on when it is answered."""

    def __init__(self, run: Callable[[Ask], Result], seed: int):
        self.question: Sequence[str] | None = None
        self._answer: Any = None
        self._run = run
        self._outcome: Result | None = None
        self._error: BaseException | None = None
        self._given_up = False
        self._random_state = np.random.RandomState(seed).get_state()
        self._turn, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._work, daemon=True).start()

    def go_on(self, answer: np.ndarray | None) -> None:
        """Run until the next question, or the end: then there is no question."""
        self._answer, self.question = answer, None
        outside = np.random.get_state()
        np.random.set_state(self._random_state)
        self._turn.release()
        self._stopped.acquire()
        self._random_state = np.random.get_state()
        np.random.set_state(outside)

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._outcome  # type: ignore[return-value]

    def give_up(self) -> None:
        self._given_up = True
        self._turn.release()

    def _work(self) -> None:
        self._turn.acquire()
        try:
            self._outcome = self._run(self._ask)
        except BaseException as error:
            self._error = error
        self._stopped.release()

    def _ask(self, texts: Sequence[str]) -> np.ndarray:
        self.question = [str(text) for text in texts]
        self._stopped.release()
        self._turn.acquire()
        if self._given_up:
            raise _GivenUp
        return self._answer

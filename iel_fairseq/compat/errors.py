"""What an uncaught error prints."""

from __future__ import annotations

import re
import sys
from traceback import walk_tb
from types import TracebackType

from torch.multiprocessing import ProcessRaisedException

from iel_fairseq.errors import IELError, last_line, of_another_rank
from iel_fairseq.files import discard_standard_output, no_room, not_written

OURS = re.compile(rf"{IELError.__module__}\.{IELError.__name__}: (.*)")
"""The last line of a traceback."""
PACKAGES = ("fairseq", "fairseq_cli", "iel_fairseq")
LONGEST_REASON = 1000
"""Characters of what torch says of another rank."""


def print_our_errors_as_one_line() -> None:
    """Print an uncaught :class:`IELError` as its line alone: a traceback into fairseq helps no user.

    Likewise what a rank of a distributed training meets when another one has ended, which is no fault of its own; both
    also of the processes that fairseq starts itself, for several GPUs; and a full disk wherever fairseq meets it. What
    a program raises that uses fairseq beside other things stays as it is.
    """
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        reason = last_line(error) if isinstance(error, ProcessRaisedException) else str(error)
        in_fairseq = _is_of_fairseq(traceback)
        if found := OURS.match(reason):
            error = IELError(found[1])
        elif in_fairseq and of_another_rank(error):
            error = IELError(
                f"another rank has ended, or cannot be reached; its log says why; start all ranks again, and they go "
                f"on from the last checkpoint ({reason[:LONGEST_REASON]})"
            )
        if in_fairseq and isinstance(error, OSError) and no_room(error):
            if error.filename is None:
                discard_standard_output()  # it would raise again when the interpreter closes it, perhaps
            error = not_written("the output", error)
        if isinstance(error, IELError):
            print(f"iel_fairseq: error: {error}", file=sys.stderr)
        else:
            previous(kind, error, traceback)

    sys.excepthook = hook


def _is_of_fairseq(traceback: TracebackType | None) -> bool:
    """Whether an error came through fairseq, or this package."""
    frames = (frame for frame, _ in walk_tb(traceback))
    return any(str(frame.f_globals.get("__name__")).partition(".")[0] in PACKAGES for frame in frames)

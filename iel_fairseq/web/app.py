"""A small web page: type a sentence, see both passes, and what the baseline makes of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import RequestEntityTooLarge

from iel_fairseq.errors import IELError
from iel_fairseq.translator import AttnEnhancedTranslation, AttnEnhancedTranslator

MAX_CHARACTERS = 2000
"""Longest text that is translated at once."""

MAX_BYTES = 16 * MAX_CHARACTERS
"""Longest request that is read: any text of that many characters, as a form sends it, and its frame."""

HEADERS = {
    # No script runs, nothing is loaded, no other page can hold this one in a frame.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Shown:
    """What the page shows for a sentence.

    Attributes:
        found: in two passes
        baseline: what the extractor makes of the plain source in one pass
    """

    found: AttnEnhancedTranslation
    baseline: str

    @property
    def heat_map(self) -> list[tuple[str, list[tuple[float, bool]]]]:
        """For each word of the hypothesis, for each one of the source and ``</s>``: attention; whether it was taken."""
        reading = self.found.reading
        if reading.attention is None:
            return []
        return [
            (word, [(float(weight), at in taken) for at, weight in enumerate(weights, start=1)])
            for word, weights, taken in zip(reading.hypothesis, reading.attention, reading.positions, strict=True)
        ]


def make_app(translator: AttnEnhancedTranslator, beam: int = 5) -> Flask:
    """The page as a WSGI application.

    Requests are translated one after the other, however many wait: a model uses all cores as it is.

    Args:
        translator: what is tried
        beam: size of the beam of the baseline and of the second pass
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BYTES
    one_at_a_time = threading.Lock()

    def page(text: str = "", shown: list[Shown] | None = None, error: str | None = None) -> str:
        return render_template("page.html", text=text, shown=shown or [], error=error, limit=MAX_CHARACTERS)

    @app.get("/")
    def ask() -> str:
        return page()

    @app.post("/")
    def answer() -> str | tuple[str, int]:
        text = request.form.get("text", "").replace("\r\n", "\n")  # a browser sends two characters for a line's end
        if len(text) > MAX_CHARACTERS:
            return page(text, error=f"at most {MAX_CHARACTERS:,} characters at once"), 413
        sentences = [line.strip() for line in text.splitlines() if line.strip()]
        try:
            with one_at_a_time:
                found = translator.translate(sentences, beam, all_weights=True)
                baseline = translator.translate_plain(sentences, beam)
        except IELError as error:
            return page(text, error=str(error)), 400
        return page(text, [Shown(*pair) for pair in zip(found, baseline, strict=True)])

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(_error: RequestEntityTooLarge) -> tuple[str, int]:
        return page(error=f"at most {MAX_CHARACTERS:,} characters at once"), 413

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    return app

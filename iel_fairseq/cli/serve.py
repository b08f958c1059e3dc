"""Try a translator in a browser: type a sentence, see both passes, the attention, and the baseline's translation.

    iel serve --path finetuned.pt                          # then open http://127.0.0.1:8080

The page is for this machine alone unless --host says otherwise. It asks for no password.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging

from iel_fairseq.errors import IELError
from iel_fairseq.translator import AttnEnhancedTranslator

THREADS = 4
"""Requests that are read and answered at once, while one of them is translated; others wait."""

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    read = parser.add_argument_group("input")
    read.add_argument("--path", required=True, help="checkpoint that was trained on attention words")
    read.add_argument("--data", metavar="DATA-BIN", help="data folder; default: the one that it was trained on")
    read.add_argument("--attn-model", help="extractor; default: the one that the checkpoint remembers")
    computation = parser.add_argument_group("computation")
    computation.add_argument("--beam", type=int, default=5, help="size of the beams")
    computation.add_argument("--cpu", action="store_true", help="do not use the GPU")
    address = parser.add_argument_group("address")
    address.add_argument("--host", default="127.0.0.1", help="address to listen at")
    address.add_argument("--port", type=int, default=8080, help="port; 0: any free one")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand, until it is interrupted.

    Raises:
        IELError: a library is missing, the address cannot be had, or any problem of the checkpoint, its data folder or
            its extractor
    """
    if not 0 <= arguments.port <= 65535:  # the sockets would take another one, without a word
        raise IELError(f"--port {arguments.port}: it is 0 to 65535")
    if arguments.beam < 1:
        raise IELError(f"--beam {arguments.beam}: it is at least 1")
    try:
        import waitress

        from iel_fairseq.web.app import MAX_BYTES, make_app
    except ImportError as error:
        raise IELError(f"iel serve needs {error.name}: pip install 'iel-fairseq[serve]'") from error

    translator = AttnEnhancedTranslator.from_pretrained(
        arguments.path, arguments.data, attn_model=arguments.attn_model, cpu=arguments.cpu
    )
    app = make_app(translator, arguments.beam)
    try:
        server = waitress.create_server(
            app,
            host=arguments.host,
            port=arguments.port,
            threads=THREADS,
            max_request_body_size=MAX_BYTES,
            connection_limit=1000,
        )
    except (OSError, ValueError, OverflowError) as error:
        raise IELError(f"--host {arguments.host} --port {arguments.port}: cannot be listened at ({error})") from error
    if not _loopback(arguments.host):
        logger.warning(f"--host {arguments.host}: other machines can use this page, without a password")
    logger.info(f"http://{arguments.host}:{server.effective_port} shows the page; Ctrl-C ends it")
    try:
        server.run()
    finally:
        server.close()


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

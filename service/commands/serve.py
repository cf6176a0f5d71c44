"""ketnoi serve: the server, with its worker beside it."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

import uvicorn

from service import installation, logs, worker
from service.settings import Settings, from_environment
from service.web.app import create_app


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--without-worker", action="store_true", help="workers run elsewhere (ketnoi worker)")


def run(args: argparse.Namespace) -> int:
    settings = from_environment()
    logs.configure(settings)
    installation.prepare(settings)
    serve(settings, with_worker=not args.without_worker)
    return 0


def serve(settings: Settings, *, with_worker: bool = True) -> None:
    """Serve until a signal stops it. What is in hand is finished first."""
    beside = [lambda given: closing(worker.beside(given))] if with_worker else []
    config = uvicorn.Config(
        create_app(settings, beside),
        host=settings.host,
        port=settings.port,
        # Its access log would hold the device tokens of the addresses.
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=20,
    )
    server = uvicorn.Server(config)
    server.run()
    if not server.started:
        sys.exit(1)

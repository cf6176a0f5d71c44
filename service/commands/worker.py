"""ketnoi worker: another worker for the same database; with a broker, a Celery worker."""

from __future__ import annotations

import argparse

from service import installation, logs, worker
from service.settings import from_environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # It has none: settings say where the work is.


def run(args: argparse.Namespace) -> int:
    del args
    settings = from_environment()
    logs.configure(settings)
    installation.prepare(settings)
    worker.run(settings)
    return 0

"""The worker: claims what the outbox owes and decides it. As a child of `serve`, in the foreground, or under Celery.

The outbox is the queue whatever carries the word that there is work: a broker, a child's pipe or a poll only say it
sooner. So nothing is lost with a worker, a broker or a machine, and everything here may run twice.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Protocol
from zoneinfo import ZoneInfo

from celery import Celery
from kombu.exceptions import OperationalError as BrokerProblem
from sqlalchemy import Engine, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from service import clock, database, follow_ups, installation, outbox, processing, quarantine
from service.desk import Desk
from service.in_force import Shelf
from service.settings import Settings
from service.tables import OutboxRow

log = logging.getLogger(__name__)

#: Submissions in one transaction: beyond 50 the gain is small, and others wait longer for SQLite's one writer.
BATCH = 50
#: Seconds between two looks at the outbox where nobody rings.
POLL = 0.2
#: A worker died on it so many times before: the C engine is not asked again.
ALONE_AFTER = 2
#: Claimed so many times and never finished: it is set aside.
GIVE_UP_AT = 5
#: How long to leave a batch alone when the database itself failed.
_TROUBLE = timedelta(seconds=5)
#: Seconds before a child that died is started again: quickly once, slower when it keeps dying.
_FIRST_RESTART, _SLOWEST_RESTART = 0.1, 30.0
#: Seconds between two looks whether the server is closing, while the child lives.
_LOOK = 0.2
#: Seconds that a child may take to finish its batch when it is asked to stop.
_FINISH = 30.0


@dataclass
class Worker:
    """What one process needs to work: connections, seals, compiled rules. `name` stands in the claims."""

    name: str
    engines: tuple[Engine, Engine]
    desk: Desk
    sessions: sessionmaker[Session] = field(init=False)
    reading: sessionmaker[Session] = field(init=False)
    _day: date | None = field(default=None, init=False, repr=False)
    #: The last claim met rows that had been claimed before: the next one takes a single row.
    _careful: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        self.sessions = database.sessions(self.engines[0])
        self.reading = database.reading_sessions(self.engines[0])

    def close(self) -> None:
        for engine in self.engines:
            engine.dispose()

    def batch(self, limit: int = BATCH) -> int:
        """Decide one batch; returns how many rows of the outbox were taken, 0 when nothing is due."""
        now = clock.now()
        with self.reading() as session:
            force = self.desk.shelf.in_force(session)
            due = outbox.waiting(session, now)
        if force is None:
            return 0
        self._begin_day(now.astimezone(ZoneInfo(force.programme.settings.timezone)).date())
        if not due:
            return 0
        fresh, suspect = self._claim(limit, now)
        if fresh:
            self._decide(fresh)
        if suspect is not None:
            self._retry(*suspect)
        return len(fresh) + (suspect is not None)

    def take_back(self) -> None:
        """Free the claims of a former process of this name: it is dead, or this one would not be starting."""
        with self.sessions.begin() as session:
            session.execute(
                update(OutboxRow)
                .where(OutboxRow.claimed_by == self.name)
                .values(claimed_until=None, claimed_by=None)
                .execution_options(synchronize_session=False)
            )

    def _begin_day(self, today: date) -> None:
        """What a new day brings, once: windows of follow-ups open and close."""
        if today != self._day:
            with self.sessions.begin() as session:
                follow_ups.advance(session, today)
            self._day = today

    def _claim(self, limit: int, now: datetime) -> tuple[list[uuid.UUID], tuple[uuid.UUID, int] | None]:
        """New rows together; of those that were claimed before and never finished, one, to be worked on alone.

        A batch that kills its worker blames all of it. One at a time, the guilty one is found, and no innocent one
        comes near the number of tries at which it would be set aside.
        """
        with self.sessions.begin() as session:
            claimed = outbox.claim(session, limit=1 if self._careful else limit, now=now, worker=self.name)
            tries = outbox.tries(session, claimed)
            suspects = [key for key in claimed if tries[key] > 1]
            outbox.release(session, suspects[1:])
        self._careful = bool(suspects)
        fresh = [key for key in claimed if tries[key] <= 1]
        return fresh, (suspects[0], tries[suspects[0]]) if suspects else None

    def _retry(self, key: uuid.UUID, tries: int) -> None:
        if tries >= GIVE_UP_AT:
            with self.sessions.begin() as session:
                quarantine.give_up(session, [key], now=clock.now(), vault=self.desk.vault)
            return
        self._decide([key], alone=[key] if tries > ALONE_AFTER else [])

    def _decide(self, keys: Sequence[uuid.UUID], alone: Sequence[uuid.UUID] = ()) -> None:
        try:
            with self.sessions.begin() as session:
                done = processing.process(session, keys, now=clock.now(), desk=self.desk, alone=alone)
        except SQLAlchemyError:
            # The database's trouble, not theirs: it counts as no try. Deadlocks and lost connections pass.
            log.exception("batch put off", extra={"submissions": len(keys)})
            self._put_off(keys)
            return
        log.info("batch decided", extra={"submissions": len(keys), "decided": len(done), "alone": len(alone)})

    def _put_off(self, keys: Sequence[uuid.UUID]) -> None:
        with self.sessions.begin() as session:
            outbox.release(session, keys)
            for key in keys:
                outbox.postpone(session, key, clock.now() + _TROUBLE)


def open_worker(settings: Settings, name: str) -> Worker:
    """Connects. Raises InstallationKeyProblem."""
    place = installation.connect(settings)
    desk = Desk(place.vault, Shelf(), settings.rules_crosscheck)
    return Worker(name, (place.engine, place.keys), desk)


# ---- Celery ---------------------------------------------------------------------------------------

app = Celery("ketnoi", set_as_current=False)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    # The broker's word may be lost; the outbox is looked at all the same.
    beat_schedule={
        "poll": {"task": "process_batch", "schedule": 5.0, "kwargs": {"go_on": True}, "options": {"expires": 5}}
    },
)


@app.task(name="process_batch", acks_late=True, ignore_result=True)
def process_batch(limit: int = BATCH, *, go_on: bool = False) -> int:
    """Decide one batch of what is due; with `go_on`, ask the broker for the next one as long as there was any.

    Running it again is harmless: claims are leases, and a submission that is decided is left alone.
    """
    taken = here().batch(limit)
    if taken and go_on:
        process_batch.delay(limit, go_on=True)
    return taken


def configure(settings: Settings, name: str = "") -> None:
    """Tell this process's tasks which installation they work for. `name` stands in the claims."""
    broker = settings.broker_url.get_secret_value() if settings.broker_url else None
    app.conf.update(broker_url=broker, ketnoi_settings=settings, ketnoi_name=name)


def here() -> Worker:
    """This process's worker, made at its first task: Celery forks, and connections must not be shared."""
    return _worker_of(app.conf["ketnoi_settings"], app.conf["ketnoi_name"] or _own_name("worker"))


@cache
def _worker_of(settings: Settings, name: str) -> Worker:
    return open_worker(settings, name)


def _own_name(kind: str) -> str:
    return f"{kind}@{socket.gethostname()}:{os.getpid()}"[:64]


# ---- the loop, in a child or in the foreground ----------------------------------------------------


class _Stop:
    """Set by SIGTERM: the batch that runs is finished, the next is not begun."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def run(settings: Settings) -> None:
    """`ketnoi worker`: a Celery worker where there is a broker, else the loop, until SIGTERM or Ctrl-C."""
    if settings.broker_url is None:
        _run_loop(settings)
    else:
        configure(settings)
        schedule = settings.data_dir / "celery-beat"
        app.worker_main(["worker", "--beat", "--schedule", str(schedule), "--loglevel", settings.log_level])


def _run_loop(settings: Settings) -> None:
    configure(settings, _own_name("worker"))
    stop = _Stop()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    pause = threading.Event()
    _loop(stop, lambda: not pause.wait(POLL))


def run_child(settings: Settings, name: str, bell: Connection) -> None:
    """The embedded worker: works until SIGTERM, or until its parent is gone."""
    configure(settings, name)
    stop = _Stop()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to stop.
    here().take_back()
    _loop(stop, lambda: _listen(bell))


def _listen(bell: Connection) -> bool:
    """Wait for a ring, at most POLL seconds; False when the parent is gone."""
    if not bell.poll(POLL):
        return True
    return bool(os.read(bell.fileno(), 4096))


def _loop(stop: _Stop, rest: Callable[[], bool]) -> None:
    worker = here()
    try:
        _work(worker, stop, rest)
    finally:
        worker.close()


def _work(worker: Worker, stop: _Stop, rest: Callable[[], bool]) -> None:
    awake = True
    while awake and not stop.asked:
        try:
            taken = process_batch(BATCH)
        except SQLAlchemyError:
            # A database that restarts comes back; the claims keep until then.
            log.exception("the database does not answer")
            taken = 0
        if not taken:
            awake = rest()


# ---- beside the web process -----------------------------------------------------------------------


class Bell(Protocol):
    """What the web process rings after it has committed a submission. Ringing never waits and never fails."""

    def ring(self) -> None: ...

    def close(self) -> None: ...


def beside(settings: Settings) -> Bell:
    """The worker of a server: a child of its own, or with a broker only the word to those that are elsewhere."""
    return Child(settings) if settings.broker_url is None else BrokerBell(settings)


class Child:
    """One worker process, started again whenever it dies: a crash of the C engine costs the child, never the server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._name = f"serve@{socket.gethostname()}:{settings.port}"[:64]
        self._closing = threading.Event()
        #: The bell is exchanged while others may ring it.
        self._lock = threading.Lock()
        self._process, self._bell = self._start()
        self._watch = threading.Thread(target=self._supervise, name="worker-watch", daemon=True)
        self._watch.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def ring(self) -> None:
        with self._lock:
            try:
                os.write(self._bell.fileno(), b"\0")
            except OSError:
                # Full: the child has not listened to earlier rings yet. Broken: the next child looks by itself.
                return

    def close(self) -> None:
        """Let the child finish its batch, and stop."""
        self._closing.set()
        self._watch.join()
        self._process.terminate()
        self._process.join(_FINISH)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._bell.close()

    def _start(self) -> tuple[BaseProcess, Connection]:
        # Spawned, not forked: the server's threads, locks and connections must not be copied half-way.
        context = multiprocessing.get_context("spawn")
        hears, bell = context.Pipe(duplex=False)
        process = context.Process(
            target=run_child, args=(self._settings, self._name, hears), name="ketnoi-worker", daemon=True
        )
        process.start()
        hears.close()
        os.set_blocking(bell.fileno(), False)
        return process, bell

    def _supervise(self) -> None:
        pause = _FIRST_RESTART
        while not self._closing.is_set():
            started = clock.stopwatch()
            while not connection.wait([self._process.sentinel], _LOOK):
                if self._closing.is_set():
                    return
            self._process.join()
            log.error("the worker died and is started again", extra={"exit_code": self._process.exitcode})
            lived = clock.stopwatch() - started
            pause = _FIRST_RESTART if lived > _SLOWEST_RESTART else min(pause * 2, _SLOWEST_RESTART)
            if self._closing.wait(pause):
                return
            with self._lock:
                self._bell.close()
                self._process, self._bell = self._start()


class BrokerBell:
    """Tells Celery's workers that there is work: at most one word at a time, from a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        configure(settings)
        self._rung = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._carry, name="broker-bell", daemon=True)
        self._thread.start()

    def ring(self) -> None:
        self._rung.set()

    def close(self) -> None:
        self._closing = True
        self._rung.set()
        self._thread.join(_FINISH)

    def _carry(self) -> None:
        while True:
            self._rung.wait()
            self._rung.clear()
            if self._closing:
                return
            try:
                process_batch.apply_async(kwargs={"go_on": True}, retry=False)
            except (BrokerProblem, OSError):
                # Workers look by themselves every few seconds; a broker that is down delays, and loses nothing.
                log.warning("the broker does not answer")

"""One SQLite database and the one thread that works on it: what is asked together is committed together."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from router.aio import timeout
from router.errors import StateUnavailable

T = TypeVar("T")

Work: TypeAlias = Callable[[sqlite3.Connection], T]

_MAX_WAITING = 10_000
_MAX_TOGETHER = 256


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work[Any]
    writes: bool
    answer: asyncio.Future[Any]


class SqliteWriter:
    """Runs work on ``connection`` in its own thread, in the order asked; work that waits together is one transaction.

    ``connection`` is in autocommit mode and may be used by any thread. Make it inside the event loop that uses it.
    """

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor, *, timeout_s: float) -> None:
        self._connection = connection
        self._thread = thread
        self._timeout_s = timeout_s
        self._waiting: deque[_Job] = deque()
        self._committing: asyncio.Future[list[Any]] | None = None
        self._closed = False

    async def do(self, work: Work[T], *, writes: bool) -> T:
        """What ``work`` returns, once it is committed.

        Raises ``StateUnavailable`` when it fails or takes too long; it may be committed later all the same.
        """
        if self._closed or len(self._waiting) >= _MAX_WAITING:
            raise StateUnavailable
        job = _Job(work, writes, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._commit_next()
        try:
            async with timeout(self._timeout_s):
                answer: T = await job.answer
        except (asyncio.TimeoutError, TimeoutError) as exc:
            raise StateUnavailable from exc
        except sqlite3.Error as exc:
            raise StateUnavailable from exc
        return answer

    async def close(self) -> None:
        """Commit what was asked, then close the database and end the thread."""
        self._closed = True
        while self._committing is not None:
            await asyncio.wait({self._committing})
            await asyncio.sleep(0)  # where it is done already, its callback has yet to run
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)

    def _commit_next(self) -> None:
        if self._committing is not None:
            return
        jobs: list[_Job] = []
        while self._waiting and len(jobs) < _MAX_TOGETHER:
            job = self._waiting.popleft()
            if not job.answer.done():  # else nobody waits for it any longer
                jobs.append(job)
        if jobs:
            loop = asyncio.get_running_loop()
            self._committing = loop.run_in_executor(self._thread, _commit, self._connection, jobs)
            self._committing.add_done_callback(lambda done: self._answer(jobs, done))

    def _answer(self, jobs: Sequence[_Job], done: asyncio.Future[list[Any]]) -> None:
        self._committing = None
        self._commit_next()
        failure = done.exception()
        for index, job in enumerate(jobs):
            if job.answer.done():
                continue
            if failure is not None:
                job.answer.set_exception(failure)
            else:
                job.answer.set_result(done.result()[index])


def _commit(connection: sqlite3.Connection, jobs: Sequence[_Job]) -> list[Any]:
    writes = any(job.writes for job in jobs)
    connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    try:
        results = [job.work(connection) for job in jobs]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return results

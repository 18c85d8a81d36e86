from __future__ import annotations

import asyncio
import io
import json
import logging
import re

import pytest

from router.aio import timeout
from router.telemetry.access_log import NAME, JsonAccess, LoggedAccess
from router.telemetry.logs import JsonFormatter


@pytest.fixture(autouse=True)
def _access_lines_are_wanted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, NAME)


async def test_lines_end_when_the_level_says_so(caplog: pytest.LogCaptureFixture) -> None:
    stream = io.StringIO()
    log = JsonAccess(stream, {})
    caplog.set_level(logging.WARNING, NAME)
    log.write({"status": 200})
    caplog.set_level(logging.INFO, NAME)
    log.write({"status": 201})
    log.flush()
    assert [json.loads(line)["status"] for line in stream.getvalue().splitlines()] == [201]


async def test_a_json_line_looks_like_one_that_logging_wrote() -> None:
    stream = io.StringIO()
    log = JsonAccess(stream, {"worker": 1})
    log.write({"status": 200, "route": ("a", "b")})
    log.flush()
    fast = json.loads(stream.getvalue())
    record = logging.makeLogRecord({"name": "router.access", "msg": "request", "levelname": "INFO", "status": 200})
    record.route = ("a", "b")
    slow = json.loads(JsonFormatter({"worker": 1}).format(record))
    assert list(fast) == list(slow)
    timestamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
    assert timestamp.fullmatch(fast.pop("ts"))
    assert timestamp.fullmatch(slow.pop("ts"))
    assert fast == slow


async def test_lines_are_written_soon_without_being_asked() -> None:
    stream = io.StringIO()
    log = JsonAccess(stream, {})
    log.write({"status": 200})
    log.write({"status": 201})
    assert stream.getvalue() == ""
    async with timeout(5):
        while not stream.getvalue():
            await asyncio.sleep(0.01)
    assert [json.loads(line)["status"] for line in stream.getvalue().splitlines()] == [200, 201]


async def test_what_is_held_back_is_bounded() -> None:
    stream = io.StringIO()
    log = JsonAccess(stream, {})
    for number in range(1000):
        log.write({"number": number})
    assert len(stream.getvalue().splitlines()) > 700
    log.flush()
    assert len(stream.getvalue().splitlines()) == 1000


def test_access_lines_may_go_through_logging(caplog: pytest.LogCaptureFixture) -> None:
    log = LoggedAccess()
    with caplog.at_level(logging.INFO, "router.access"):
        log.write({"status": 200})
        log.flush()
    assert [(record.getMessage(), record.status) for record in caplog.records] == [("request", 200)]  # type: ignore[attr-defined]

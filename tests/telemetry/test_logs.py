from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from router.telemetry.logs import configure_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines_carry_the_fields_of_the_process_and_of_the_record() -> None:
    stream = io.StringIO()
    configure_logging(stream, fields={"worker": 1})
    logging.getLogger("router.x").warning("worker ended", extra={"pid": 7})
    entry = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", entry.pop("ts"))
    assert entry == {"level": "warning", "logger": "router.x", "message": "worker ended", "worker": 1, "pid": 7}


def test_one_record_is_one_json_line_whatever_is_in_it() -> None:
    stream = io.StringIO()
    configure_logging(stream)
    logging.getLogger("router.x").error("odd\nvalue", extra={"thing": object(), "keys": {1: "a"}, "lone": {"a", "b"}})
    assert len(stream.getvalue().splitlines()) == 1
    assert json.loads(stream.getvalue())["message"] == "odd\nvalue"


def test_json_keeps_the_traceback_in_one_field() -> None:
    stream = io.StringIO()
    configure_logging(stream)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("router.x").exception("failed")
    assert json.loads(stream.getvalue())["exception"].endswith("ValueError: broken")


def test_a_terminal_gets_a_pretty_coloured_line() -> None:
    stream = Terminal()
    configure_logging(stream)
    logging.getLogger("router.x").warning("worker ended", extra={"pid": 7, "why": "two words", "route": None})
    plain = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue())
    assert "\x1b[33m" in stream.getvalue()
    assert re.fullmatch(r"\d\d:\d\d:\d\d WARNING worker ended  pid=7 why='two words'\n", plain)


def test_pretty_elsewhere_has_no_colour() -> None:
    stream = io.StringIO()
    configure_logging(stream, log_format="pretty")
    logging.getLogger("router.x").warning("worker ended")
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().endswith("WARNING worker ended\n")


@pytest.mark.parametrize(("level", "seen"), [("debug", 2), ("info", 1), ("warning", 0)])
def test_the_level_decides_what_is_logged(level: str, seen: int) -> None:
    stream = io.StringIO()
    configure_logging(stream, level=level)
    logging.getLogger("router.x").info("a")
    logging.getLogger("router.x").debug("b")
    assert len(stream.getvalue().splitlines()) == seen


def test_libraries_speak_from_warning_up() -> None:
    stream = io.StringIO()
    configure_logging(stream)
    logging.getLogger("aiohttp.access").info("GET /")
    logging.getLogger("asyncio").warning("slow callback")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["slow callback"]

from __future__ import annotations

import re

from router.listeners.response_head import ResponseHeads


def test_a_head_has_its_status_its_fields_a_date_and_its_framing() -> None:
    head = ResponseHeads().encode(404, {"X-A": "b", "x-ü": "ü"}, "Content-Length: 0\r\n")
    lines = head.decode().split("\r\n")
    assert lines[:3] == ["HTTP/1.1 404 Not Found", "X-A: b", "x-ü: ü"]
    assert re.fullmatch(r"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", lines[3])
    assert lines[4:] == ["Content-Length: 0", "", ""]


def test_a_status_without_a_name_has_none() -> None:
    assert ResponseHeads().encode(529, {}, "").startswith(b"HTTP/1.1 529 \r\n")


def test_a_line_break_begins_no_field_of_its_own() -> None:
    head = ResponseHeads().encode(200, {"x-a": "b\r\nset-cookie: c", "x-b\n": "\r", "x-c": "d"}, "")
    assert b"\r\nset-cookie" not in head
    assert b"x-a: b  set-cookie: c\r\nx-b :  \r\nx-c: d\r\n" in head


def test_what_no_encoding_has_does_not_break_a_head() -> None:
    assert b"x-a: ?\r\n" in ResponseHeads().encode(200, {"x-a": "\ud800"}, "")

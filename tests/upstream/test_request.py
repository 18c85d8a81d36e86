from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from router.errors import InvalidRequest
from router.upstream.request import Method, RequestHead


def _lines(head: bytes) -> list[str]:
    assert head.endswith(b"\r\n\r\n")
    return head.decode().removesuffix("\r\n\r\n").split("\r\n")


def _head(url: str, headers: Mapping[str, str] | None = None) -> list[str]:
    return _lines(RequestHead(URL(url), headers or {}).encode({"x-request-id": "7"}, 12))


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("http://h", "POST / HTTP/1.1", "h"),
        ("http://h:80/x", "POST /x HTTP/1.1", "h"),
        ("https://h:444/a b?q=ü", "POST /a%20b?q=%C3%BC HTTP/1.1", "h:444"),
        ("http://[::1]:8/", "POST / HTTP/1.1", "[::1]:8"),
        ("http://bücher.example/", "POST / HTTP/1.1", "xn--bcher-kva.example"),
    ],
)
def test_the_url_becomes_path_and_host(url: str, line: str, host: str) -> None:
    lines = _head(url)
    assert lines[:2] == [line, f"host: {host}"]
    assert lines[-2:] == ["x-request-id: 7", "content-length: 12"]
    assert "accept-encoding: identity" in lines


def test_headers_of_the_endpoint_win_and_each_name_is_sent_once() -> None:
    own = {"Host": "other", "ACCEPT": "text/plain", "X-Team": "bläu"}
    head = RequestHead(URL("http://h/"), own).encode({"x-team": "red", "Accept": "a", "Host": "evil"}, 0)
    lines = _lines(head)
    names = [line.partition(":")[0] for line in lines[1:]]
    assert len(names) == len(set(names))
    assert {"host: other", "accept: text/plain", "x-team: bläu"} <= set(lines)


def test_nobody_but_the_client_says_how_a_message_is_framed() -> None:
    framing = {"Content-Length": "5", "Transfer-Encoding": "chunked", "Connection": "close", "Expect": "100-continue"}
    head = RequestHead(URL("http://h/"), framing).encode(framing, 3).lower()
    assert head.count(b"content-length: 3\r\n") == head.count(b"content-length") == 1
    assert not any(name in head for name in (b"transfer-encoding", b"connection", b"expect"))


@pytest.mark.parametrize(
    "headers", [{"x": "a\r\nb: c"}, {"x": "a\nb"}, {"x": "a\0"}, {"x\r\ny": "a"}, {"x y": "a"}, {"": "a"}, {"x:": "a"}]
)
def test_a_header_that_breaks_out_of_its_line_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="header"):
        RequestHead(URL("http://h/"), headers)
    with pytest.raises(InvalidRequest, match="header"):
        RequestHead(URL("http://h/"), {}).encode(headers, 0)


@pytest.mark.parametrize(
    "url",
    [
        URL("ftp://h/"),
        URL("/path"),
        URL("http://user:secret@h/"),
        URL("http://h/a b", encoded=True),
    ],
)
def test_a_url_that_cannot_be_asked_is_refused_without_naming_it(url: URL) -> None:
    with pytest.raises(ValueError, match="endpoint") as caught:
        RequestHead(url, {})
    assert "secret" not in str(caught.value)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=9)))
def test_no_header_of_a_request_adds_a_line(headers: dict[str, str]) -> None:
    try:
        head = RequestHead(URL("http://h/"), {}).encode(headers, 0)
    except InvalidRequest:
        return
    assert head.count(b"\r") == head.count(b"\n") <= 6 + len(headers) + 1
    assert head.count(b"\r\n\r\n") == 1


def test_what_was_no_text_for_the_client_passes_unchanged() -> None:
    head = RequestHead(URL("http://h/"), {}).encode({"baggage": b"a=\xe9".decode("utf-8", "surrogateescape")}, 0)
    assert b"baggage: a=\xe9\r\n" in head


@pytest.mark.parametrize(("method", "has_length"), [("POST", True), ("PUT", True), ("GET", False), ("DELETE", False)])
def test_methods_without_a_body_say_nothing_about_its_length(method: Method, has_length: bool) -> None:
    lines = _lines(RequestHead(URL("http://h/x"), {}, method).encode({}, 2))
    assert lines[0] == f"{method} /x HTTP/1.1"
    assert ("content-length: 2" in lines) is has_length
    assert ("content-type: application/json" in lines) is has_length

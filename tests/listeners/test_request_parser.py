from __future__ import annotations

import pytest

from router.listeners.request_parser import Headers, MalformedRequest, Request, RequestParser

POST = b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nX-Name: a\r\nx-name: \xc3\xbc\r\nContent-Length: 4\r\n\r\n"


def _parse(*pieces: bytes, max_body_bytes: int = 100) -> list[Request]:
    parser = RequestParser(max_body_bytes=max_body_bytes)
    for piece in pieces:
        parser.feed(piece)
    return list(parser.begun)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_request_may_arrive_in_pieces_of_any_size(size: int) -> None:
    sent = POST + b"body" + POST.replace(b"chat", b"more") + b"next"
    first, second = _parse(*(sent[i : i + size] for i in range(0, len(sent), size)))
    assert (first.method, first.path, first.version) == ("POST", "/v1/chat", "1.1")
    assert (b"".join(first.parts), first.complete, first.keep_alive) == (b"body", True, True)
    assert (second.path, b"".join(second.parts)) == ("/v1/more", b"next")


def test_fields_are_found_in_any_case_and_repeated_ones_are_joined() -> None:
    (request,) = _parse(POST)
    assert request.headers["X-NAME"] == "a, ü"
    assert "Host" in request.headers
    assert request.headers.get("missing") is None
    assert request.headers.get("missing", "x") == "x"
    assert set(request.headers) == {"host", "x-name", "content-length"}
    assert len(Headers({})) == 0


def test_a_request_begins_before_its_body_is_here() -> None:
    (request,) = _parse(POST + b"bo")
    assert not request.complete
    assert not request.settled
    assert request.parts == [b"bo"]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a%20b?x=%2F#y", "/a b"),
        (b"/%zz", "/%zz"),
        (b"/%ff", "/\ufffd"),
        (b"//a", "//a"),
        (b"http://host:1/p?q", "/p"),
        (b"http://host", "/"),
        (b"*", "*"),
    ],
)
def test_a_path_is_decoded_and_without_its_query(target: bytes, path: str) -> None:
    (request,) = _parse(b"OPTIONS %b HTTP/1.1\r\nhost: x\r\n\r\n" % target)
    assert request.path == path


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"content-length: 101\r\n\r\n", (b"",)),
        (b"content-length: 101\r\n\r\n", (b"x" * 101,)),
        (b"transfer-encoding: chunked\r\n\r\n", (b"60\r\n" + b"x" * 96 + b"\r\n", b"5\r\n12345\r\n0\r\n\r\n")),
    ],
)
def test_a_body_that_is_too_large_is_not_kept(body: bytes, parts: tuple[bytes, ...]) -> None:
    (request,) = _parse(b"POST / HTTP/1.1\r\n" + body, *parts)
    assert request.too_large
    assert request.settled
    assert request.parts == []


def test_a_chunked_body_of_the_largest_size_is_whole() -> None:
    (request,) = _parse(
        b"POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n64\r\n", b"x" * 100, b"\r\n0\r\na: b\r\n\r\n"
    )
    assert (request.complete, request.too_large, request.size) == (True, False, 100)
    assert "a" not in request.headers


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET host HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\na: 1\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\na: " + b"b" * 17_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\na: " + b"b" * 70_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 129 + b"\r\n",
    ],
)
def test_what_is_no_request_is_refused(sent: bytes) -> None:
    with pytest.raises(MalformedRequest):
        _parse(sent)


def test_a_body_that_brings_nothing_but_framing_is_refused() -> None:
    with pytest.raises(MalformedRequest):
        _parse(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"1;" + b"a" * 70_000)


def test_a_body_that_turns_into_something_else_is_broken() -> None:
    parser = RequestParser(max_body_bytes=100)
    with pytest.raises(MalformedRequest):
        parser.feed(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n")
    (request,) = parser.begun
    assert request.broken
    assert request.settled
    assert not request.complete


def test_nothing_follows_a_request_that_says_so() -> None:
    request, *others = _parse(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", b"GARBAGE")
    assert request.complete
    assert not request.keep_alive
    assert others == []


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [(b"HTTP/1.0\r\n\r\n", False), (b"HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", True), (b"HTTP/1.1\r\n\r\n", True)],
)
def test_who_keeps_the_connection(head: bytes, keep_alive: bool) -> None:
    (request,) = _parse(b"GET / " + head)
    assert request.keep_alive is keep_alive


@pytest.mark.parametrize("size", [1, 17, 1000])
def test_an_upgrade_that_is_offered_is_not_taken(size: int) -> None:
    # As Java's client does with every first request of a connection.
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"
    sent = b"POST /a?b HTTP/1.1\r\nContent-Length: 4\r\n" + offer + b"\r\nbody" + POST + b"next"
    first, second = _parse(*(sent[i : i + size] for i in range(0, len(sent), size)))
    assert (first.method, first.path, b"".join(first.parts), first.complete) == ("POST", "/a", b"body", True)
    assert "upgrade" not in first.headers
    assert (second.path, b"".join(second.parts)) == ("/v1/chat", b"next")

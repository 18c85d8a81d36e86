from __future__ import annotations

import orjson
import pytest
from anthropic.types import ErrorResponse

from router.dialects import anthropic_messages, sse
from router.errors import (
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    ModelUnavailable,
    PayloadTooLarge,
    RequestTimeout,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)


def _status(status: int, type_: str = "upstream_error") -> UpstreamStatus:
    return UpstreamStatus("It failed.", status=status, code="c", type_=type_)


@pytest.mark.parametrize(
    ("error", "type_"),
    [
        (InvalidRequest("x"), "invalid_request_error"),
        (RequestTimeout("x"), "invalid_request_error"),
        (ModelNotFound("x"), "not_found_error"),
        (PayloadTooLarge("x"), "request_too_large"),
        (ModelUnavailable("x"), "api_error"),
        (UpstreamUnreachable("x"), "api_error"),
        (UpstreamTimeout("x"), "timeout_error"),
        (GatewayError("x"), "api_error"),
        (_status(401), "authentication_error"),
        (_status(402), "billing_error"),
        (_status(403), "permission_error"),
        (_status(409), "conflict_error"),
        (_status(422), "invalid_request_error"),
        (_status(429, "tokens"), "rate_limit_error"),
        (_status(529), "overloaded_error"),
        (_status(503, "overloaded_error"), "overloaded_error"),
        (_status(503, "invented_error"), "api_error"),
    ],
)
def test_an_error_has_the_type_of_its_status(error: GatewayError, type_: str) -> None:
    assert orjson.loads(anthropic_messages.encode_error(error, "req-1")) == {
        "type": "error",
        "error": {"type": type_, "message": error.message},
        "request_id": "req-1",
    }


def test_an_error_is_what_the_sdk_declares() -> None:
    answer = ErrorResponse.model_validate_json(anthropic_messages.encode_error(_status(429), "req-1"))
    assert (answer.error.message, answer.request_id) == ("It failed.", "req-1")


def test_a_stream_ends_with_one_event_of_its_error() -> None:
    event = anthropic_messages.encode_stream_error(UpstreamTimeout("Too late."), "req-1")
    assert event.startswith(b"event: error\ndata: ")
    assert event.endswith(b"\n\n")
    assert [orjson.loads(data) for data in sse.event_data(event)] == [
        {"type": "error", "error": {"type": "timeout_error", "message": "Too late."}, "request_id": "req-1"}
    ]


def test_an_error_of_a_provider_is_read() -> None:
    details = anthropic_messages.decode_error(
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}'
    )
    assert details is not None
    assert (details.message, details.type, details.code, details.param) == (
        "Overloaded",
        "overloaded_error",
        None,
        None,
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"type":"error"}',
        b'{"type":"error","error":"no"}',
        b'{"type":"error","error":{"message":""}}',
        b'{"error":{"message":"of another dialect"}}',
    ],
)
def test_what_is_no_error_of_this_dialect_is_none(body: bytes) -> None:
    assert anthropic_messages.decode_error(body) is None

"""Errors in the shape of the Messages API (https://platform.claude.com/docs/en/api/errors)."""

from __future__ import annotations

from typing import Any

import orjson

from router.dialects.base import ErrorDetails
from router.dialects.canonical import JsonObject
from router.errors import GatewayError, UpstreamError, UpstreamStatus

_TYPE_OF_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUS_OF_TYPE = {type_: status for status, type_ in _TYPE_OF_STATUS.items()}


def error_payload(error: GatewayError, request_id: str) -> JsonObject:
    """The error object; its type follows from the status."""
    known = _TYPE_OF_STATUS.get(error.status)
    if known is None:
        known = "invalid_request_error" if error.status < 500 else "api_error"
        known = error.type if error.type in _STATUS_OF_TYPE else known
    return {"type": "error", "error": {"type": known, "message": error.message}, "request_id": request_id}


def encode_error(error: GatewayError, request_id: str) -> bytes:
    """The body of an error response."""
    return orjson.dumps(error_payload(error, request_id))


def encode_stream_error(error: GatewayError, request_id: str) -> bytes:
    """The event that ends a stream which broke after its first byte."""
    return b"event: error\ndata: " + orjson.dumps(error_payload(error, request_id)) + b"\n\n"


def decode_error(body: bytes) -> ErrorDetails | None:
    """What an error body says, ``None`` when it is none in this dialect's shape."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(payload, dict) or payload.get("type") != "error":
        return None
    error = payload.get("error")
    if not (isinstance(error, dict) and error.get("message")):
        return None
    type_ = error.get("type")
    return ErrorDetails(str(error["message"]), type=None if type_ is None else str(type_))


def failure(error: Any, source: str) -> UpstreamError:
    """The error that an upstream announces inside an answer whose status was 200."""
    told = error if isinstance(error, dict) else {}
    type_ = str(told.get("type") or "api_error")
    return UpstreamStatus(
        str(told.get("message") or f"'{source}' failed in the middle of its answer."),
        status=_STATUS_OF_TYPE.get(type_, 502),
        code="upstream_error",
        type_=type_,
    )

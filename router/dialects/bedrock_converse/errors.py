"""Errors of Bedrock: in bodies of error responses, and as exceptions in the middle of a stream.

Reference: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html. A body is
``{"message"}``; services in front of Bedrock write it with a capital letter. The kind of the error stands in a header
of the response, or as ``__type``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from router.dialects.base import ErrorDetails
from router.dialects.canonical import JsonObject
from router.errors import UpstreamError, UpstreamStatus

_STATUSES: Mapping[str, int] = {
    "AccessDeniedException": 403,
    "InternalServerException": 500,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "ValidationException": 400,
}


def decode_error(body: bytes) -> ErrorDetails | None:
    """What an error body says, ``None`` when it is none in this dialect's shape."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(payload, dict):
        return None
    message = _message(payload)
    return ErrorDetails(message, type=_kind(payload)) if message else None


def failure(payload: JsonObject, source: str, kind: str | None = None) -> UpstreamError:
    """The error that an upstream announces inside an answer whose status was 200; ``kind`` is the exception's name."""
    name = kind or _kind(payload) or "InternalServerException"
    original = payload.get("originalStatusCode")  # what the model said to Bedrock, of a modelStreamErrorException
    status = original if isinstance(original, int) and 400 <= original < 600 else _STATUSES.get(_capital(name), 502)
    return UpstreamStatus(
        _message(payload) or f"'{source}' failed in the middle of its answer.",
        status=status,
        code="upstream_error",
        type_=_capital(name),
    )


def _message(payload: Mapping[str, Any]) -> str:
    message = payload.get("message") or payload.get("Message") or payload.get("originalMessage")
    return message if isinstance(message, str) else ""


def _kind(payload: Mapping[str, Any]) -> str | None:
    """The name of an error without the namespace in front and the URL behind it."""
    kind = payload.get("__type")
    return kind.rpartition("#")[2].partition(":")[0] or None if isinstance(kind, str) else None


def _capital(name: str) -> str:
    """Events are written with a small letter, errors with a capital one."""
    return name[:1].upper() + name[1:]

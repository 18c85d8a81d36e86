"""What several APIs refuse in the same way."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.fakes.http_exchange import RecordedRequest
from tests.fakes.providers.server import Refused
from tests.fakes.providers.strict import StrictType

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def payload_of(request: RecordedRequest, type_: StrictType | None = None) -> dict[str, Any]:
    """The JSON object of a request's body, which is of the SDK's ``type_``."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise Refused(415, "the content type must be application/json")
    try:
        payload = json.loads(request.body)
    except ValueError as exc:
        raise Refused(400, f"the body is not JSON: {exc}") from exc
    if not isinstance(payload, dict):
        raise Refused(400, "the body is not a JSON object")
    if type_ is not None:
        check_type(payload, type_)
    return payload


def check_type(payload: object, type_: StrictType) -> None:
    """Raises ``Refused`` that names the field when ``payload`` is not of the SDK's ``type_``."""
    problem = type_.problem(payload)
    if problem is not None:
        field, what = problem
        raise Refused(400, f"{field}: {what}", field)


def require_bearer(request: RecordedRequest, key: str) -> None:
    """The key as a bearer token, and in no other header."""
    if request.headers.get("authorization") != f"Bearer {key}" or "x-api-key" in request.headers:
        raise Refused(401, "incorrect API key provided")


def require(holds: object, message: str, param: str | None = None) -> None:
    """Raises ``Refused`` with status 400 when a rule does not hold."""
    if not holds:
        raise Refused(400, f"{param}: {message}" if param else message, param)


def require_range(payload: Mapping[str, Any], field: str, low: float, high: float) -> None:
    """A number within bounds, where it is there."""
    value = payload.get(field)
    if value is not None:
        require(isinstance(value, int | float) and low <= value <= high, f"must be from {low} to {high}", field)


def require_base64(data: object, where: str) -> None:
    """Non-empty Base64 in the standard alphabet."""
    try:
        good = isinstance(data, str) and bool(base64.b64decode(data, validate=True))
    except binascii.Error:
        good = False
    require(good, "not Base64", where)


def require_tool_names(names: Iterable[str], where: str) -> None:
    """Names that the API takes, none of them twice."""
    seen = set()
    for name in names:
        require(TOOL_NAME.fullmatch(name), f"'{name}' does not match the pattern {TOOL_NAME.pattern}", where)
        require(name not in seen, "tool names must be unique", where)
        seen.add(name)


def texts(payload: object) -> Iterable[str]:
    """Every string anywhere in ``payload``."""
    if isinstance(payload, str):
        yield payload
    elif isinstance(payload, dict):
        for value in payload.values():
            yield from texts(value)
    elif isinstance(payload, list):
        for value in payload:
            yield from texts(value)


def sse(payload: object, event: str | None = None) -> bytes:
    """One server-sent event."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(payload, ensure_ascii=False)}\n\n".encode()

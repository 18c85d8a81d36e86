"""What a provider's error says: in an answer whose status was 200, and in the events of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.errors import UpstreamError, UpstreamStatus

# Error codes of the API that are not the server's fault, with the status that a request would have got for them.
_STATUS: Mapping[str, int] = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "vector_store_timeout": 504,
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
    "bio_policy": 400,
    "misalignment_policy_violation": 400,
    "data_residency_mismatch": 400,
    "invalid_image": 400,
    "invalid_image_format": 400,
    "invalid_base64_image": 400,
    "invalid_image_url": 400,
    "image_too_large": 400,
    "image_too_small": 400,
    "image_parse_error": 400,
    "image_content_policy_violation": 400,
    "invalid_image_mode": 400,
    "image_file_too_large": 400,
    "unsupported_image_media_type": 400,
    "empty_image_file": 400,
    "failed_to_download_image": 400,
    "image_file_not_found": 400,
}
_CLIENT_ERRORS = range(400, 500)


def failure(error: Mapping[str, Any], source: str) -> UpstreamError:
    """An error object, or an ``error`` event, as the error that it would have been with a status of its own."""
    nested = error.get("error")
    said = nested if isinstance(nested, dict) else error
    code = said.get("code")
    status = _STATUS.get(code, 502) if isinstance(code, str) else 502
    message = said.get("message")
    param = said.get("param")
    return UpstreamStatus(
        message if isinstance(message, str) and message else f"'{source}' failed in the middle of its answer.",
        status=status,
        code=code if isinstance(code, str) and code else "upstream_error",
        type_="invalid_request_error" if status in _CLIENT_ERRORS and status != 429 else "upstream_error",
        param=param if isinstance(param, str) else None,
    )
